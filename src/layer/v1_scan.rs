//! Finds out, while a layer is read, whether Docker 1.x would unpack it wrongly.
//!
//! Docker up to 1.8 ignores opaque whiteouts (`.wh..wh..opq`). It also gives folders that a layer only
//! implies the mode 0600, even if a layer below has them (`archive.ApplyLayer`, observed with 1.4.1). A layer
//! with either gets a v1 form of its own ([`Completion`](super::Completion)).

use std::collections::HashSet;

/// Reads the headers of a tar that is fed to it in pieces of any size.
#[derive(Default)]
pub(super) struct Scanner {
    state: State,
    /// The header or extension read so far.
    collected: Vec<u8>,
    long_name: Option<Vec<u8>>,
    pax: Vec<u8>,
    opaque: bool,
    folders: HashSet<Vec<u8>>,
    parents: HashSet<Vec<u8>>,
    /// The bytes of the paths in `folders` and `parents`.
    path_bytes: usize,
}

#[derive(Default)]
enum State {
    #[default]
    Header,
    /// Bytes to skip, padding included.
    Skip(u64),
    /// The bytes to collect, padding included; their number without padding; and the type of extension.
    Collect(u64, usize, u8),
    /// At the end of the tar, or at something that is not a header. Reporting that is up to the reader of
    /// the layer.
    Done,
}

/// The most folders that are remembered. The scan stops beyond them.
const MAX_FOLDERS: usize = 1 << 20;
/// The most bytes of paths that are remembered together. The scan stops beyond them.
const MAX_PATHS: usize = 1 << 26;
/// The longest extension header that is read, in bytes. Longer ones hold no names.
const MAX_EXTENSION: u64 = 1 << 16;

impl Scanner {
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.state {
                State::Done => return,
                State::Skip(left) => {
                    let step = left.min(bytes.len() as u64);
                    bytes = bytes
                        .split_at(usize::try_from(step).unwrap_or(bytes.len()))
                        .1;
                    self.state = if step == left {
                        State::Header
                    } else {
                        State::Skip(left - step)
                    };
                }
                State::Header => {
                    let wanted = 512 - self.collected.len();
                    let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
                    self.collected.extend_from_slice(taken);
                    bytes = rest;
                    if self.collected.len() == 512 {
                        self.header();
                    }
                }
                State::Collect(left, size, kind) => {
                    let step = left.min(bytes.len() as u64);
                    let (taken, rest) =
                        bytes.split_at(usize::try_from(step).unwrap_or(bytes.len()));
                    self.collected.extend_from_slice(taken);
                    bytes = rest;
                    self.state = State::Collect(left - step, size, kind);
                    if step == left {
                        self.extension(size, kind);
                    }
                }
            }
        }
    }

    fn header(&mut self) {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.collected);
        self.collected.clear();
        let Ok(mut size) = header.entry_size() else {
            self.state = State::Done;
            return;
        };
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            self.state = State::Done;
            return;
        }
        let kind = header.entry_type();
        if (kind.is_gnu_longname() || kind.is_pax_local_extensions()) && size <= MAX_EXTENSION {
            let length = usize::try_from(size).unwrap_or_default();
            self.state = State::Collect(size.next_multiple_of(512), length, kind.as_byte());
            if size == 0 {
                self.extension(0, kind.as_byte());
            }
            return;
        }
        let is_entry = !(kind.is_gnu_longlink() || kind.is_pax_global_extensions());
        if is_entry {
            let pax = std::mem::take(&mut self.pax);
            let long_name = self.long_name.take();
            size = pax_value(&pax, "size")
                .and_then(|text| text.parse().ok())
                .unwrap_or(size);
            let name = pax_value(&pax, "path")
                .map(str::as_bytes)
                .map(<[u8]>::to_vec);
            let name = name
                .or(long_name)
                .unwrap_or_else(|| header.path_bytes().into_owned());
            self.entry(&name, kind.is_dir());
        }
        let data = if kind.is_symlink() || kind.is_hard_link() || kind.is_dir() {
            0
        } else {
            size
        };
        self.state = match data.checked_next_multiple_of(512) {
            Some(0) => State::Header,
            Some(padded) => State::Skip(padded),
            None => State::Done,
        };
    }

    fn extension(&mut self, size: usize, kind: u8) {
        self.collected.truncate(size);
        let bytes = std::mem::take(&mut self.collected);
        if kind == b'L' {
            self.long_name = Some(
                bytes
                    .split(|byte| *byte == 0)
                    .next()
                    .unwrap_or_default()
                    .to_vec(),
            );
        } else {
            self.pax = bytes;
        }
        self.state = State::Header;
    }

    fn entry(&mut self, name: &[u8], is_folder: bool) {
        let path = normal(name);
        self.opaque |= path.ends_with(b".wh..wh..opq");
        if let Some(parent) = parent(&path).filter(|parent| !self.parents.contains(*parent)) {
            self.path_bytes += parent.len();
            self.parents.insert(parent.to_vec());
        }
        if is_folder {
            self.path_bytes += path.len();
            self.folders.insert(path);
        }
        if self.folders.len() + self.parents.len() > MAX_FOLDERS || self.path_bytes > MAX_PATHS {
            self.state = State::Done;
        }
    }

    /// Whether Docker 1.x would unpack the layer wrongly, as far as it was scanned.
    pub(super) fn is_lacking(&self) -> bool {
        self.opaque
            || self
                .parents
                .iter()
                .any(|parent| !self.folders.contains(parent))
    }
}

/// A path without `.`, empty parts, and slashes at either end.
pub(super) fn normal(name: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = name
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    parts.join(&b'/')
}

/// The folder that contains a path; `None` if that is the root.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map(|slash| &path[..slash])
}

/// A value of a pax extended header: `<length> <key>=<value>\n`.
fn pax_value<'a>(mut records: &'a [u8], key: &str) -> Option<&'a str> {
    let mut found = None;
    while let Some(space) = records.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = std::str::from_utf8(records.get(space + 1..length.checked_sub(1)?)?).ok()?;
        found = record
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix('='))
            .or(found);
        records = records.get(length..)?;
    }
    found
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
    fn pax_records_are_read() {
        assert_eq!(pax_value(b"11 path=a/b\n12 size=1234\n", "size"), None);
        assert_eq!(
            pax_value(b"12 path=a/b\n13 size=1234\n", "size"),
            Some("1234")
        );
        assert_eq!(pax_value(b"12 path=a/b\n", "path"), Some("a/b"));
        for broken in [
            &b"x path=a\n"[..],
            b"99 path=a\n",
            b"0 a\n",
            b"1 a\n",
            b"path",
        ] {
            assert_eq!(pax_value(broken, "path"), None);
        }
    }
}
