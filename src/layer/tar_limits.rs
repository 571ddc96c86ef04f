//! Reading the headers of a tar in bounded memory: names and attributes in extension headers come
//! whole into memory, however long they are.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

const BLOCK: u64 = 512;

/// How far a tar may be read before its next member is known.
#[derive(Clone, Default)]
pub struct TarLimit(Rc<Cell<Position>>);

#[derive(Clone, Copy, Default)]
struct Position {
    /// Where the members that are known end.
    end: u64,
    is_lifted: bool,
}

impl TarLimit {
    /// What all headers of a member may take together.
    const BYTES: u64 = 1 << 20;

    /// The content of a member follows, and then the headers of the next.
    ///
    /// # Errors
    /// When it is longer than anything.
    pub fn pass(&self, entry: &tar::Entry<'_, impl Read>) -> io::Result<()> {
        let header = entry.header();
        // What is sparse takes less in the tar than it says of itself.
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

    /// No member follows.
    pub fn lift(&self) {
        self.0.set(Position {
            is_lifted: true,
            ..self.0.get()
        });
    }
}

/// A tar whose headers are bounded.
pub struct LimitedTar<R> {
    reader: R,
    budget: TarLimit,
    at: u64,
}

impl<R> LimitedTar<R> {
    /// A tar from its start.
    pub fn new(reader: R, budget: &TarLimit) -> Self {
        Self {
            reader,
            budget: budget.clone(),
            at: 0,
        }
    }
}

impl<R> LimitedTar<R> {
    /// Whether a block of zeros, which ends a tar, was read after the last member.
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
