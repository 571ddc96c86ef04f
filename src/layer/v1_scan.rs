//! Finds out, while a layer is read, whether some Docker 1.x would unpack it wrongly, or refuse it
//! (`archive.ApplyLayer`, observed with 1.4.1, 1.6.2, 1.9.1 and 1.12.6):
//!
//! - up to 1.8, opaque whiteouts (`.wh..wh..opq`) are ignored; from 1.9 they remove what the layer itself has
//!   only implied so far;
//! - folders that a layer only implies get the mode 0600, even if a layer below has them;
//! - a whiteout removes what the layer itself has unpacked before it;
//! - 1.8 to 1.12 refuse a path that occurs twice;
//! - 1.4 wants the last block padded.
//!
//! Such a layer gets a v1 form of its own ([`Completion`](super::Completion)).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use crate::layer::raw_tar::{Ending, Member, RawTar, Visit};
use crate::layer::v1_paths::{Above, joined, normal, parent, split};

/// Reads the headers of a tar that is fed to it in pieces of any size.
pub(super) struct Scanner {
    tar: RawTar<Scan>,
    /// Whether there are too many paths.
    is_stopped: bool,
}

#[derive(Default)]
struct Scan {
    is_opaque: bool,
    is_repeated: bool,
    /// Hashes of all paths.
    paths: HashSet<u64>,
    folders: HashSet<Vec<u8>>,
    parents: HashSet<Vec<u8>>,
    /// Paths that whiteouts remove.
    gone: HashSet<Vec<u8>>,
    /// The bytes of the paths in these sets.
    path_bytes: usize,
}

/// The most paths that are remembered. The scan stops beyond them.
const MAX_PATHS: usize = 1 << 21;
/// The most folders and whiteouts that are remembered.
const MAX_FOLDERS: usize = 1 << 20;
/// The most bytes of paths that are remembered together.
const MAX_BYTES: usize = 1 << 26;

impl Default for Scanner {
    fn default() -> Self {
        Self {
            tar: RawTar::new(Scan::default()),
            is_stopped: false,
        }
    }
}

impl Scanner {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.is_stopped = self.is_stopped || self.tar.feed(bytes).is_err();
    }

    /// Whether some Docker 1.x would unpack the layer wrongly, as far as it was scanned.
    pub(super) fn is_lacking(&self) -> bool {
        let scan = &self.tar.visit;
        scan.is_opaque
            || scan.is_repeated
            || (!self.is_stopped && matches!(self.tar.ending(), Ending::Unpadded(_)))
            || scan
                .parents
                .iter()
                .any(|parent| !scan.folders.contains(parent))
            || scan.removes_its_own()
    }
}

impl Scan {
    /// Whether a whiteout names something that the layer has itself, or a folder of that.
    fn removes_its_own(&self) -> bool {
        let is_path = |path: &Vec<u8>| self.paths.contains(&hash(path));
        let mut above = Above::default();
        let is_within = |path: &Vec<u8>| above.any(path, |path| self.gone.contains(path));
        !self.gone.is_empty()
            && (self.gone.iter().any(is_path) || self.parents.iter().any(is_within))
    }
}

impl Visit for Scan {
    fn member(&mut self, member: &Member<'_>) -> io::Result<bool> {
        let path = normal(member.path);
        self.is_repeated |= !self.paths.insert(hash(&path));
        let mut remember = |set: &mut HashSet<Vec<u8>>, path: &[u8]| {
            if !set.contains(path) {
                self.path_bytes += path.len();
                set.insert(path.to_vec());
            }
        };
        if let Some(parent) = parent(&path) {
            remember(&mut self.parents, parent);
        }
        match hidden(&path) {
            Some(Hidden::Within(_)) => self.is_opaque = true,
            Some(Hidden::Path(gone)) => remember(&mut self.gone, &gone),
            None if member.header.entry_type().is_dir() => remember(&mut self.folders, &path),
            None => {}
        }
        let folders = self.folders.len() + self.parents.len() + self.gone.len();
        if self.paths.len() > MAX_PATHS || folders > MAX_FOLDERS || self.path_bytes > MAX_BYTES {
            return Err(io::Error::other("it has too many paths"));
        }
        Ok(false)
    }

    fn bytes(&mut self, _: &[u8]) {}
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// What a whiteout hides in the layers below.
pub(super) enum Hidden {
    /// A path, with everything in it.
    Path(Vec<u8>),
    /// Everything in a folder.
    Within(Vec<u8>),
}

/// What a member hides, if it is a whiteout. Other names that begin with `.wh..wh.` are metadata of AUFS.
pub(super) fn hidden(path: &[u8]) -> Option<Hidden> {
    let (folder, name) = split(path);
    match name.strip_prefix(b".wh.")? {
        b".wh..opq" => Some(Hidden::Within(folder.to_vec())),
        hidden if hidden.starts_with(b".wh.") => None,
        hidden => Some(Hidden::Path(joined(folder, hidden))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(entries: &[(&str, bool)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, is_folder) in entries {
            let data: &[u8] = if *is_folder { b"" } else { b"data" };
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(if *is_folder {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(data.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, path, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn is_lacking(bytes: &[u8], step: usize) -> bool {
        let mut scanner = Scanner::default();
        bytes.chunks(step).for_each(|piece| scanner.feed(piece));
        scanner.is_lacking()
    }

    #[test]
    fn what_is_lacking_is_found() {
        let long = format!("{}/file", "deep".repeat(60));
        let folder = "deep".repeat(60);
        for (entries, expected) in [
            (vec![], false),
            (vec![("file", false)], false),
            (vec![("a", true), ("a/file", false)], false),
            (vec![("a/file", false), ("a", true)], false),
            (vec![("./a/", true), ("./a/file", false)], false),
            (vec![("a/file", false)], true),
            (vec![("a", true), ("a/b/file", false)], true),
            (vec![("a", true), ("a/.wh..wh..opq", false)], true),
            (vec![("a", true), ("a/.wh.gone", false)], false),
            (vec![("a", true), ("a/.wh.b", false), ("a/b", false)], true),
            (vec![(".wh.a", false), ("a", true), ("a/b", false)], true),
            (vec![(".wh.ab", false), ("a", true), ("a/b", false)], false),
            (vec![("a", false), ("./a", false)], true),
            (vec![("a", true), ("a/", true)], true),
            (vec![(folder.as_str(), true), (long.as_str(), false)], false),
            (vec![(long.as_str(), false)], true),
        ] {
            let bytes = tar(&entries);
            for step in [1, 7, 512, 1 << 20] {
                assert_eq!(is_lacking(&bytes, step), expected, "{entries:?}");
            }
        }
    }

    #[test]
    fn a_layer_without_padding_is_lacking() {
        let whole = tar(&[("file", false)]);
        for (length, expected) in [(516, true), (1023, true), (1024, false), (1536, false)] {
            assert_eq!(is_lacking(&whole[..length], 512), expected, "{length}");
        }
    }
}
