//! Reads the paths, whiteouts and folder metadata of a layer, as needed to complete it, in limited memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::{self, BufReader};

use tar::{EntryType, Header};

use crate::content::Content;
use crate::layer::raw_tar::{Member, Visit, pax_records};
use crate::layer::v1_paths::normal;
use crate::layer::v1_scan::{Hidden, Scanner, hidden};
use crate::layer::{BUFFER, Compression};

/// The longest path of Linux, in bytes.
const MAX_PATH: usize = 4096;

/// What lies at a path.
#[derive(Clone)]
pub(super) enum Node {
    /// A folder. Without metadata if layers only imply it.
    Folder(Option<Metadata>),
    /// A symbolic link and its target.
    Link(Vec<u8>),
    Other,
}

impl Node {
    fn of(member: &Member<'_>) -> Self {
        match member.header.entry_type() {
            EntryType::Directory => Self::Folder(Some(Metadata::of(member.header, member.pax))),
            EntryType::Symlink => Self::Link(member.link.to_vec()),
            _ => Self::Other,
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Folder(look) => look.as_ref().map_or(0, Metadata::bytes),
            Self::Link(target) => target.len(),
            Self::Other => 0,
        }
    }
}

/// The metadata of a folder. `attributes` are the pax records of its extended attributes.
#[derive(Clone)]
pub(super) struct Metadata {
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: u64,
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    fn of(header: &Header, pax: &[u8]) -> Self {
        let attributes = pax_records(pax).filter_map(|(key, value)| {
            let key = std::str::from_utf8(key).ok()?;
            let is_attribute = key.starts_with("SCHILY.xattr.");
            is_attribute.then(|| (key.to_owned(), value.to_vec()))
        });
        // A blank field counts as zero, as in Go.
        Self {
            mode: header.mode().unwrap_or(0o755),
            uid: header.uid().unwrap_or(0),
            gid: header.gid().unwrap_or(0),
            mtime: header.mtime().unwrap_or(0),
            attributes: attributes.collect(),
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let one = |(key, value): &(String, Vec<u8>)| key.len() + value.len() + 48;
        48 + self.attributes.iter().map(one).sum::<usize>()
    }
}

/// The bytes of memory left for paths and metadata: enough for an image with 700,000 files. Layers with more
/// are not completed.
#[derive(Clone)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(128 << 20)
    }
}

impl Room {
    /// The memory for a map entry besides its path, in bytes.
    const ENTRY: usize = 96;

    pub(super) fn take(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.0.checked_sub(bytes + Self::ENTRY);
        self.0 = left.ok_or_else(|| io::Error::other("its paths are too long"))?;
        Ok(())
    }

    pub(super) fn give(&mut self, bytes: usize) {
        self.0 += bytes + Self::ENTRY;
    }

    fn taken(&self) -> usize {
        Self::default().0 - self.0
    }
}

/// The members of a layer, without their content.
#[derive(Default)]
pub struct Outline {
    /// In order: the path, without `.` and empty parts. Of a path that occurs twice, the last member in the place of
    /// the first: what is between them lies in the folder that both make.
    pub(super) members: BTreeMap<u64, (Vec<u8>, Node)>,
    /// Paths that a whiteout removes.
    pub(super) gone: BTreeSet<Vec<u8>>,
    /// Folders whose content in lower layers is hidden.
    pub(super) opaque: BTreeSet<Vec<u8>>,
    /// The members, by number, that the completed layer leaves out: whiteouts, and earlier ones of a path.
    pub(super) left_out: BTreeSet<u64>,
    /// Bytes that the padding of the last member lacks.
    pub(super) unpadded: u64,
    /// Whether a path occurs twice.
    pub(super) is_repeated: bool,
    /// The numbers of the first and the last member of each path.
    pub(super) numbers: HashMap<Vec<u8>, (u64, u64)>,
    count: u64,
    room: Room,
}

impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outline of {} members", self.count)
    }
}

impl Outline {
    /// Reads a layer. Fails if it cannot be read, is not a whole tar, or has too many paths.
    pub(super) fn of(content: &Content) -> anyhow::Result<Self> {
        let mut scanner = Scanner::default();
        let compression = Compression::of(content)?;
        let plain = compression
            .decoder(content.open()?, content.len())
            .map_err(|error| content.failed(error))?;
        io::copy(&mut BufReader::with_capacity(BUFFER, plain), &mut scanner)
            .map_err(|error| content.failed(error))?;
        let error = || io::Error::other("it is not a whole tar, or has too many paths");
        scanner.finish().ok_or_else(|| content.failed(error()))
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.room.taken()
    }
}

impl Visit for Outline {
    fn member(&mut self, member: &Member<'_>) -> io::Result<bool> {
        let path = normal(member.path);
        if path.len() > MAX_PATH {
            return Err(io::Error::other("its paths are too long"));
        }
        let number = self.count;
        self.count += 1;
        self.room.take(2 * path.len())?;
        if let Some(hidden) = hidden(&path) {
            self.left_out.insert(number);
            let is_new = match hidden {
                Hidden::Path(gone) => self.gone.insert(gone),
                Hidden::Within(folder) => self.opaque.insert(folder),
            };
            self.is_repeated |= !is_new;
            return Ok(false);
        }
        let node = Node::of(member);
        self.room.take(node.bytes())?;
        let known = self.numbers.entry(path.clone()).or_insert((number, number));
        if known.1 != number {
            self.is_repeated = true;
            self.left_out.insert(known.1);
            known.1 = number;
        }
        self.members.insert(known.0, (path, node));
        Ok(false)
    }

    fn bytes(&mut self, _: &[u8]) {}
}
