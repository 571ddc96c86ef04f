//! The progress of a run. Readers add to the counters block by block; the display polls them. A verbose run tells its
//! steps to a log.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of the bytes and blobs to read, and of those read.
#[derive(Debug, Default)]
pub struct Progress {
    /// What prints each step.
    log: Option<fn(&str)>,
    bytes: AtomicU64,
    all_bytes: AtomicU64,
    blobs: AtomicU64,
    all_blobs: AtomicU64,
    parts: AtomicU64,
    all_parts: AtomicU64,
}

/// A snapshot of [`Progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub bytes: u64,
    /// Bytes to read in total, as far as known.
    pub all_bytes: u64,
    pub blobs: u64,
    /// Blobs to read in total.
    pub all_blobs: u64,
    /// Parts of the site that were compared and written.
    pub parts: u64,
    /// All parts; 0 until writing begins.
    pub all_parts: u64,
}

impl Progress {
    /// Progress that tells each step to `log`.
    pub fn logged(log: fn(&str)) -> Self {
        Self {
            log: Some(log),
            ..Self::default()
        }
    }

    /// Tells the log of a step, if there is one.
    pub fn step(&self, text: impl FnOnce() -> String) {
        if let Some(log) = self.log {
            log(&text());
        }
    }

    pub fn state(&self) -> State {
        State {
            bytes: self.bytes.load(Relaxed),
            all_bytes: self.all_bytes.load(Relaxed),
            blobs: self.blobs.load(Relaxed),
            all_blobs: self.all_blobs.load(Relaxed),
            parts: self.parts.load(Relaxed),
            all_parts: self.all_parts.load(Relaxed),
        }
    }

    /// Adds to the totals to read.
    pub fn expect(&self, blobs: u64, bytes: u64) {
        self.all_blobs.fetch_add(blobs, Relaxed);
        self.all_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes that [`Progress::expect`] already counted.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub fn blob_done(&self) {
        self.blobs.fetch_add(1, Relaxed);
    }

    /// Begins writing, or adds to it: blobs, v1 images and repositories, then files that get their names.
    pub fn expect_parts(&self, parts: u64) {
        self.all_parts.fetch_add(parts, Relaxed);
    }

    pub fn part_done(&self) {
        self.parts.fetch_add(1, Relaxed);
    }

    /// Counts the bytes that go through a reader or writer. `expected` says that [`Progress::expect`] already
    /// counted them, which is impossible for a pipe.
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

/// Counts one blob. Its bytes count once, however often they are read.
#[derive(Debug)]
pub struct Meter {
    progress: Arc<Progress>,
    len: u64,
    counted: AtomicU64,
}

impl Meter {
    /// Adds a blob of `len` bytes to the totals to read.
    pub fn new(progress: &Arc<Progress>, len: u64) -> Self {
        progress.expect(1, len);
        Self::expected(progress, len)
    }

    /// A blob of `len` bytes that [`Progress::expect`] already counted.
    pub fn expected(progress: &Arc<Progress>, len: u64) -> Self {
        Self {
            progress: progress.clone(),
            len,
            counted: AtomicU64::new(0),
        }
    }

    /// Counts bytes that were read.
    pub fn add(&self, bytes: u64) {
        let left = self
            .len
            .saturating_sub(self.counted.fetch_add(bytes, Relaxed));
        self.progress.bytes.fetch_add(bytes.min(left), Relaxed);
    }

    /// Ends reading. Bytes that were not read are taken off the total instead of being counted as read, which
    /// would inflate the speed.
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
