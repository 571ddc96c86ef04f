//! Why a source is refused, and what the user can give instead.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::error::{Hint, escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{Draft, Fault};
use crate::note::Note;
use crate::source::archive::Archive;
use crate::source::given::STDIN;
use crate::source::{Format, Opened, Source, prefixes};
use crate::spec::name::{Reference, Tag};
use crate::text::{nearest, some};

/// How many folders above a path are looked at: the links of a registry are about as far below its storage folder.
const MAX_ABOVE: usize = 8;
/// The most names of a source in a message.
const SHOWN: usize = 5;

/// Adds a hint: that the path is part of something that is a source as a whole, such as a layout, or else another one.
pub(super) fn with_hint(
    error: anyhow::Error,
    path: &Path,
    other: impl FnOnce() -> Option<String>,
) -> anyhow::Error {
    let hint = match whole(path) {
        Some((folder, format)) => {
            let folder = fsx::escaped_path(&folder);
            let what = format.about;
            Some(format!(
                "it is part of `{folder}`, {what}: give that folder"
            ))
        }
        None => other(),
    };
    match hint {
        Some(hint) => error.context(Hint(hint)),
        None => error,
    }
}

/// The folder above a path that is a source, and its format.
fn whole(path: &Path) -> Option<(PathBuf, &'static Format)> {
    if path.as_os_str() == STDIN {
        return None;
    }
    let absolute = fsx::absolute(path).ok()?;
    let above = absolute.ancestors().enumerate().skip(1).take(MAX_ABOVE);
    for (up, folder) in above {
        let format = Opened::Folder(folder.to_owned()).format();
        if let Ok(Some(format)) = format {
            // As the user wrote it, if that goes as far up.
            let is_plain = path
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
            let given = path.ancestors().nth(up).filter(|_| is_plain);
            let given = given.filter(|given| !given.as_os_str().is_empty());
            return Some((given.unwrap_or(folder).to_owned(), format));
        }
    }
    None
}

/// The error for a source that has nothing in the format that the user says it has.
pub(super) fn wrong_format(
    opened: &Opened,
    source: &Source,
    prefix: &str,
    reason: &str,
) -> anyhow::Result<anyhow::Error> {
    let origin = source.origin();
    let error = anyhow::anyhow!("{origin} is not a source for `{prefix}:`: {reason}");
    let Some(format) = opened.format()? else {
        let known = || Some(format!("known formats: {}", prefixes()));
        return Ok(with_hint(error, &source.path, known));
    };
    let right = Source {
        prefix: Some(format.prefix),
        ..source.clone()
    };
    let (what, text) = (format.about, right.located_text());
    Ok(error.context(Hint(format!("it is {what}: `{text}`"))))
}

/// The error for an archive in no known format.
pub(super) fn unknown(archive: &Archive, source: &Source) -> anyhow::Error {
    let origin = source.origin();
    if is_file_system(archive) {
        let error = invalid_input(format!("{origin} is a file system, not an image"));
        let hint = "save the image with `docker save IMAGE`; `docker export` writes the files of a container alone";
        return error.context(Hint(hint.into()));
    }
    let error = invalid_input(format!("{origin} is not an image in a known format"));
    if let Some(folder) = archive.below("manifest.json") {
        let folder = escaped(folder);
        return error.context(Hint(format!(
            "its images are in the folder `{folder}`; pack what is in the folder, with `tar -C FOLDER -cf FILE .`"
        )));
    }
    let known = || Some(format!("known formats: {}", prefixes()));
    with_hint(error, &source.path, known)
}

/// Whether an archive has what the root of a system has, as `docker export` writes it.
fn is_file_system(archive: &Archive) -> bool {
    let folders = ["etc/", "usr/", "bin/", "sbin/", "lib/"];
    let mut has = folders.iter().map(|folder| archive.has_folder(folder));
    archive.has(".dockerenv") || has.any(|has| has)
}

/// The error for a source that holds nothing that is asked for. `seen` are the names of its images.
pub(super) fn holds_nothing(
    source: &Source,
    drafts: &[Draft],
    seen: &BTreeSet<String>,
) -> anyhow::Error {
    let origin = source.origin();
    if let Some(one) = &source.selected {
        return lacks(&origin, one, seen);
    }
    let error = invalid_input(format!("{origin} holds no image"));
    let notes: Vec<&str> = drafts
        .iter()
        .flat_map(|draft| &draft.notes)
        .map(|note| note.message.as_str())
        .collect();
    let of_notes = || (!notes.is_empty()).then(|| some_of(&notes));
    with_hint(error, &source.path, of_notes)
}

/// The error for a source that does not have the one image that is asked for.
fn lacks(origin: &str, one: &str, seen: &BTreeSet<String>) -> anyhow::Error {
    let has_tags = !seen.is_empty() && seen.iter().all(|name| name.contains(':'));
    let parsed: Option<Reference> = one.parse().ok();
    let is_bare = parsed.is_some_and(|one| one.tag.is_none() && one.digest.is_none());
    let wanted = if is_bare && has_tags {
        format!("{one}:{}", Tag::latest())
    } else {
        one.to_owned()
    };
    let error = anyhow::anyhow!("{origin} holds no image `{}`", escaped(&wanted));
    if seen.is_empty() {
        return error;
    }
    let quoted = seen.iter().map(|name| format!("`{}`", escaped(name)));
    let has = format!("it has {}", some(&quoted.collect::<Vec<_>>(), SHOWN));
    let lower = wanted.to_lowercase();
    let same_repository = seen.iter().find(|name| {
        let repository = name.rsplit_once(':').map(|(repository, _)| repository);
        repository == Some(one.to_lowercase().as_str())
    });
    let meant = same_repository.cloned();
    let meant = meant.or_else(|| nearest(&lower, seen.iter().cloned()));
    error.context(Hint(match meant {
        Some(meant) => format!("did you mean `{}`? {has}", escaped(meant)),
        None => has,
    }))
}

/// Adds which source images cannot be read from, unless the error says so already: it may name the file.
pub(super) fn cannot_read_images(error: anyhow::Error, origin: &str) -> anyhow::Error {
    let said = error.to_string();
    if said.starts_with("cannot read ") && said.contains(origin.trim_matches('`')) {
        return error;
    }
    error.context(format!("cannot read images from {origin}"))
}

/// Fails with the first fault, and a hint that names the others, if there are any: nothing else remains of the
/// source.
pub(super) fn all_of(mut faults: Vec<Fault>, origin: &str) -> anyhow::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let first = faults.remove(0);
    let error = match first.called.names().first() {
        Some(name) => {
            let context = format!("cannot take `{}` from {origin}", escaped(name));
            first.error.context(context)
        }
        None => cannot_read_images(first.error, origin),
    };
    let others: Vec<Note> = faults.iter().flat_map(Fault::notes).collect();
    let others: Vec<&str> = others.iter().map(|note| note.message.as_str()).collect();
    Err(if others.is_empty() {
        error
    } else {
        error.context(Hint(some_of(&others)))
    })
}

/// The first three notes, and the number of the others.
fn some_of(notes: &[&str]) -> String {
    let some = notes[..notes.len().min(3)].join("; ");
    match notes.len().saturating_sub(3) {
        0 => some,
        more => format!("{some}; and {more} more"),
    }
}
