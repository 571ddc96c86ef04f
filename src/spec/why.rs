//! Why a text is no name or no tag, and which one may be meant.

use crate::error::escaped;
use crate::spec::name::{MAX_NAME, MAX_TAG, Reference, Tag, is_name};

/// Why a text is no repository name.
pub(super) fn no_repository(text: &str) -> String {
    let lower = text.to_lowercase();
    let host = Reference::host(text).filter(|host| host.contains(':'));
    if text.is_empty() {
        "it is empty".into()
    } else if let Some(host) = host {
        let shown = escaped(host);
        let bare = host.rsplit_once(':').map(|(bare, _)| bare);
        match bare.filter(|bare| !bare.starts_with('[')) {
            Some(bare) => format!(
                "it begins with a host and a port; leave out `{shown}/`, or the port: `{bare}/`"
            ),
            None => format!("it begins with a host and a port; leave out `{shown}/`"),
        }
    } else if lower != text && is_name(&lower) {
        format!("names are lower case: `{lower}`")
    } else if text.len() > MAX_NAME {
        format!("names have at most {MAX_NAME} characters")
    } else if text.split('/').any(str::is_empty) {
        "names have single slashes, and none at an end".into()
    } else {
        "names have lower-case letters and digits, and `.`, `_`, `__` or dashes between them".into()
    }
}

/// Why a text is no prefix of names, after a colon; empty if only what follows would be wrong.
pub(super) fn no_prefix(text: &str) -> String {
    if is_name(text) {
        return String::new();
    }
    format!(": {}", no_repository(text))
}

/// Why a text is no tag.
pub(super) fn no_tag(text: &str) -> String {
    if text.starts_with("sha256:") {
        return "give a tag, not a digest".into();
    }
    if let Some((_, tag)) = text
        .rsplit_once(':')
        .filter(|(_, tag)| tag.parse::<Tag>().is_ok())
    {
        return format!(
            "give the tag alone, `{}`: tags are added in the same repository",
            escaped(tag)
        );
    }
    let rule = format!(
        "tags have up to {MAX_TAG} letters, digits, `_`, `.` and `-`, and the first is none of `.` and `-`"
    );
    if text.is_empty() {
        return format!("it is empty; {rule}");
    }
    rule
}
