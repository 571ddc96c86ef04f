//! A folder of many sources, searched for everything that holds images.
//!
//! Images without a name get one from their path, in the layout of `skopeo sync`: `quay.io/org/app:1.0/` is
//! `org/app:1.0`. Symbolic links are not followed, and the site itself is skipped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{escaped, is_bad};
use crate::fsx;
use crate::import::draft::{Called, Draft, RootManifest};
use crate::import::request::Request;
use crate::import::staging::Staging;
use crate::note::{Note, NoteKind};
use crate::progress::Progress;
use crate::source::Opened;
use crate::source::archive::Archive;
use crate::spec::name::{Reference, Tag};

/// Reads all sources below `root`, except the site in `output`.
pub(super) fn load(
    root: &Path,
    output: &Path,
    staging: &Staging,
    request: &Request<'_>,
    progress: &Progress,
) -> anyhow::Result<Vec<Draft>> {
    let output = fsx::canonical(output);
    let mut drafts = Vec::new();
    let mut left_out = Draft::new(format!("`{}`", fsx::escaped_path(root)));
    let mut entries = WalkDir::new(root)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter();
    let mut loaded: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type());
        // Beside the files of a layout or `dir:` folder there may be folders with further ones, as zot has them.
        if path.parent().is_some_and(|parent| loaded.contains(parent)) {
            if !kind.is_dir() {
                continue;
            }
            if entry.file_name() == "blobs" {
                entries.skip_current_dir();
                continue;
            }
        }
        if kind.is_dir() && fsx::canonical(path) == output {
            entries.skip_current_dir();
            continue;
        }
        let origin = format!("`{}`", fsx::escaped_path(path));
        let opened = if kind.is_dir() {
            Opened::Folder(path.to_path_buf())
        } else if kind.is_file() && Archive::looks_like_one(path)? {
            match Opened::new(path, staging, progress) {
                Err(error) if is_bad(&error) => {
                    left_out.leave_out(request, Called::Nameless(origin), error)?;
                    continue;
                }
                opened => opened?,
            }
        } else {
            left_out.notes.push(not_an_image(path, &origin));
            continue;
        };
        match opened.format(None)? {
            Some(format) => {
                // If the path is not a reference, the images stay nameless.
                let path = path.strip_prefix(root)?.to_string_lossy();
                let named = kind.is_dir().then(|| request.parsed(&path).ok());
                let path_name = named.flatten();
                let request = Request {
                    path_name: path_name.as_ref(),
                    ..request.clone()
                };
                let mut found = match format.load(&opened, &origin, &request) {
                    Ok(found) => found,
                    Err(error) => {
                        let called = Called::Nameless(origin);
                        left_out.leave_out(&request, called, error)?;
                        Vec::new()
                    }
                };
                if kind.is_dir() {
                    if format.has_folders {
                        loaded.insert(entry.path().to_owned());
                    } else {
                        entries.skip_current_dir();
                    }
                    name_by_path(&mut found, path_name.as_ref(), &path);
                }
                drop_nameless(&mut found, &mut left_out);
                drafts.append(&mut found);
            }
            None if kind.is_dir() => {}
            None => left_out
                .notes
                .push(NoteKind::Leftover.note(format!("{origin} is not an image"))),
        }
    }
    drafts.push(left_out);
    Ok(drafts)
}

/// The note on a file that is not an archive. If it is named like one, this is a fault: `docker save`, for
/// example, leaves an empty file when it fails.
fn not_an_image(path: &Path, origin: &str) -> Note {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let has_archive_name = ARCHIVES.iter().any(|ending| name.ends_with(ending));
    if has_archive_name {
        NoteKind::Fault.note(format!("{origin} is left out: it is not an archive"))
    } else {
        NoteKind::Leftover.note(format!("{origin} is not an image"))
    }
}

const ARCHIVES: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];

/// Names nameless images after the path of their folder. Notes say where the path could be read otherwise: as
/// a name with a tag, although the images have tags, or as a name without one.
fn name_by_path(drafts: &mut [Draft], reference: Option<&Reference>, path: &str) {
    let Some(Reference {
        repository,
        tag: of_path,
        ..
    }) = reference
    else {
        return;
    };
    for draft in drafts {
        let nameless = |root: &&mut RootManifest| root.repository.is_none();
        for root in draft.roots.iter_mut().filter(nameless) {
            let (tag, is_ambiguous) = match (root.tag.take(), of_path) {
                (Some(tag), Some(other)) => (tag.clone(), tag != *other),
                (Some(tag), None) => (tag, false),
                (None, Some(tag)) => (tag.clone(), false),
                (None, None) => (Tag::latest(), true),
            };
            if is_ambiguous {
                let name = format!("{repository}:{tag}");
                let note =
                    NoteKind::Choice.note(format!("`{}` is read as `{name}`", escaped(path)));
                draft.notes.push(note.about(name));
            }
            root.repository = Some(repository.clone());
            root.tag = Some(tag);
        }
    }
}

fn drop_nameless(drafts: &mut [Draft], left_out: &mut Draft) {
    for draft in drafts {
        let origin = draft.origin.clone();
        draft.roots.retain(|root| {
            let named = root.repository.is_some();
            if !named {
                left_out.notes.push(NoteKind::Leftover.note(format!(
                    "{} in {origin} is left out: it has no name",
                    escaped(&root.called)
                )));
            }
            named
        });
    }
}
