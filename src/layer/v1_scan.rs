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

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use crate::layer::raw_tar::{Ending, RawTar};
use crate::layer::v1_outline::Outline;
use crate::layer::v1_paths::{Above, joined, parent, split};

/// Reads the outline of a tar that is fed to it in pieces of any size.
pub(super) struct Scanner {
    tar: RawTar<Outline>,
    is_stopped: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            tar: RawTar::new(Outline::default()),
            is_stopped: false,
        }
    }
}

impl Scanner {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.is_stopped = self.is_stopped || self.tar.feed(bytes).is_err();
    }

    /// `None` for something that is not a whole tar, or has too many paths: it cannot be completed.
    pub(super) fn finish(mut self) -> Option<Outline> {
        let ending = self.tar.ending();
        let outline = &mut self.tar.visit;
        outline.numbers = HashMap::new();
        outline.unpadded = match ending {
            Ending::Whole => 0,
            Ending::Unpadded(missing) => missing,
            Ending::Broken => return None,
        };
        (!self.is_stopped).then_some(self.tar.visit)
    }
}

/// Feeds it; never fails.
impl Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outline {
    /// Whether some Docker 1.x would unpack the layer wrongly.
    pub(super) fn is_lacking(&self) -> bool {
        !self.opaque.is_empty()
            || self.is_repeated
            || self.unpadded > 0
            || self.implies_folders()
            || self.removes_its_own()
    }

    /// The folders that members and whiteouts lie in.
    fn parents(&self) -> impl Iterator<Item = &[u8]> {
        let members = self.members.values().map(|(path, _)| path);
        members.chain(&self.gone).filter_map(|path| parent(path))
    }

    fn implies_folders(&self) -> bool {
        let folders = self.members.values().filter(|(_, node)| node.is_folder());
        let folders: HashSet<&[u8]> = folders.map(|(path, _)| path.as_slice()).collect();
        let mut last: &[u8] = b"";
        self.parents().any(|parent| {
            let is_known = parent == last;
            last = parent;
            !is_known && !folders.contains(parent)
        })
    }

    /// Whether a whiteout names something that the layer has itself, or a folder of that.
    fn removes_its_own(&self) -> bool {
        if self.gone.is_empty() {
            return false;
        }
        let paths = self.members.values().map(|(path, _)| path.as_slice());
        let mut above = Above::default();
        paths
            .chain(self.parents())
            .any(|path| above.any(path, |path| self.gone.contains(path)))
    }
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
        scanner.finish().unwrap().is_lacking()
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
