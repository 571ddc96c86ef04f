//! Completes a layer for Docker 1.x; see [`super::v1_scan`] for what it would do wrong.
//! ```text
//! whiteouts       for what whiteouts and opaque whiteouts hide in the layers below
//! folders         that the layer only implies, with the metadata that they have below
//! members         as they are, without whiteouts, and each path once
//! ```
//! Whiteouts come first, so that they remove nothing of the layer itself. Paths in whiteouts and folders lead
//! through no link.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::content::{Content, Packing};
use crate::layer::compress::{pack, prepend};
use crate::layer::raw_tar::{Ending, Member, RawTar, Visit};
use crate::layer::v1_outline::{Metadata, Node, Outline, Room};
use crate::layer::v1_paths::{Above, joined, parent, split};
use crate::layer::v1_places::{Places, Way};
use crate::layer::v1_view::View;
use crate::layer::{Compression, CopyError};

/// A layer, and what is added to it and left out of it.
#[derive(Debug)]
pub struct Completion {
    layer: Content,
    prefix: Vec<u8>,
    /// Numbers of members.
    left_out: BTreeSet<u64>,
    is_unpadded: bool,
}

impl Completion {
    /// Finds what a layer lacks above a view of the layers below.
    ///
    /// # Errors
    /// When it has too many paths.
    pub(super) fn above(view: &View, outline: &Outline, layer: &Content) -> io::Result<Self> {
        Ok(Self {
            layer: layer.clone(),
            prefix: Upper::new(view, outline).and_then(Upper::prefix)?,
            left_out: outline.left_out.clone(),
            is_unpadded: outline.unpadded > 0,
        })
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.prefix.len() + 16 * self.left_out.len()
    }

    /// Compresses the completed layer. Where nothing is left out of it, a gzip layer keeps its bytes behind a member with
    /// what is added: all clients read members as one file. Returns its length in bytes.
    pub fn compress(&self, sink: &mut (dyn Write + Send)) -> anyhow::Result<u64> {
        let (compression, len) = (Compression::of(&self.layer)?, self.layer.len());
        let packed = self.layer.open()?;
        let is_whole = self.left_out.is_empty() && !self.is_unpadded;
        let compressed = if is_whole {
            prepend(&self.prefix, compression, packed, len, sink)
        } else {
            let plain = compression
                .decoder(packed, len)
                .map_err(|error| self.layer.failed(error))?;
            let members = Filtered::new(plain, &self.left_out);
            // By this thread alone: others may be doing the same.
            let plain = io::Cursor::new(&self.prefix).chain(members);
            pack(plain, false, Packing::Gzip, sink)
        };
        compressed.map_err(|failure| match failure {
            CopyError::Read(error) => self.layer.failed(error),
            CopyError::Write(error) => {
                anyhow::Error::new(error).context("cannot write a layer for v1")
            }
        })
    }
}

/// A layer above a view: where its members lie when it has been unpacked.
struct Upper<'a> {
    view: &'a View,
    layer: &'a Outline,
    /// Places that whiteouts of the layer remove.
    gone: BTreeSet<Vec<u8>>,
    /// Places of folders that the layer makes opaque.
    opaque: BTreeSet<Vec<u8>>,
    /// What these hide.
    hidden: RefCell<Above>,
    /// The members of the layer by their places.
    own: BTreeMap<Vec<u8>, Node>,
    /// Places of folders that the layer implies.
    implied: BTreeMap<Vec<u8>, Option<Metadata>>,
    places: Places,
    /// The memory left for implied folders.
    room: Room,
}

impl<'a> Upper<'a> {
    fn new(view: &'a View, layer: &'a Outline) -> io::Result<Self> {
        let mut places = Places::default();
        let gone = layer.gone.iter();
        let gone = gone.filter_map(|path| view.place(&mut places, path));
        let gone: BTreeSet<Vec<u8>> = gone.collect();
        let opaque = layer.opaque.iter();
        let opaque = opaque.filter_map(|path| view.folder(&mut places, path));
        let mut upper = Self {
            view,
            layer,
            gone,
            opaque: opaque.collect(),
            hidden: RefCell::default(),
            own: BTreeMap::new(),
            implied: BTreeMap::new(),
            places: Places::default(),
            room: Room::default(),
        };
        for (path, node) in layer.members.values() {
            if let Some(place) = upper.imply(path)? {
                let known = upper.own.get(&place).or_else(|| upper.below(&place));
                let was_folder = match known {
                    Some(known) => Some(known.is_folder()),
                    None => upper.implied.contains_key(&place).then_some(true),
                };
                if was_folder.is_some_and(|was_folder| was_folder != node.is_folder()) {
                    upper.places = Places::default();
                }
                upper.own.insert(place, node.clone());
            }
        }
        for folder in &layer.opaque {
            upper.imply(&joined(folder, b"x"))?;
        }
        Ok(upper)
    }

    /// What the layers below have at a place and the layer does not hide.
    fn below(&self, place: &[u8]) -> Option<&'a Node> {
        let found = self.view.get(place)?;
        let is_hidden = self.gone.contains(place)
            || self.opaque.contains(&b""[..])
            || self.hidden.borrow_mut().any_folder(place, |folder| {
                self.opaque.contains(folder) || self.gone.contains(folder)
            });
        (!is_hidden).then_some(found)
    }

    /// The place of a path. The folders above it are implied.
    fn imply(&mut self, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut passed: Vec<Vec<u8>> = Vec::new();
        let mut places = std::mem::take(&mut self.places);
        let look = |at: &[u8]| match (self.own.get(at), self.below(at)) {
            (Some(node), _) => Some(node).into(),
            (None, Some(Node::Link(target))) => Way::Link(target),
            // Noted as if it were missing. A folder takes the place of a file.
            _ => Way::Missing,
        };
        let found = places.place(path, look, |folder| passed.push(folder.to_vec()));
        self.places = places;
        if found.is_none() {
            return Ok(None);
        }
        for folder in passed {
            if self.implied.contains_key(&folder) {
                continue;
            }
            let look = match self.below(&folder) {
                Some(Node::Folder(look)) => look.clone(),
                _ => None,
            };
            let bytes = look.as_ref().map_or(0, Metadata::bytes);
            self.room.take(folder.len() + bytes)?;
            self.implied.insert(folder, look);
        }
        Ok(found)
    }

    /// The entries that go before the layer: whiteouts, then folders from the root down.
    fn prefix(mut self) -> io::Result<Vec<u8>> {
        let whiteouts = self.whiteouts();
        for path in &whiteouts {
            self.imply(path)?;
        }
        let mut builder = tar::Builder::new(Vec::new());
        let mut room = Room::default();
        for path in whiteouts {
            room.take(path.len() + ENTRY)?;
            let (folder, name) = split(&path);
            let whiteout = joined(folder, &[b".wh.", name].concat());
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(0);
            builder.append_data(&mut header, as_path(&whiteout), io::empty())?;
        }
        for (folder, look) in self.folders() {
            room.take(folder.len() + look.map_or(0, Metadata::bytes) + ENTRY)?;
            add_folder(&mut builder, folder, look)?;
        }
        // Not `into_inner`, which would add the blocks that end a tar.
        Ok(std::mem::take(builder.get_mut()))
    }

    /// The folders to add: those that the layer only implies, and above them those that it has by a link alone.
    fn folders(&self) -> BTreeMap<&[u8], Option<&Metadata>> {
        let implied = self.implied.iter();
        let implied = implied.filter(|(folder, _)| !self.own.contains_key(*folder));
        let mut folders: BTreeMap<&[u8], Option<&Metadata>> = implied
            .map(|(folder, look)| (folder.as_slice(), look.as_ref()))
            .collect();
        let members: HashSet<&[u8]> = self
            .layer
            .members
            .values()
            .map(|(path, _)| path.as_slice())
            .collect();
        let added: Vec<&[u8]> = folders.keys().copied().collect();
        for folder in added {
            for above in std::iter::successors(parent(folder), |path| parent(path)) {
                if let Some(Node::Folder(look)) = self.own.get(above)
                    && !members.contains(above)
                {
                    folders.insert(above, look.as_ref());
                }
            }
        }
        folders
    }

    /// The places of the layers below that need a whiteout, none within another.
    fn whiteouts(&self) -> BTreeSet<Vec<u8>> {
        let is_there = |path: &&Vec<u8>| self.view.get(path).is_some();
        let mut whiteouts: BTreeSet<Vec<u8>> = self.gone.iter().filter(is_there).cloned().collect();
        // Folders that come before the members may lie in a folder that takes the place of a link or file.
        let replaces = |(place, node): &(&Vec<u8>, &Node)| {
            node.is_folder() && self.below(place).is_some_and(|below| !below.is_folder())
        };
        whiteouts.extend(
            self.own
                .iter()
                .filter(replaces)
                .map(|(place, _)| place.clone()),
        );
        let mut folders: Vec<Vec<u8>> = self.opaque.iter().cloned().collect();
        let mut seen = HashSet::new();
        while let Some(folder) = folders.pop() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            for (path, is_folder) in self.view.children(&folder) {
                let has_file = self.own.get(&path).is_some_and(|node| !node.is_folder());
                let has_folder =
                    !has_file && (self.own.contains_key(&path) || self.implied.contains_key(&path));
                if has_folder && is_folder {
                    folders.push(path);
                } else if !has_file {
                    whiteouts.insert(path);
                }
            }
        }
        let (mut hidden, mut within) = (Above::default(), Above::default());
        let is_file = |path: &[u8]| self.own.get(path).is_some_and(|node| !node.is_folder());
        whiteouts
            .iter()
            .filter(|path| {
                !hidden.any(path, is_file)
                    && !within.any_folder(path, |path| whiteouts.contains(path))
            })
            .cloned()
            .collect()
    }
}

/// The bytes of a tar entry besides its path and metadata.
const ENTRY: usize = 1024;

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

/// A tar without some of its members, padded and with the blocks that end it.
struct Filtered<'a, R> {
    tar: RawTar<Filter<'a>>,
    plain: R,
    buffer: Vec<u8>,
    /// How much of the filter's bytes has been read.
    taken: usize,
    is_at_end: bool,
}

struct Filter<'a> {
    left_out: &'a BTreeSet<u64>,
    count: u64,
    bytes: Vec<u8>,
}

impl Visit for Filter<'_> {
    fn member(&mut self, _: &Member<'_>) -> io::Result<bool> {
        self.count += 1;
        Ok(!self.left_out.contains(&(self.count - 1)))
    }

    fn bytes(&mut self, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
    }
}

impl<'a, R: Read> Filtered<'a, R> {
    fn new(plain: R, left_out: &'a BTreeSet<u64>) -> Self {
        let filter = Filter {
            left_out,
            count: 0,
            bytes: Vec::new(),
        };
        Self {
            tar: RawTar::new(filter),
            plain,
            buffer: vec![0; 64 << 10],
            taken: 0,
            is_at_end: false,
        }
    }

    /// Reads the next piece of the tar; at its end, adds what a tar ends with.
    fn fill(&mut self) -> io::Result<()> {
        let count = self.plain.read(&mut self.buffer)?;
        self.tar.visit.bytes.clear();
        self.taken = 0;
        if count > 0 {
            return self.tar.feed(&self.buffer[..count]);
        }
        let padding = match self.tar.ending() {
            Ending::Unpadded(missing) => usize::try_from(missing).unwrap_or_default(),
            Ending::Whole | Ending::Broken => 0,
        };
        self.tar.visit.bytes.resize(padding + 1024, 0);
        self.is_at_end = true;
        Ok(())
    }
}

impl<R: Read> Read for Filtered<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.tar.visit.bytes.len() && !self.is_at_end {
            self.fill()?;
        }
        let left = &self.tar.visit.bytes[self.taken..];
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}
