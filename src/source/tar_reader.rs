//! Reads the members of a tar one after the other, from a file or a stream, with GNU and pax extensions. Sparse
//! members of every kind are read: old GNU, pax 0.0, 0.1 and 1.0 (GNU tar manual, "Sparse Formats").

use std::io::{self, Read};

use tar_core::parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, Header, PaxExtensions, SparseEntry};

use crate::bail_invalid;
use crate::content::{FileAt, Sparse};
use crate::error::{escaped_message, invalid_input};
use crate::layer;
use crate::source::member_name::shown;

const BLOCK: usize = 512;
/// The most pieces of all sparse members together.
const MAX_PIECES: usize = 1 << 18;
/// The most bytes of the headers of a member, a sparse map included.
const MAX_HEADERS: usize = 16 << 20;

pub(super) struct TarReader<R> {
    reader: R,
    parser: Parser,
    /// Bytes that were read, and do not belong to the headers so far.
    ahead: Vec<u8>,
    /// The offset of `ahead` in the tar.
    at: u64,
    /// The stored bytes of the current member that are left, and the padding behind them.
    data: u64,
    padding: u64,
    is_cut: bool,
    sparse: SparseSum,
}

/// All sparse members so far: their lengths, their stored bytes, and their pieces.
#[derive(Default)]
struct SparseSum {
    whole: u64,
    stored: u64,
    pieces: usize,
}

/// A member, without its bytes.
pub(super) struct Head {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Where the stored bytes begin in the tar.
    pub(super) offset: u64,
    /// The number of stored bytes.
    pub(super) stored: u64,
}

pub(super) enum Kind {
    File,
    /// A sparse file, or why it cannot be read.
    Sparse(anyhow::Result<Sparse>),
    Folder,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    /// Anything else, such as a device.
    Other,
}

/// Something to read that can pass over bytes.
pub(super) trait Skip: Read {
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

impl Skip for FileAt {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.1 = self.1.saturating_add(bytes);
        Ok(())
    }
}

pub(super) struct Stream<R>(pub(super) R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Stream<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        io::copy(&mut self.0.by_ref().take(bytes), &mut io::sink()).map(drop)
    }
}

impl<R: Skip> TarReader<R> {
    /// `reader` is at the start of the tar.
    pub(super) fn new(reader: R) -> Self {
        let mut parser = Parser::new(Limits {
            max_sparse_entries: MAX_PIECES,
            ..Limits::default()
        });
        parser.set_allow_empty_path(true);
        parser.set_ignore_pax_errors(true);
        Self {
            reader,
            parser,
            ahead: Vec::new(),
            at: 0,
            data: 0,
            padding: 0,
            is_cut: false,
            sparse: SparseSum::default(),
        }
    }

    /// The next member; `None` at the end. What is left of the current one is passed over.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Head>> {
        self.pass(self.data + self.padding)?;
        (self.data, self.padding) = (0, 0);
        let (mut needed, mut wanted) = (BLOCK, BLOCK);
        loop {
            if !self.fill(needed, wanted)? {
                return Ok(None);
            }
            blank_unused(&mut self.ahead);
            let (consumed, mut head) = match self.parser.parse(&self.ahead) {
                // Each try begins anew: more than is needed, so that a long map is not read again for each block.
                Ok(ParseEvent::NeedData { min_bytes }) => {
                    needed = min_bytes.max(self.ahead.len() + 1);
                    wanted = needed.max(2 * self.ahead.len());
                    continue;
                }
                Ok(ParseEvent::End { .. }) => return Ok(None),
                Ok(ParseEvent::GlobalExtensions { consumed, .. }) => {
                    (needed, wanted) = (BLOCK, BLOCK);
                    self.ahead.drain(..consumed);
                    self.at += consumed as u64;
                    continue;
                }
                Ok(ParseEvent::Entry { consumed, entry }) => {
                    (consumed, head(&entry, None, &mut self.sparse)?)
                }
                Ok(ParseEvent::SparseEntry {
                    consumed,
                    entry,
                    sparse_map,
                    real_size,
                }) => {
                    let map = Some((sparse_map, real_size));
                    (consumed, head(&entry, map, &mut self.sparse)?)
                }
                Err(ParseError::MetadataTooLarge { .. }) => {
                    bail_invalid!("it has a header of more than 1 MiB")
                }
                Err(error) => bail_invalid!("{}", escaped_message(error.to_string())),
            };
            self.ahead.drain(..consumed);
            self.at += consumed as u64;
            head.offset = self.at;
            self.data = head.stored;
            let Some(padded) = head.stored.checked_next_multiple_of(BLOCK as u64) else {
                bail_invalid!("its member `{}` is too large", shown(&head.name));
            };
            self.padding = padded - head.stored;
            return Ok(Some(head));
        }
    }

    /// Reads headers ahead: `wanted` bytes, and `needed` at least. `false` at the end of the tar.
    fn fill(&mut self, needed: usize, wanted: usize) -> anyhow::Result<bool> {
        let missing = wanted.saturating_sub(self.ahead.len()) as u64;
        let mut more = self.reader.by_ref().take(missing);
        more.read_to_end(&mut self.ahead)?;
        if self.ahead.len() > MAX_HEADERS {
            bail_invalid!("it has a sparse map of more than {} MiB", MAX_HEADERS >> 20);
        }
        if self.ahead.len() >= needed {
            return Ok(true);
        }
        if self.ahead.iter().any(|byte| *byte != 0) {
            bail_invalid!("it is truncated in a block of a header");
        }
        self.is_cut = self.ahead.len() < BLOCK;
        Ok(false)
    }

    /// Reads what follows the end of the tar. Only padding does, but this also checks the checksum of a compressed
    /// archive.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map(drop)
    }

    /// Whether no block of zeros followed the last member.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        let ahead = self
            .ahead
            .len()
            .min(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.ahead.drain(..ahead);
        self.at = self.at.saturating_add(bytes);
        self.reader.skip(bytes - ahead as u64)
    }
}

/// The stored bytes of the current member.
impl<R: Skip> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.data).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let got = if self.ahead.is_empty() {
            self.reader.read(&mut buffer[..wanted])?
        } else {
            let got = wanted.min(self.ahead.len());
            buffer[..got].copy_from_slice(&self.ahead[..got]);
            self.ahead.drain(..got);
            got
        };
        self.data -= got as u64;
        self.at += got as u64;
        Ok(got)
    }
}

/// Blanks mode, owner, time and device numbers, which nobody needs here: the parser would refuse the archive for odd
/// ones.
fn blank_unused(headers: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = headers
        .get_mut(at..)
        .and_then(<[u8]>::first_chunk_mut::<BLOCK>)
    {
        let header = Header::from_bytes(block);
        let (kind, size) = (header.entry_type(), header.entry_size());
        if header.verify_checksum().is_err() {
            return;
        }
        for unused in [100..124, 136..148, 329..345] {
            block[unused].fill(0);
        }
        let sum = Header::from_bytes(block).compute_checksum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let is_extension = matches!(
            kind,
            EntryType::GnuLongName | EntryType::GnuLongLink | EntryType::XHeader
        );
        let length = size.ok().filter(|_| is_extension);
        let padded = length.and_then(|length| length.checked_next_multiple_of(BLOCK as u64));
        let next = padded.and_then(|padded| usize::try_from(padded).ok());
        match next.and_then(|padded| at.checked_add(BLOCK + padded)) {
            Some(next) => at = next,
            None => return,
        }
    }
}

fn head(
    entry: &ParsedEntry<'_>,
    map: Option<(Vec<SparseEntry>, u64)>,
    sum: &mut SparseSum,
) -> anyhow::Result<Head> {
    let name = entry.path.to_vec();
    let target = || entry.link_target.as_deref().unwrap_or_default().to_vec();
    let is_v7_folder = entry.header.as_bytes()[156] == 0 && name.ends_with(b"/");
    let kind = match entry.entry_type {
        EntryType::Directory => Kind::Folder,
        EntryType::Regular if is_v7_folder => Kind::Folder,
        EntryType::Symlink => Kind::Symlink(target()),
        EntryType::Link => Kind::HardLink(target()),
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => {
            file(entry, map, &name, sum)?
        }
        _ => Kind::Other,
    };
    let has_bytes = !matches!(kind, Kind::Folder | Kind::Symlink(_) | Kind::HardLink(_));
    Ok(Head {
        name,
        kind,
        offset: 0,
        stored: if has_bytes { entry.size } else { 0 },
    })
}

fn file(
    entry: &ParsedEntry<'_>,
    map: Option<(Vec<SparseEntry>, u64)>,
    name: &[u8],
    sum: &mut SparseSum,
) -> anyhow::Result<Kind> {
    let has = |prefix: &[u8]| {
        let records = PaxExtensions::new(entry.pax.unwrap_or_default()).flatten();
        records
            .map(|record| record.key_bytes())
            .any(|key| key.starts_with(prefix))
    };
    let Some((pieces, len)) = map else {
        if entry.entry_type == EntryType::GnuSparse || has(b"GNU.sparse.") {
            let unknown = || bail_invalid!("it is a sparse file without a map of its pieces");
            return Ok(Kind::Sparse(unknown()));
        }
        return Ok(Kind::File);
    };
    // The parser takes this size for that of the pieces alone, and would read on at a wrong place.
    if has(b"GNU.sparse.major") && has(b"size") {
        bail_invalid!(
            "its member `{}` is a sparse file of 8 GiB or more, which is not supported",
            shown(name)
        );
    }
    sum.pieces += pieces.len();
    if sum.pieces > MAX_PIECES {
        bail_invalid!("its sparse files have more than {MAX_PIECES} pieces");
    }
    let (whole, stored) = (
        sum.whole.saturating_add(len),
        sum.stored.saturating_add(entry.size),
    );
    if let Err(error) = layer::check_sparse(whole, stored) {
        let error = invalid_input(format!("it is a sparse file: {error}"));
        return Ok(Kind::Sparse(Err(error)));
    }
    (sum.whole, sum.stored) = (whole, stored);
    let pieces = pieces.into_iter().map(|piece| (piece.offset, piece.length));
    Ok(Kind::Sparse(Sparse::new(pieces, len, entry.size)))
}
