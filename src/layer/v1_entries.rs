//! Reads the paths, whiteouts and folder metadata of a layer, as needed to complete it, in limited memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use crate::content::Content;
use crate::layer::Compression;
use crate::layer::tar_limits::{LimitedTar, TarLimit};
use crate::layer::v1_scan::{normal, parent};

/// The longest path of Linux, in bytes.
const MAX_PATH: usize = 4096;

pub(super) struct Entry {
    /// Only folders have it: nothing else is written again.
    pub(super) look: Option<Metadata>,
    pub(super) is_folder: bool,
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
        // A blank field counts as zero, as in Go.
        let header = entry.header();
        Ok(Self {
            mode: header.mode().unwrap_or(0o755),
            uid: header.uid().unwrap_or(0),
            gid: header.gid().unwrap_or(0),
            mtime: header.mtime().unwrap_or(0),
            attributes,
        })
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let one = |(key, value): &(String, Vec<u8>)| key.len() + value.len() + 48;
        48 + self.attributes.iter().map(one).sum::<usize>()
    }
}

/// The bytes of memory left for paths and metadata: enough for an image with 700,000 files. Layers with more
/// are not completed.
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
}

#[derive(Default)]
pub(super) struct Entries {
    /// By path, without `.` and empty parts.
    pub(super) members: BTreeMap<Vec<u8>, Entry>,
    /// Paths that a whiteout removes.
    pub(super) gone: BTreeSet<Vec<u8>>,
    /// Folders whose content in lower layers is hidden.
    pub(super) opaque: BTreeSet<Vec<u8>>,
}

impl Entries {
    pub(super) fn of(content: &Content) -> anyhow::Result<Self> {
        let decoder = Compression::of(content)?.decoder(content.open()?, content.len());
        decoder
            .and_then(Self::read)
            .map_err(|error| content.failed(error))
    }

    fn read(plain: impl Read) -> io::Result<Self> {
        let mut found = Self::default();
        let mut room = Room::default();
        let budget = TarLimit::default();
        // Some tools omit the zero blocks at the end of a tar.
        let padded = plain.chain(io::repeat(0).take(1024));
        let mut archive = tar::Archive::new(LimitedTar::new(padded, &budget));
        for entry in archive.entries()? {
            let mut entry = entry?;
            budget.pass(&entry)?;
            let path = normal(&entry.path_bytes());
            if path.len() > MAX_PATH {
                return Err(io::Error::other("its paths are too long"));
            }
            room.take(path.len())?;
            let folder = parent(&path).unwrap_or_default().to_vec();
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            match name.strip_prefix(b".wh.") {
                Some(b".wh..opq") => {
                    found.opaque.insert(folder);
                }
                // Other `.wh..wh.` names are metadata of AUFS.
                Some(hidden) if hidden.starts_with(b".wh.") => {}
                Some(hidden) => {
                    found.gone.insert(joined(&folder, hidden));
                }
                None => {
                    let is_folder = entry.header().entry_type().is_dir();
                    let look = is_folder.then(|| Metadata::of(&mut entry)).transpose()?;
                    room.take(look.as_ref().map_or(0, Metadata::bytes))?;
                    found.members.insert(path, Entry { look, is_folder });
                }
            }
        }
        Ok(found)
    }

    /// All ancestor folders of anything in the layer.
    pub(super) fn implied(&self) -> io::Result<BTreeSet<Vec<u8>>> {
        let mut implied = BTreeSet::new();
        let mut room = Room::default();
        let opaque = self.opaque.iter().map(Vec::as_slice);
        let within = self
            .members
            .keys()
            .chain(&self.gone)
            .filter_map(|path| parent(path))
            .chain(opaque);
        for mut folder in within.filter(|folder| !folder.is_empty()) {
            while implied.insert(folder.to_vec()) {
                room.take(folder.len())?;
                let Some(above) = parent(folder) else { break };
                folder = above;
            }
        }
        Ok(implied)
    }
}

pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, b"/", name].concat()
    }
}
