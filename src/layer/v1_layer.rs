//! Completes a layer for Docker 1.x. Adds entries for the folders that the layer only implies, with the
//! metadata they have in the layers below, and a whiteout for each path that an opaque whiteout hides.
//!
//! The new entries go before the layer, whose own tar stays unchanged.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read as _, Write};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::content::Content;
use crate::error::is_bad;
use crate::layer::v1_entries::{Entries, Metadata, Room, joined};
use crate::layer::v1_scan::parent;
use crate::layer::{Compression, CopyError, LARGE, Measured, compress_stream};

/// A layer, and the tar entries that complete it.
#[derive(Debug)]
pub struct Completion<'a> {
    layer: &'a Content,
    prefix: Vec<u8>,
}

/// Docker 1.x cannot mount more layers, so those above need no completion.
const MAX_BELOW: usize = 127;

impl<'a> Completion<'a> {
    /// Finds what a layer lacks; `below` are the layers under it, base first. `None` if there are too many
    /// of them, or if a layer is not a valid tar or has too many paths: then the layer is served as it is.
    pub fn of(below: &[Content], layer: &'a Content) -> anyhow::Result<Option<Self>> {
        if below.len() > MAX_BELOW {
            return Ok(None);
        }
        let found = (|| {
            let mut view = View::default();
            for content in below {
                view.apply(&Entries::of(content)?)
                    .map_err(|error| content.failed(error))?;
            }
            prefix(view, &Entries::of(layer)?).map_err(|error| layer.failed(error))
        })();
        match found {
            Ok(prefix) => Ok(Some(Self { layer, prefix })),
            Err(error) if is_bad(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compresses the completed layer.
    pub fn compress(&self, sink: &mut (dyn Write + Send)) -> anyhow::Result<Measured> {
        let plain = Compression::of(self.layer)?
            .decoder(self.layer.open()?, self.layer.len())
            .map_err(|error| self.layer.failed(error))?;
        let whole = io::Cursor::new(&self.prefix).chain(plain);
        compress_stream(whole, self.layer.len() >= LARGE, sink).map_err(|failure| match failure {
            CopyError::Read(error) => self.layer.failed(error),
            CopyError::Write(error) => {
                anyhow::Error::new(error).context("cannot write a layer for v1")
            }
        })
    }
}

/// The file tree of the layers below, with the metadata of folders and whether a path is a folder.
#[derive(Default)]
struct View {
    paths: BTreeMap<Vec<u8>, (Option<Metadata>, bool)>,
    room: Room,
}

impl View {
    /// Removes the paths that the whiteouts of a layer hide.
    fn hide(&mut self, layer: &Entries) {
        for folder in &layer.opaque {
            self.remove_within(folder);
        }
        for path in &layer.gone {
            self.remove(path);
            self.remove_within(path);
        }
    }

    fn remove(&mut self, path: &[u8]) {
        if let Some((look, _)) = self.paths.remove(path) {
            self.room.give(size(path, look.as_ref()));
        }
    }

    fn put(&mut self, path: Vec<u8>, look: Option<Metadata>, is_folder: bool) -> io::Result<()> {
        self.remove(&path);
        self.room.take(size(&path, look.as_ref()))?;
        self.paths.insert(path, (look, is_folder));
        Ok(())
    }

    fn apply(&mut self, layer: &Entries) -> io::Result<()> {
        self.hide(layer);
        for folder in layer.implied()? {
            if !self.paths.contains_key(&folder) {
                self.put(folder, None, true)?;
            }
        }
        for (path, entry) in &layer.members {
            if !entry.is_folder {
                self.remove_within(path);
            }
            self.put(path.clone(), entry.look.clone(), entry.is_folder)?;
        }
        Ok(())
    }

    fn remove_within(&mut self, folder: &[u8]) {
        let start = if folder.is_empty() {
            Vec::new()
        } else {
            [folder, b"/"].concat()
        };
        let range = self.paths.range(start.clone()..);
        let within: Vec<Vec<u8>> = range
            .take_while(|(path, _)| path.starts_with(&start))
            .map(|(path, _)| path.clone())
            .collect();
        for path in within {
            self.remove(&path);
        }
    }

    /// Whether a path exists and is not a folder, such as a link to one: a folder entry would replace the
    /// link, while the members below it are unpacked through it.
    fn is_no_folder(&self, path: &[u8]) -> bool {
        self.paths
            .get(path)
            .is_some_and(|(_, is_folder)| !is_folder)
    }

    /// The paths directly in a folder, and whether they are folders. Deeper paths are skipped, not visited:
    /// otherwise nested folders would take quadratic time.
    fn children(&self, folder: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let start = joined(folder, b"");
        let mut children = Vec::new();
        let mut from = Bound::Included(start.clone());
        while let Some((path, (_, is_folder))) = self.paths.range((from, Bound::Unbounded)).next() {
            let Some(rest) = path.strip_prefix(start.as_slice()) else {
                break;
            };
            from = if let Some(slash) = rest.iter().position(|byte| *byte == b'/') {
                // `0` is the byte after `/`, so this sorts behind everything in that folder.
                let behind = [&path[..start.len() + slash], b"0"].concat();
                Bound::Included(behind)
            } else {
                if !rest.is_empty() {
                    children.push((path.clone(), *is_folder));
                }
                Bound::Excluded(path.clone())
            };
        }
        children
    }
}

fn size(path: &[u8], look: Option<&Metadata>) -> usize {
    path.len() + look.map_or(0, Metadata::bytes)
}

/// The bytes of a tar entry besides its path and metadata.
const ENTRY: usize = 1024;

/// The entries that go before a layer: folders from the root down, then whiteouts.
fn prefix(mut view: View, layer: &Entries) -> io::Result<Vec<u8>> {
    let implied = layer.implied()?;
    let whiteouts = whiteouts(&view, layer, &implied);
    view.hide(layer);
    let mut builder = tar::Builder::new(Vec::new());
    let mut room = Room::default();
    // Sorted, so every folder comes after its parent.
    let mut blocked = HashSet::new();
    for folder in implied {
        let within = parent(&folder).is_some_and(|above| blocked.contains(above));
        if within || view.is_no_folder(&folder) {
            blocked.insert(folder);
            continue;
        }
        if layer
            .members
            .get(&folder)
            .is_none_or(|entry| !entry.is_folder)
        {
            let below = view.paths.get(&folder).and_then(|(look, _)| look.as_ref());
            room.take(folder.len() + below.map_or(0, Metadata::bytes) + ENTRY)?;
            add_folder(&mut builder, &folder, below)?;
        }
    }
    for path in whiteouts {
        room.take(path.len() + ENTRY)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        builder.append_data(&mut header, as_path(&path), io::empty())?;
    }
    // Not `into_inner`, which would add the blocks that end a tar.
    Ok(std::mem::take(builder.get_mut()))
}

/// A whiteout for each path that opaque folders hide, except for paths that the layer itself has.
fn whiteouts(view: &View, layer: &Entries, implied: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut whiteouts = BTreeSet::new();
    let mut folders: Vec<Vec<u8>> = layer.opaque.iter().cloned().collect();
    let mut seen = HashSet::new();
    while let Some(folder) = folders.pop() {
        if !seen.insert(folder.clone()) {
            continue;
        }
        for (path, is_folder) in view.children(&folder) {
            let there = layer.members.get(&path).map(|entry| entry.is_folder);
            match there.or(implied.contains(&path).then_some(true)) {
                Some(true) if is_folder => folders.push(path),
                Some(_) => {}
                None if layer.gone.contains(&path) => {}
                None => {
                    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                    whiteouts.insert(joined(&folder, &[b".wh.", name].concat()));
                }
            }
        }
    }
    whiteouts.into_iter().collect()
}

fn add_folder(
    builder: &mut tar::Builder<Vec<u8>>,
    path: &[u8],
    below: Option<&Metadata>,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    if let Some(below) = below {
        builder.append_pax_extensions(
            below
                .attributes
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice())),
        )?;
    }
    header.set_mode(below.map_or(0o755, |below| below.mode) & 0o7777);
    header.set_uid(below.map_or(0, |below| below.uid));
    header.set_gid(below.map_or(0, |below| below.gid));
    header.set_mtime(below.map_or(0, |below| below.mtime));
    builder.append_data(&mut header, as_path(path), io::empty())
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
