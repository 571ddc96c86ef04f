//! Sparse files: their holes are zeros that are not stored.

use std::io::{self, Read};
use std::sync::Arc;

use crate::bail_invalid;

/// Where the stored bytes of a sparse file belong.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// Offset and length in bytes of each piece that is stored, in order.
    pieces: Arc<[(u64, u64)]>,
    /// The length of the whole file, in bytes.
    len: u64,
}

impl Sparse {
    /// `stored` is the length of the stored bytes.
    ///
    /// # Errors
    /// If the pieces overlap, lie behind the end, or are not `stored` bytes together.
    pub fn new(
        pieces: impl IntoIterator<Item = (u64, u64)>,
        len: u64,
        stored: u64,
    ) -> anyhow::Result<Self> {
        let mut kept: Vec<(u64, u64)> = Vec::new();
        let (mut end, mut sum) = (0, 0);
        for (offset, length) in pieces {
            let next = offset.checked_add(length).filter(|next| *next <= len);
            let Some(next) = next.filter(|_| offset >= end) else {
                bail_invalid!("the pieces of the sparse file overlap, or lie behind its end");
            };
            match kept.last_mut().filter(|_| offset == end) {
                Some(last) => last.1 += length,
                None if length > 0 => kept.push((offset, length)),
                None => {}
            }
            (end, sum) = (next, sum + length);
        }
        if sum != stored {
            bail_invalid!("the pieces of the sparse file are {sum} bytes, not {stored}");
        }
        Ok(Self {
            pieces: kept.into(),
            len,
        })
    }

    /// The length of the whole file, in bytes.
    pub fn whole(&self) -> u64 {
        self.len
    }

    /// A reader of the whole file. `stored` reads the pieces one after the other.
    pub fn over<R: Read>(&self, stored: R) -> Filled<R> {
        Filled {
            sparse: self.clone(),
            stored,
            piece: 0,
            at: 0,
        }
    }
}

/// Reads a sparse file with its holes. It ends early where the stored bytes do.
pub struct Filled<R> {
    sparse: Sparse,
    stored: R,
    /// The number of the piece that is read, or comes next.
    piece: usize,
    at: u64,
}

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pieces = &self.sparse.pieces;
        let is_over = |(offset, length): &(u64, u64)| self.at >= offset + length;
        while pieces.get(self.piece).is_some_and(is_over) {
            self.piece += 1;
        }
        let (start, end) = match pieces.get(self.piece) {
            Some((offset, length)) => (*offset, offset + length),
            None => (self.sparse.len, self.sparse.len),
        };
        let is_hole = self.at < start;
        let left = if is_hole { start } else { end } - self.at;
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = if is_hole {
            buffer[..wanted].fill(0);
            wanted
        } else {
            self.stored.read(&mut buffer[..wanted])?
        };
        self.at += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros() {
        for (pieces, len, stored, whole) in [
            (vec![(0, 2)], 2, "ab", "ab"),
            (vec![(2, 2)], 4, "ab", "\0\0ab"),
            (vec![(0, 1), (3, 1), (6, 0)], 6, "ab", "a\0\0b\0\0"),
            (vec![(1, 1), (2, 1)], 4, "ab", "\0ab\0"),
            (vec![], 3, "", "\0\0\0"),
            (vec![(0, 0)], 0, "", ""),
        ] {
            let sparse = Sparse::new(pieces, len, stored.len() as u64).unwrap();
            let mut read = String::new();
            let mut filled = sparse.over(stored.as_bytes());
            filled.read_to_string(&mut read).unwrap();
            assert_eq!(read, whole);
        }
        for (pieces, len, stored) in [
            (vec![(0, 2), (1, 1)], 3, 3),
            (vec![(0, 2)], 1, 2),
            (vec![(0, 2)], 2, 1),
            (vec![(u64::MAX, 2)], u64::MAX, 2),
        ] {
            assert!(
                Sparse::new(pieces.clone(), len, stored).is_err(),
                "{pieces:?}"
            );
        }
    }
}
