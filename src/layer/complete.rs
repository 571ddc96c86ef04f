//! A layer with what Docker 1.x misses in it: the folders that it only implies, as the layers below
//! have them, and a whiteout for each thing that an opaque one hides.
//!
//! All of that goes before the layer, whose own tar stays byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::content::Content;
use crate::error::is_bad;
use crate::layer::shape::{MAX_PATHS, normal, parent};
use crate::layer::{Failure, LARGE, Measured, Packing, compress_stream};

/// A layer that can be completed.
#[derive(Debug)]
pub struct Completion<'a> {
    layer: &'a Content,
    prefix: Vec<u8>,
}

/// No Linux takes a longer path, in bytes.
const MAX_PATH: usize = 4096;

impl<'a> Completion<'a> {
    /// Finds what a layer misses; `below` are the layers under it, base first. `None` when one of
    /// them is no tar that can be read to its end: then nothing is known to be missing.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub fn of(below: &[Content], layer: &'a Content) -> anyhow::Result<Option<Self>> {
        let found = (|| {
            let mut view = View::default();
            for content in below {
                view.apply(&Entries::of(content)?);
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
    ///
    /// # Errors
    /// When it cannot be read or the result cannot be written.
    pub fn compress(&self, sink: &mut (dyn Write + Send)) -> anyhow::Result<Measured> {
        let plain = Packing::of(self.layer)?
            .decoder(self.layer.open()?)
            .map_err(|error| self.layer.failed(error))?;
        let whole = io::Cursor::new(&self.prefix).chain(plain);
        compress_stream(whole, self.layer.len() >= LARGE, sink).map_err(|failure| match failure {
            Failure::Read(error) => self.layer.failed(error),
            Failure::Write(error) => {
                anyhow::Error::new(error).context("cannot write a layer for v1")
            }
        })
    }
}

/// A member of a layer, by its normal path.
struct Entry {
    look: Look,
    is_folder: bool,
}

/// What a folder looks like: owner, mode and time in its header, extended attributes beside it.
#[derive(Clone)]
struct Look {
    header: tar::Header,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Look {
    fn of(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Self> {
        let mut attributes = Vec::new();
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            if let Ok(key) = extension.key().map(str::to_owned)
                && key.starts_with("SCHILY.xattr.")
            {
                attributes.push((key, extension.value_bytes().to_vec()));
            }
        }
        Ok(Self {
            header: entry.header().clone(),
            attributes,
        })
    }
}

/// What is in a layer.
#[derive(Default)]
struct Entries {
    members: BTreeMap<Vec<u8>, Entry>,
    /// Paths that a whiteout removes.
    gone: BTreeSet<Vec<u8>>,
    /// Folders whose content below is hidden.
    opaque: BTreeSet<Vec<u8>>,
}

impl Entries {
    fn of(content: &Content) -> anyhow::Result<Self> {
        let decoder = Packing::of(content)?.decoder(content.open()?);
        decoder
            .and_then(Self::read)
            .map_err(|error| content.failed(error))
    }

    fn read(plain: impl Read) -> io::Result<Self> {
        let mut found = Self::default();
        let mut bytes = 0;
        // Some tools leave out the blocks that end a tar.
        let padded = plain.chain(io::repeat(0).take(1024));
        for entry in tar::Archive::new(padded).entries()? {
            let mut entry = entry?;
            let path = normal(&entry.path_bytes());
            bytes += path.len();
            if path.len() > MAX_PATH || bytes > MAX_PATHS {
                return Err(io::Error::other("its paths are too long"));
            }
            let folder = parent(&path).unwrap_or_default().to_vec();
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            match name.strip_prefix(b".wh.") {
                Some(b".wh..opq") => {
                    found.opaque.insert(folder);
                }
                // Other names of this kind belong to the file system of the builder.
                Some(hidden) if hidden.starts_with(b".wh.") => {}
                Some(hidden) => {
                    found.gone.insert(joined(&folder, hidden));
                }
                None => {
                    let is_folder = entry.header().entry_type().is_dir();
                    let look = Look::of(&mut entry)?;
                    found.members.insert(path, Entry { look, is_folder });
                }
            }
        }
        Ok(found)
    }

    /// All folders that something in the layer lies in.
    fn implied(&self) -> BTreeSet<Vec<u8>> {
        let mut implied = BTreeSet::new();
        let opaque = self.opaque.iter().map(Vec::as_slice);
        let within = self
            .members
            .keys()
            .chain(&self.gone)
            .filter_map(|path| parent(path))
            .chain(opaque);
        for mut folder in within.filter(|folder| !folder.is_empty()) {
            while implied.insert(folder.to_vec()) {
                let Some(above) = parent(folder) else { break };
                folder = above;
            }
        }
        implied
    }
}

/// The layers below as a client sees them.
#[derive(Default)]
struct View(BTreeMap<Vec<u8>, (Option<Look>, bool)>);

impl View {
    /// Removes what a layer hides.
    fn hide(&mut self, layer: &Entries) {
        for folder in &layer.opaque {
            self.remove_within(folder);
        }
        for path in &layer.gone {
            self.0.remove(path);
            self.remove_within(path);
        }
    }

    fn apply(&mut self, layer: &Entries) {
        self.hide(layer);
        for folder in layer.implied() {
            self.0.entry(folder).or_insert((None, true));
        }
        for (path, entry) in &layer.members {
            if !entry.is_folder {
                self.remove_within(path);
            }
            self.0
                .insert(path.clone(), (Some(entry.look.clone()), entry.is_folder));
        }
    }

    fn remove_within(&mut self, folder: &[u8]) {
        let within: Vec<Vec<u8>> = self.within(folder).map(|(path, _)| path.clone()).collect();
        for path in within {
            self.0.remove(&path);
        }
    }

    fn within(&self, folder: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &(Option<Look>, bool))> {
        let start = if folder.is_empty() {
            Vec::new()
        } else {
            [folder, b"/"].concat()
        };
        let end = start.clone();
        self.0
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&end))
    }

    /// Whether a path leads over something that is no folder, as a link to one: a folder entry would
    /// replace it, the members below it only go through it.
    fn is_blocked(&self, path: &[u8]) -> bool {
        let above = std::iter::successors(Some(path), |path| parent(path));
        above
            .filter_map(|path| self.0.get(path))
            .any(|(_, is_folder)| !is_folder)
    }

    /// What is directly in a folder.
    fn children(&self, folder: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let own = |path: &[u8]| parent(path).unwrap_or_default() == folder;
        self.within(folder)
            .filter(|(path, _)| own(path))
            .map(|(path, (_, is_folder))| (path.clone(), *is_folder))
            .collect()
    }
}

/// The entries that go before a layer: folders from the root down, then whiteouts.
fn prefix(mut view: View, layer: &Entries) -> io::Result<Vec<u8>> {
    let implied = layer.implied();
    let whiteouts = whiteouts(&view, layer, &implied);
    view.hide(layer);
    let mut builder = tar::Builder::new(Vec::new());
    for folder in implied {
        if view.is_blocked(&folder) {
            continue;
        }
        if layer
            .members
            .get(&folder)
            .is_none_or(|entry| !entry.is_folder)
        {
            let below = view.0.get(&folder).and_then(|(look, _)| look.as_ref());
            add_folder(&mut builder, &folder, below)?;
        }
    }
    for path in whiteouts {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        builder.append_data(&mut header, as_path(&path), io::empty())?;
    }
    // Without the blocks that would end the tar here.
    Ok(builder.get_ref().clone())
}

/// The whiteouts that hide what opaque folders have below, but for what the layer has there itself.
fn whiteouts(view: &View, layer: &Entries, implied: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut whiteouts = BTreeSet::new();
    let mut folders: Vec<Vec<u8>> = layer.opaque.iter().cloned().collect();
    while let Some(folder) = folders.pop() {
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
    below: Option<&Look>,
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
    // What a header leaves blank is taken for nothing, as Go does.
    let below = below.map(|below| &below.header);
    header.set_mode(below.map_or(0o755, |below| below.mode().unwrap_or(0o755)) & 0o7777);
    header.set_uid(below.map_or(0, |below| below.uid().unwrap_or(0)));
    header.set_gid(below.map_or(0, |below| below.gid().unwrap_or(0)));
    header.set_mtime(below.map_or(0, |below| below.mtime().unwrap_or(0)));
    builder.append_data(&mut header, as_path(path), io::empty())
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, b"/", name].concat()
    }
}
