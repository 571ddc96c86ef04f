//! How much packed content may unpack to, so that a small file cannot keep a machine busy for hours
//! or fill its disk.
//!
//! Real layers unpack to two to four times their length; a sparse disk image in a layer may reach a
//! thousand times, and no more where anything is in it. gzip cannot pass 1,032 to 1, zstd and bzip2
//! reach tens of thousands: for those it is the ratio that counts, for gzip the total.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What content may unpack to, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Up to here the ratio does not matter.
    free: u64,
    /// Beyond that it is at most so many times the packed length.
    ratio: u64,
    /// More than this is too much in any case.
    total: u64,
}

pub(super) const LIMITS: Limits = Limits {
    free: 16 << 30,
    ratio: 1100,
    total: 1 << 40,
};

/// Something unpacks to more than its limits.
#[derive(Debug)]
pub struct Expansion(String);

impl Expansion {
    fn error(text: String) -> io::Error {
        io::Error::other(Self(text))
    }

    /// Whether that is what went wrong.
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

/// Counts what goes into a decoder.
pub(super) struct Packed<R> {
    reader: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buffer)?;
        self.taken.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

/// The bound of what comes out of a decoder.
pub(super) struct Bound {
    /// The packed length, where it is known before.
    len: u64,
    taken: Arc<AtomicU64>,
    limits: Limits,
}

impl Bound {
    /// The reader that a decoder must take, and the bound of that decoder.
    pub(super) fn new<R: Read>(reader: R, len: u64, limits: Limits) -> (Packed<R>, Self) {
        let taken = Arc::new(AtomicU64::new(0));
        let packed = Packed {
            reader,
            taken: taken.clone(),
        };
        (packed, Self { len, taken, limits })
    }

    /// The decoder with its bound.
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

/// What comes out of a decoder.
pub(super) struct Unpacked<R> {
    decoder: R,
    bound: Bound,
    given: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.decoder.read(buffer)?;
        self.given += got as u64;
        self.bound.check(self.given)?;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes come out of 1,000 that are read 10 at a time and become `ratio` times as many.
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
        // As much as all of it may become, before much of it was read.
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
