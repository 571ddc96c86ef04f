//! What is said of a source at which there is nothing: what the user may have meant.

use std::path::Path;

use crate::error::{Hint, escaped};
use crate::fsx;
use crate::source::given::{STDIN, prefixes, prefixes_with_about};
use crate::source::walk::ARCHIVES;
use crate::source::{elsewhere, format_at};
use crate::spec::name::Reference;
use crate::spec::source_name::Hosts;
use crate::text::nearest;

/// An error and its hint.
type Said = (String, String);

/// What a text may be, the most certain first.
const READINGS: &[fn(&str) -> Option<Said>] = &[
    empty,
    equals_signs,
    elsewhere::of,
    known_format,
    commas,
    pattern,
    spaces,
    one_image_of_a_source,
    unknown_format,
    image,
    similar_path,
];

pub(super) fn error(text: &str) -> anyhow::Error {
    let read = READINGS.iter().find_map(|reading| reading(text));
    let (message, hint) = read.unwrap_or_else(|| {
        let hint = "a source is a path, optionally with its format before it";
        (nothing_at(text), format!("{hint}: {}", prefixes()))
    });
    anyhow::Error::msg(message).context(Hint(hint))
}

fn nothing_at(path: &str) -> String {
    format!("there is nothing at `{}`", escaped(path))
}

fn is_there(path: &str) -> bool {
    path == STDIN || (!path.is_empty() && fsx::meta(Path::new(path)).is_ok_and(|it| it.is_some()))
}

/// The source without its new name.
fn located(text: &str) -> &str {
    text.rsplit_once('=').map_or(text, |(located, _)| located)
}

/// The longest part before a colon that is there.
fn there_before_a_colon(text: &str) -> Option<&str> {
    let mut parts = text.rmatch_indices(':').map(|(colon, _)| &text[..colon]);
    parts.find(|part| is_there(part))
}

fn empty(text: &str) -> Option<Said> {
    let hint = "name a file or a folder; is a variable of the shell not set?";
    text.is_empty()
        .then(|| ("a source is empty".into(), hint.into()))
}

fn equals_signs(text: &str) -> Option<Said> {
    let (source, name) = text.split_once('=')?;
    let shown = escaped(text);
    let spaces = "write `SOURCE=NAME`, without spaces around `=`";
    if source.is_empty() {
        Some((format!("`{shown}` has no source before `=`"), spaces.into()))
    } else if name.is_empty() {
        Some((format!("`{shown}` has no name after `=`"), spaces.into()))
    } else if name.contains('=') && is_there(source) {
        let hint = "give one name: `SOURCE=NAME[:TAG]`";
        Some((format!("`{shown}` has more than one `=`"), hint.into()))
    } else {
        None
    }
}

fn known_format(text: &str) -> Option<Said> {
    let (word, rest) = located(text).split_once(':')?;
    let (prefix, about) = prefixes_with_about().find(|(prefix, _)| *prefix == word)?;
    if rest.is_empty() {
        let message = format!("the path is missing in `{}`", escaped(text));
        return Some((message, format!("write `{prefix}:PATH`")));
    }
    Some((
        nothing_at(rest),
        format!("`{prefix}:` is followed by the path of {about}"),
    ))
}

fn commas(text: &str) -> Option<Said> {
    let mut parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    let are_there = text.contains(',') && parts.clone().next().is_some() && parts.all(is_there);
    are_there.then(|| {
        let hint = "separate sources by spaces, not by commas";
        (nothing_at(text), hint.into())
    })
}

fn pattern(text: &str) -> Option<Said> {
    located(text).contains(['*', '?', '[']).then(|| {
        let hint = "a shell expands a pattern only if it matches and is not in quotes";
        (
            format!("no file matches `{}`", escaped(located(text))),
            hint.into(),
        )
    })
}

fn spaces(text: &str) -> Option<Said> {
    let trimmed = text.trim();
    (trimmed != text && is_there(trimmed)).then(|| {
        let hint = format!("did you mean `{}`, without the space?", escaped(trimmed));
        (nothing_at(text), hint)
    })
}

fn one_image_of_a_source(text: &str) -> Option<Said> {
    let path = there_before_a_colon(located(text))?;
    let format = format_at(Path::new(path));
    let hint = match format {
        Some(format) => format!("write `{}:{}`", format.prefix, escaped(text)),
        None => format!(
            "use `FORMAT:PATH:REF` with one of the formats {}",
            prefixes()
        ),
    };
    Some((nothing_at(text), format!("to read one image, {hint}")))
}

/// What people call formats.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("docker", "docker-archive"),
    ("docker-tar", "docker-archive"),
    ("tar", "docker-archive"),
    ("tarball", "docker-archive"),
    ("archive", "docker-archive"),
    ("layout", "oci"),
    ("oci-dir", "oci"),
    ("oci-layout", "oci"),
    ("ocidir", "oci"),
    ("oci-tar", "oci-archive"),
    ("directory", "dir"),
    ("folder", "dir"),
    ("distribution", "registry-v2"),
    ("registry", "registry-v2"),
    ("stillage", "site"),
];

/// The format that a word may stand for.
fn meant_by(word: &str) -> Option<String> {
    let word = word.to_lowercase().replace('_', "-");
    let known = || prefixes_with_about().map(|(prefix, _)| prefix.to_owned());
    let other = OTHER_WORDS.iter().find(|(other, _)| *other == word);
    let other = other.map(|(_, prefix)| (*prefix).to_owned());
    other.or_else(|| nearest(&word, known()))
}

fn unknown_format(text: &str) -> Option<Said> {
    let (word, rest) = located(text).split_once(':')?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let there = if is_there(path) {
        Some(path)
    } else {
        there_before_a_colon(path)
    };
    // `docker:24` is an image.
    if there.is_none() && !is_path(path) && is_image(located(text)) {
        return None;
    }
    let of_content = there.and_then(|path| format_at(Path::new(path)));
    let prefix = of_content.map(|format| format.prefix.to_owned());
    let hint = match prefix.or_else(|| meant_by(word)) {
        Some(prefix) => format!("did you mean `{prefix}:{}`?", escaped(path)),
        None => format!("known formats: {}", prefixes()),
    };
    let word = escaped(word);
    let message = format!("`{word}:` in `{}` is not a format", escaped(text));
    Some((message, hint))
}

/// Whether a text is written as a path is.
fn is_path(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    text.starts_with(['.', '/', '~'])
        || text.ends_with('/')
        || ARCHIVES.iter().any(|ending| text.ends_with(ending))
        || (text.contains('/') && is_there(first))
}

fn is_image(text: &str) -> bool {
    !is_path(text) && Reference::from_source(text, Hosts::Drop, None).is_ok()
}

fn image(text: &str) -> Option<Said> {
    let image = located(text);
    is_image(image).then(|| {
        let name = text.rsplit_once('=').map(|(_, name)| escaped(name));
        let save = elsewhere::save(&escaped(image), name.as_deref());
        let pull = format!("Stillage pulls nothing; an image that Docker has: {save}");
        let hint =
            similar_path(text).map_or(pull.clone(), |(_, similar)| format!("{similar} {pull}"));
        (nothing_at(image), hint)
    })
}

fn similar_path(text: &str) -> Option<Said> {
    let path = Path::new(located(text));
    let name = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let found = nearest(name, fsx::names(here).ok()?.into_iter());
    let found = found.filter(|found| found != name)?;
    let found = fsx::escaped_path(&folder.join(found));
    Some((nothing_at(text), format!("did you mean `{found}`?")))
}
