//! Walks over the members of a tar that is fed in pieces of any size, and passes on the raw bytes of those that
//! are wanted. Unlike the `tar` crate it needs no reader, and its members keep their bytes. Unlike `tar-core`, which
//! reads archives, it reads each block of long headers once, and takes and refuses what Docker does: one block of zeros
//! is the end, and fields that Docker ignores may hold anything.

use std::io;

use tar::{EntryType, Header};

/// Decides about members, and takes their bytes.
pub(super) trait Visit {
    /// Whether to pass on the bytes of a member.
    fn member(&mut self, member: &Member<'_>) -> io::Result<bool>;

    /// Takes raw bytes of a wanted member: headers, data, padding.
    fn bytes(&mut self, raw: &[u8]);
}

/// A member of a tar, without its data.
pub(super) struct Member<'a> {
    pub(super) path: &'a [u8],
    /// The target of a link.
    pub(super) link: &'a [u8],
    pub(super) header: &'a Header,
    /// Records of its pax extended header.
    pub(super) pax: &'a [u8],
}

/// The state of a walk.
pub(super) struct RawTar<V> {
    pub(super) visit: V,
    state: State,
    /// The headers of the next member so far, with its extensions.
    headers: Vec<u8>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Vec<u8>,
}

#[derive(Clone, Copy)]
enum State {
    Header,
    /// An extension of the next member: where its data starts in `headers`, its length in bytes, its type.
    Extension(usize, usize, EntryType),
    /// Further blocks of a sparse header (GNU tar), before this many bytes of data with padding.
    Sparse {
        data: u64,
        is_wanted: bool,
    },
    /// Bytes of a member, padding included.
    Data {
        left: u64,
        is_wanted: bool,
    },
    End,
    /// Something that is no header, or a header that is too long.
    Broken,
}

/// How a tar ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// The padding of the last member is missing: this many bytes.
    Unpadded(u64),
    /// It is cut, or is no tar.
    Broken,
}

const BLOCK: usize = 512;
/// The longest extension header that is read, in bytes.
const MAX_EXTENSION: u64 = 1 << 20;

impl<V: Visit> RawTar<V> {
    pub(super) fn new(visit: V) -> Self {
        Self {
            visit,
            state: State::Header,
            headers: Vec::new(),
            long_name: None,
            long_link: None,
            pax: Vec::new(),
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::End | State::Broken => return Ok(()),
                State::Data { left, is_wanted } => {
                    let taken = at_most(bytes, left);
                    if is_wanted {
                        self.visit.bytes(taken);
                    }
                    self.state = data(left - taken.len() as u64, is_wanted);
                    taken
                }
                State::Header | State::Sparse { .. } => {
                    let missing = BLOCK - self.headers.len() % BLOCK;
                    let taken = at_most(bytes, missing as u64);
                    self.headers.extend_from_slice(taken);
                    if taken.len() == missing {
                        self.block()?;
                    }
                    taken
                }
                State::Extension(start, length, kind) => {
                    let end = start + length.next_multiple_of(BLOCK);
                    let taken = at_most(bytes, (end - self.headers.len()) as u64);
                    self.headers.extend_from_slice(taken);
                    if self.headers.len() == end {
                        self.extension(start, length, kind);
                    }
                    taken
                }
            };
            bytes = &bytes[taken.len()..];
        }
        Ok(())
    }

    pub(super) fn ending(&self) -> Ending {
        match self.state {
            State::End => Ending::Whole,
            State::Header if self.headers.is_empty() => Ending::Whole,
            State::Data { left, .. } if left < BLOCK as u64 => Ending::Unpadded(left),
            _ => Ending::Broken,
        }
    }

    /// Reads the block that `headers` ends with.
    fn block(&mut self) -> io::Result<()> {
        let block = &self.headers[self.headers.len() - BLOCK..];
        if let State::Sparse {
            data: rest,
            is_wanted,
        } = self.state
        {
            let is_last = block[504] == 0;
            if is_wanted {
                self.visit.bytes(&self.headers);
            }
            self.headers.clear();
            if is_last {
                self.state = data(rest, is_wanted);
            }
            return Ok(());
        }
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::End;
            return Ok(());
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let Ok(size) = header.entry_size() else {
            self.state = State::Broken;
            return Ok(());
        };
        let kind = header.entry_type();
        let is_extension = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if !is_extension {
            return self.member(&header, size);
        }
        match usize::try_from(size) {
            Ok(length) if size <= MAX_EXTENSION => {
                let start = self.headers.len();
                self.state = State::Extension(start, length, kind);
                if length == 0 {
                    self.extension(start, length, kind);
                }
            }
            _ => self.state = State::Broken,
        }
        Ok(())
    }

    fn extension(&mut self, start: usize, length: usize, kind: EntryType) {
        let bytes = &self.headers[start..start + length];
        let text = || bytes.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        if kind.is_gnu_longname() {
            self.long_name = text();
        } else if kind.is_gnu_longlink() {
            self.long_link = text();
        } else if kind.is_pax_local_extensions() {
            self.pax = bytes.to_vec();
        }
        self.state = State::Header;
    }

    fn member(&mut self, header: &Header, size: u64) -> io::Result<()> {
        let pax = std::mem::take(&mut self.pax);
        let (long_name, long_link) = (self.long_name.take(), self.long_link.take());
        let of_header = header.path_bytes();
        let path = pax_value(&pax, b"GNU.sparse.name")
            .or_else(|| pax_value(&pax, b"path"))
            .or(long_name.as_deref())
            .unwrap_or(&of_header);
        let of_header = header.link_name_bytes().unwrap_or_default();
        let link = pax_value(&pax, b"linkpath")
            .or(long_link.as_deref())
            .unwrap_or(&of_header);
        let is_wanted = self.visit.member(&Member {
            path,
            link,
            header,
            pax: &pax,
        })?;
        if is_wanted {
            self.visit.bytes(&self.headers);
        }
        self.headers.clear();
        let size = pax_value(&pax, b"size")
            .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
            .unwrap_or(size);
        let kind = header.entry_type();
        let size = if kind.is_symlink() || kind.is_hard_link() || kind.is_dir() {
            0
        } else {
            size
        };
        let is_sparse = kind.is_gnu_sparse() && header.as_bytes()[482] != 0;
        self.state = match size.checked_next_multiple_of(BLOCK as u64) {
            Some(data) if is_sparse => State::Sparse { data, is_wanted },
            Some(left) => data(left, is_wanted),
            None => State::Broken,
        };
        Ok(())
    }
}

fn data(left: u64, is_wanted: bool) -> State {
    if left == 0 {
        State::Header
    } else {
        State::Data { left, is_wanted }
    }
}

fn at_most(bytes: &[u8], length: u64) -> &[u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    &bytes[..length.min(bytes.len())]
}

/// The records of a pax extended header: `<length> <key>=<value>\n`. Ends at the first that is malformed.
pub(super) fn pax_records(mut records: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..length.checked_sub(1)?)?;
        records = records.get(length..)?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        Some((&record[..equals], &record[equals + 1..]))
    })
}

fn pax_value<'a>(records: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let values = pax_records(records).filter(|(found, _)| *found == key);
    values.map(|(_, value)| value).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_are_read() {
        assert_eq!(pax_value(b"11 path=a/b\n12 size=1234\n", b"size"), None);
        let records = b"12 path=a/b\n13 size=1234\n13 bin=\xff\n\x00=1\n";
        assert_eq!(pax_value(records, b"size"), Some(&b"1234"[..]));
        assert_eq!(pax_value(records, b"bin"), Some(&b"\xff\n\x00=1"[..]));
        for broken in [
            &b"x path=a\n"[..],
            b"99 path=a\n",
            b"0 a\n",
            b"1 a\n",
            b"path",
        ] {
            assert_eq!(pax_value(broken, b"path"), None);
        }
    }
}
