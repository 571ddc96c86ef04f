//! Writing much without filling the disk.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file for much content. Writing fails before it leaves too little of its file system: others need
/// that too, and what a source unpacks to is known only when it has been.
#[derive(Debug)]
pub struct Roomy {
    file: File,
    folder: PathBuf,
}

impl Roomy {
    /// Of all files together: so many bytes are written before the next look.
    const STEP: u64 = 64 << 20;

    /// A file in a folder.
    pub fn new(file: File, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { file, folder }
    }

    /// The file.
    pub fn into_inner(self) -> File {
        self.file
    }
}

impl io::Write for Roomy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let count = bytes.len() as u64;
        let before = WRITTEN.fetch_add(count, Ordering::Relaxed);
        if before / Self::STEP != (before + count) / Self::STEP {
            let space = rustix::fs::statvfs(&self.folder)?;
            if is_short(space.f_bavail, space.f_blocks, space.f_frsize) {
                return Err(io::Error::other("its file system is almost full"));
            }
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether less than a hundredth is left, or less than a gibibyte of a large file system.
fn is_short(free: u64, all: u64, block: u64) -> bool {
    let reserve = (all / 100).min((1 << 30) / block.max(1));
    free < reserve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_disk_is_left_to_others() {
        let blocks = |gibibytes: u64| gibibytes << 18;
        for (free, all, short) in [
            (blocks(1), blocks(1000), false),
            (blocks(1) - 1, blocks(1000), true),
            (blocks(1) / 5, blocks(10), false),
            (blocks(1) / 20, blocks(10), true),
            (0, 0, false),
        ] {
            assert_eq!(is_short(free, all, 4096), short, "{free} of {all}");
        }
    }
}
