//! How far a run is. Whatever reads adds to it, block by block; what shows it looks from time to time.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts what there is to read, and how much of it was read.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    all_bytes: AtomicU64,
    blobs: AtomicU64,
    all_blobs: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes to read, as far as that is known.
    pub all_bytes: u64,
    /// Blobs that were read.
    pub blobs: u64,
    /// Blobs to read.
    pub all_blobs: u64,
}

impl Progress {
    /// The counts now.
    pub fn state(&self) -> State {
        State {
            bytes: self.bytes.load(Relaxed),
            all_bytes: self.all_bytes.load(Relaxed),
            blobs: self.blobs.load(Relaxed),
            all_blobs: self.all_blobs.load(Relaxed),
        }
    }

    /// So much more is to be read.
    pub fn expect(&self, blobs: u64, bytes: u64) {
        self.all_blobs.fetch_add(blobs, Relaxed);
        self.all_bytes.fetch_add(bytes, Relaxed);
    }

    /// A blob was read.
    pub fn blob_done(&self) {
        self.blobs.fetch_add(1, Relaxed);
    }

    /// Counts what passes through a reader or writer; `expected` says that [`Progress::expect`] was
    /// told of it, which it cannot be of a pipe.
    pub fn counting<T>(&self, inner: T, expected: bool) -> Counting<'_, T> {
        Counting {
            inner,
            progress: self,
            expected,
        }
    }
}

/// See [`Progress::counting`].
#[derive(Debug)]
pub struct Counting<'a, T> {
    inner: T,
    progress: &'a Progress,
    expected: bool,
}

impl<T> Counting<'_, T> {
    fn count(&self, bytes: usize) {
        if !self.expected {
            self.progress.expect(0, bytes as u64);
        }
        self.progress.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect(|got| self.count(*got))
    }
}

impl<W: Write> Write for Counting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).inspect(|put| self.count(*put))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Counts one blob, whose bytes count once however often they are read.
#[derive(Debug)]
pub struct Meter {
    progress: Arc<Progress>,
    len: u64,
    counted: AtomicU64,
}

impl Meter {
    /// Expects a blob.
    pub fn new(progress: &Arc<Progress>, len: u64) -> Self {
        progress.expect(1, len);
        Self {
            progress: progress.clone(),
            len,
            counted: AtomicU64::new(0),
        }
    }

    /// Bytes were read.
    pub fn add(&self, bytes: u64) {
        let left = self
            .len
            .saturating_sub(self.counted.fetch_add(bytes, Relaxed));
        self.progress.bytes.fetch_add(bytes.min(left), Relaxed);
    }

    /// No more is read. What did not have to be is no longer expected, so that it does not count as
    /// speed.
    pub fn done(&self) {
        let counted = self.counted.swap(self.len, Relaxed);
        let unread = self.len.saturating_sub(counted);
        self.progress.all_bytes.fetch_sub(unread, Relaxed);
        self.progress.blob_done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(progress: &Progress) -> [u64; 4] {
        let state = progress.state();
        [state.bytes, state.all_bytes, state.blobs, state.all_blobs]
    }

    #[test]
    fn a_blob_counts_once() {
        let progress = Arc::default();
        let blob = Meter::new(&progress, 10);
        let other = Meter::new(&progress, 5);
        blob.add(4);
        assert_eq!(state(&progress), [4, 15, 0, 2]);
        blob.add(6);
        blob.add(10);
        assert_eq!(state(&progress), [10, 15, 0, 2]);
        blob.done();
        other.add(1);
        other.done();
        other.add(4);
        assert_eq!(state(&progress), [11, 11, 2, 2]);
    }

    #[test]
    fn the_length_of_a_pipe_is_not_known() {
        let progress = Progress::default();
        progress.expect(0, 7);
        let pipe = io::copy(&mut progress.counting(&[0; 9][..], false), &mut io::sink());
        assert_eq!((pipe.unwrap(), state(&progress)), (9, [9, 16, 0, 0]));
        let file = progress.counting(io::sink(), true).write_all(&[0; 7]);
        assert_eq!((file.unwrap(), state(&progress)), ((), [16, 16, 0, 0]));
    }
}
