//! Why a text is no name or no tag, and which one may be meant.

use crate::error::escaped;
use crate::spec::name::{MAX_NAME, MAX_TAG, Reference, is_name};

/// Why a text is no repository name.
pub(super) fn no_repository(text: &str) -> String {
    let lower = text.to_lowercase();
    let host = Reference::host(text).filter(|host| host.contains(':'));
    if text.is_empty() {
        "it is empty".into()
    } else if let Some(host) = host {
        let bare = host.split(':').next().unwrap_or_default();
        let host = escaped(host);
        format!("it begins with a host and a port; leave out `{host}/`, or the port: `{bare}/`")
    } else if is_name(&lower) {
        format!("names are lower case: `{lower}`")
    } else if text.len() > MAX_NAME {
        format!("names have at most {MAX_NAME} characters")
    } else if text.split('/').any(str::is_empty) {
        "names have single slashes, and none at an end".into()
    } else {
        "names have lower-case letters and digits, and `.`, `_`, `__` or dashes between them".into()
    }
}

/// Why a text is no tag.
pub(super) fn no_tag(text: &str) -> String {
    if text.starts_with("sha256:") {
        return "give a tag, not a digest".into();
    }
    let rule = format!(
        "tags have up to {MAX_TAG} letters, digits, `_`, `.` and `-`, and the first is none of `.` and `-`"
    );
    if text.is_empty() {
        return format!("it is empty; {rule}");
    }
    rule
}
