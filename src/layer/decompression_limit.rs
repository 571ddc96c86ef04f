//! Limits how far compressed content may expand, so that a small file cannot keep a machine busy for hours
//! or fill its disk.
//!
//! Real layers expand two to four times. A layer with a sparse disk image may expand a thousand times, but
//! not more if the disk image holds any data. gzip cannot exceed 1,032 to 1, so the total limits it; zstd
//! and bzip2 can reach tens of thousands to 1, so the ratio limits them.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Limits of the uncompressed length, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The ratio applies only beyond this length.
    free: u64,
    /// The highest ratio of uncompressed to compressed length.
    ratio: u64,
    /// The highest length at any ratio.
    total: u64,
}

pub(super) const LIMITS: Limits = Limits {
    free: 16 << 30,
    ratio: 1100,
    total: 1 << 40,
};

/// The error for content that unpacks to more than its limits.
#[derive(Debug)]
pub struct Expansion(String);

impl Expansion {
    fn error(text: String) -> io::Error {
        io::Error::other(Self(text))
    }

    /// Whether this is the cause of an I/O error.
    pub fn caused(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Expansion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Expansion {}

/// Those of a sparse file, which needs no bytes at all.
const SPARSE: Limits = Limits {
    free: 1 << 30,
    ..LIMITS
};

/// Fails if a sparse file is far longer than the bytes that are stored of it.
pub fn check_sparse(len: u64, stored: u64) -> io::Result<()> {
    Bound::new(io::empty(), stored, SPARSE).1.check(len)
}

/// Counts the bytes that go into a decoder.
pub(super) struct Packed<R> {
    reader: R,
    taken: Arc<AtomicU64>,
    has_ended: Arc<AtomicBool>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.taken.fetch_add(got as u64, Ordering::Relaxed);
        if got == 0 && !buffer.is_empty() {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        Ok(got)
    }
}

/// Limits what comes out of a decoder.
pub(super) struct Bound {
    /// The compressed length in bytes if known in advance, otherwise 0.
    len: u64,
    taken: Arc<AtomicU64>,
    /// Whether the decoder has asked for more than there is.
    has_ended: Arc<AtomicBool>,
    limits: Limits,
}

impl Bound {
    /// Wraps the reader for a decoder; the bound then goes [over](Self::over) that decoder.
    pub(super) fn new<R: Read>(reader: R, len: u64, limits: Limits) -> (Packed<R>, Self) {
        let bound = Self {
            len,
            taken: Arc::default(),
            has_ended: Arc::default(),
            limits,
        };
        let packed = Packed {
            reader,
            taken: bound.taken.clone(),
            has_ended: bound.has_ended.clone(),
        };
        (packed, bound)
    }

    pub(super) fn over<R: Read>(self, decoder: R) -> Unpacked<R> {
        Unpacked {
            decoder,
            bound: self,
            given: 0,
        }
    }

    fn check(&self, given: u64) -> io::Result<()> {
        let Limits { free, ratio, total } = self.limits;
        if given > total {
            return Err(Expansion::error(format!(
                "it unpacks to more than {}",
                gibibytes(total)
            )));
        }
        let packed = self.len.max(self.taken.load(Ordering::Relaxed));
        if given > free && given / ratio > packed {
            return Err(Expansion::error(format!(
                "it unpacks to more than {} and {ratio} times its length",
                gibibytes(free)
            )));
        }
        Ok(())
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{} GiB", bytes >> 30)
}

/// A decoder with a bound.
pub(super) struct Unpacked<R> {
    decoder: R,
    bound: Bound,
    given: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.decoder.read(buffer).map_err(|error| {
            let is_cut = self.bound.has_ended.load(Ordering::Relaxed);
            if is_cut && error.raw_os_error().is_none() {
                return io::Error::new(error.kind(), format!("it is truncated: {error}"));
            }
            error
        })?;
        self.given += got as u64;
        self.bound.check(self.given)?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads 1,000 bytes, 10 at a time, which expand `ratio` times. Returns the expanded length.
    fn unpacked(len: u64, ratio: u64) -> Result<u64, String> {
        let limits = Limits {
            free: 500,
            ratio: 20,
            total: 15_000,
        };
        let (mut packed, bound) = Bound::new(io::repeat(0).take(1000), len, limits);
        let mut all = 0;
        let out = bound.over(io::empty());
        while packed
            .read(&mut [0; 10])
            .map_err(|error| error.to_string())?
            > 0
        {
            for _ in 0..ratio {
                all += 10;
                out.bound.check(all).map_err(|error| error.to_string())?;
            }
        }
        Ok(all)
    }

    #[test]
    fn what_is_honest_passes() {
        assert_eq!(unpacked(0, 4), Ok(4000));
        assert_eq!(unpacked(1000, 15), Ok(15_000));
        let ratio = unpacked(0, 100).unwrap_err();
        assert!(ratio.ends_with("20 times its length"), "{ratio}");
        let total = unpacked(1000, 100).unwrap_err();
        assert!(total.ends_with("more than 0 GiB"), "{total}");
    }

    #[test]
    fn a_file_may_begin_with_a_hole() {
        // If the length is known, all of it may come out before much has been read.
        assert!(unpacked(1000, 14).is_ok());
        let limits = Limits {
            free: 100,
            ratio: 10,
            total: 1 << 20,
        };
        let (_, known) = Bound::new(io::empty(), 1000, limits);
        assert!(known.check(10_000).is_ok() && known.check(11_000).is_err());
        let (_, pipe) = Bound::new(io::empty(), 0, limits);
        assert!(pipe.check(100).is_ok() && pipe.check(110).is_err());
    }
}
