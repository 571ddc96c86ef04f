//! A folder of many sources, searched for everything that holds images.
//!
//! Images without a name get one from their path, in the layout of `skopeo sync`: `quay.io/org/app:1.0/` is
//! `org/app:1.0`. Symbolic links are not followed, and the site itself is skipped.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::content::Content;
use crate::error::{escaped, is_bad};
use crate::fsx;
use crate::import::draft::{Called, Draft, RootManifest};
use crate::import::request::Request;
use crate::note::{Note, NoteKind};
use crate::source::archive::Archive;
use crate::source::{Format, Opened, Run, export};
use crate::spec::mistaken;
use crate::spec::name::{Reference, Tag};

/// Reads all sources below `root`, except the site.
pub(super) fn load(
    root: &Path,
    run: &Run<'_>,
    request: &Request<'_>,
) -> anyhow::Result<Vec<Draft>> {
    let output = fsx::canonical(run.output);
    let mut walk = Walk {
        root,
        run,
        request,
        drafts: Vec::new(),
        left_out: Draft::new(format!("`{}`", fsx::escaped_path(root))),
        loaded: BTreeSet::new(),
    };
    let entries = WalkDir::new(root).min_depth(1).sort_by_file_name();
    let mut entries = entries.into_iter();
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(fsx::cannot_walk)?;
        let is_site = entry.file_type().is_dir() && fsx::canonical(entry.path()) == output;
        if is_site || walk.visit(&entry)? == Visited::Whole {
            entries.skip_current_dir();
        }
    }
    walk.drafts.push(walk.left_out);
    Ok(walk.drafts)
}

struct Walk<'a> {
    root: &'a Path,
    run: &'a Run<'a>,
    request: &'a Request<'a>,
    drafts: Vec<Draft>,
    /// Files and folders that are not read, with the reasons.
    left_out: Draft,
    /// Folders that were read, and may have others beside their own files.
    loaded: BTreeSet<PathBuf>,
}

#[derive(PartialEq, Eq)]
enum Visited {
    /// A folder with nothing more in it to visit.
    Whole,
    Part,
}

impl Walk<'_> {
    fn visit(&mut self, entry: &DirEntry) -> anyhow::Result<Visited> {
        let (path, is_folder) = (entry.path(), entry.file_type().is_dir());
        // Beside the files of a layout or `dir:` folder there may be folders with further ones, as zot has them.
        if path
            .parent()
            .is_some_and(|parent| self.loaded.contains(parent))
        {
            if !is_folder {
                return Ok(Visited::Part);
            }
            if entry.file_name() == "blobs" {
                return Ok(Visited::Whole);
            }
        }
        let origin = format!("`{}`", fsx::escaped_path(path));
        if is_folder {
            let opened = match Opened::new(path, self.run) {
                Err(error) if is_bad(&error) => {
                    let called = Called::Nameless(origin);
                    self.left_out.leave_out(self.request, called, error)?;
                    return Ok(Visited::Whole);
                }
                opened => opened?,
            };
            let Some(opened) = opened else {
                return Ok(Visited::Whole);
            };
            let Some(format) = opened.format()? else {
                return Ok(Visited::Part);
            };
            let is_unpacked = matches!(opened, Opened::Archive(_));
            let visited = self.read(path, &opened, format, origin)?;
            return Ok(if is_unpacked { Visited::Whole } else { visited });
        }
        self.visit_file(entry, origin)?;
        Ok(Visited::Part)
    }

    fn visit_file(&mut self, entry: &DirEntry, origin: String) -> anyhow::Result<()> {
        // What macOS leaves beside files.
        let name = entry.file_name().to_string_lossy();
        if name.starts_with("._") || name == ".DS_Store" {
            return Ok(());
        }
        let path = entry.path();
        let content = if entry.file_type().is_file() {
            Content::file(path.to_owned())?
        } else {
            None
        };
        let identity = content.as_ref().map(Content::identity).transpose()?;
        let identity = identity.flatten();
        let is_known = identity.as_ref().is_some_and(self.run.holds_no_image);
        if !(is_known || content.is_some() && Archive::looks_like_one(path)?) {
            self.left_out.notes.push(not_an_image(path, &origin)?);
            return Ok(());
        }
        if !is_known {
            let opened = match Opened::new(path, self.run) {
                Err(error) if is_bad(&error) => {
                    let called = Called::Nameless(origin);
                    return self.left_out.leave_out(self.request, called, error);
                }
                opened => opened?,
            };
            let Some(opened) = opened else {
                return Ok(()); // a volume of an export, read with the last of them
            };
            if let Some(format) = opened.format()? {
                return self.read(path, &opened, format, origin).map(drop);
            }
        }
        let note = NoteKind::Leftover.note(format!("{origin} is not an image"));
        self.left_out.notes.push(note);
        self.left_out.no_images.extend(content.zip(identity));
        Ok(())
    }

    /// Reads a source. Images without a name in a folder are named after its path.
    fn read(
        &mut self,
        path: &Path,
        opened: &Opened,
        format: &Format,
        origin: String,
    ) -> anyhow::Result<Visited> {
        let is_folder = matches!(opened, Opened::Folder(_));
        // If the path is not a reference, the images stay nameless.
        let relative = path.strip_prefix(self.root)?.to_string_lossy();
        let path_name = is_folder.then(|| self.request.parsed(&relative).ok());
        let path_name = path_name.flatten();
        let request = Request {
            path_name: path_name.as_ref(),
            ..self.request.clone()
        };
        let mut found = match format.load(opened, &origin, &request) {
            Ok(found) => found,
            // One delivery of several, which are applied one by one.
            Err(error) if format.prefix == export::FORMAT.prefix => return Err(error),
            Err(error) => {
                let called = Called::Nameless(origin);
                self.left_out.leave_out(&request, called, error)?;
                Vec::new()
            }
        };
        if is_folder {
            name_by_path(&mut found, path_name.as_ref(), &relative);
        }
        drop_nameless(&mut found, &mut self.left_out);
        self.drafts.append(&mut found);
        if is_folder && format.has_folders {
            self.loaded.insert(path.to_owned());
        }
        Ok(if is_folder && !format.has_folders {
            Visited::Whole
        } else {
            Visited::Part
        })
    }
}

/// The note on a file that is not an archive. If it is named like one, this is a fault: `docker save`, for
/// example, leaves an empty file when it fails.
fn not_an_image(path: &Path, origin: &str) -> anyhow::Result<Note> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let has_archive_name = ARCHIVES.iter().any(|ending| name.ends_with(ending));
    if !has_archive_name {
        return Ok(NoteKind::Leftover.note(format!("{origin} is not an image")));
    }
    let mut start = Vec::new();
    if let Some((file, _)) = fsx::open_regular(path)? {
        let _ = file.take(512).read_to_end(&mut start);
    }
    let reason = match mistaken::recognised(&start) {
        Some((what, hint)) => format!("it is not an archive but {what}; {hint}"),
        None if start.is_empty() => "it is not an archive: it is empty".into(),
        None => "it is not an archive".into(),
    };
    Ok(NoteKind::Fault.note(format!("{origin} is left out: {reason}")))
}

pub(super) const ARCHIVES: [&str; 6] =
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];

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
                (Some(tag), _) if tag.attached_to().is_some() => (tag, false),
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
                    root.called
                )));
            }
            named
        });
    }
}
