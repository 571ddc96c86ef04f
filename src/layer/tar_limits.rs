//! Limits the memory that the headers of a tar take. The tar reader holds whole extension headers (long
//! names, attributes) in memory, however long they are.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

const BLOCK: u64 = 512;

/// How far a tar may be read before the headers of the next member are complete.
#[derive(Clone, Default)]
pub struct TarLimit(Rc<Cell<Position>>);

#[derive(Clone, Copy, Default)]
struct Position {
    /// The offset where the last known member ends.
    end: u64,
    is_lifted: bool,
}

impl TarLimit {
    /// The most bytes that all headers of one member may take together.
    const BYTES: u64 = 1 << 20;

    /// Allows reading the content of a member and the headers of the next.
    pub fn pass(&self, entry: &tar::Entry<'_, impl Read>) -> io::Result<()> {
        let header = entry.header();
        // A sparse file takes fewer bytes in the tar than its size.
        let size = if header.entry_type().is_gnu_sparse() {
            header.entry_size()?
        } else {
            entry.size()
        };
        let end = entry.raw_file_position().checked_add(size);
        let end = end.and_then(|end| end.checked_next_multiple_of(BLOCK));
        self.0.set(Position {
            end: end.ok_or_else(|| io::Error::other("size overflow"))?,
            is_lifted: false,
        });
        Ok(())
    }

    /// Allows reading to the end, after the last member.
    pub fn lift(&self) {
        self.0.set(Position {
            is_lifted: true,
            ..self.0.get()
        });
    }
}

/// A tar whose headers are limited by a [`TarLimit`].
pub struct LimitedTar<R> {
    reader: R,
    budget: TarLimit,
    at: u64,
}

impl<R> LimitedTar<R> {
    /// `reader` is at the start of the tar.
    pub fn new(reader: R, budget: &TarLimit) -> Self {
        Self {
            reader,
            budget: budget.clone(),
            at: 0,
        }
    }
}

impl<R> LimitedTar<R> {
    /// Whether a block was read after the last member: a complete tar ends with blocks of zeros.
    pub fn has_end(&self) -> bool {
        self.at >= self.budget.0.get().end.saturating_add(BLOCK)
    }
}

impl<R: Read> Read for LimitedTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Position { end, is_lifted } = self.budget.0.get();
        if !is_lifted && self.at > end.saturating_add(TarLimit::BYTES) {
            return Err(io::Error::other("it has a header of more than 1 MiB"));
        }
        let got = self.reader.read(buffer)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<R: Seek> Seek for LimitedTar<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.reader.seek(to)?;
        Ok(self.at)
    }
}
