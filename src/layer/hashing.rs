//! A writer that hashes.

use std::io::{self, Write};

use crate::spec::digest::{Digest, Hasher};

/// Hashes what is written to another writer, in several ways at once.
pub struct Hashing<W> {
    pub inner: W,
    pub hashers: Vec<Hasher>,
}

impl<W> Hashing<W> {
    /// The digests, in the order of the hashers.
    pub fn finish(self) -> (W, Vec<Digest>) {
        let hashers = self.hashers.into_iter();
        let digests = hashers.map(|hasher| hasher.finish().0);
        (self.inner, digests.collect())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        for hasher in &mut self.hashers {
            hasher.update(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
