//! Files of much content, written by others, who do not know the path.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Advice;

use super::{create, escaped_path};

/// A new file whose errors name it. Writing fails before it leaves too little of its file system: others
/// need that too, and what a source unpacks to is known only when it has been.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    /// Bytes written, and how many of them are on their way to the disk.
    written: u64,
    sent: u64,
}

impl NewFile {
    /// Creates it; what was there is lost.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(create(path)?, path))
    }

    /// A file that lies at a path, or has no name and lies in it.
    pub fn new(file: File, path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            file,
            path,
            written: 0,
            sent: 0,
        }
    }

    /// The file.
    pub fn into_inner(self) -> File {
        self.file
    }

    /// Writes, if there is room for it.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let count = bytes.len() as u64;
        let before = WRITTEN.fetch_add(count, Ordering::Relaxed);
        if before / STEP != (before + count) / STEP {
            let space = rustix::fs::fstatvfs(&self.file)?;
            if is_short(space.f_bavail, space.f_blocks, space.f_frsize) {
                return Err(io::Error::other("its file system is almost full"));
            }
        }
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        if self.written - self.sent >= SEND {
            self.send();
        }
        Ok(count)
    }

    /// Has the kernel start to write to the disk what was written last, so that a stage that is made durable
    /// has not to wait for all of it. Linux takes this advice so; pages it has not written yet stay in memory.
    fn send(&mut self) {
        let len = NonZeroU64::new(self.written - self.sent);
        let _ = rustix::fs::fadvise(&self.file, self.sent, len, Advice::DontNeed);
        self.sent = self.written;
    }
}

/// Of one file: so many bytes are written before they are sent to the disk.
const SEND: u64 = 8 << 20;

/// Of all files together: so many bytes are written before the next look for room.
const STEP: u64 = 64 << 20;

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes).map_err(|error| {
            let path = self.path.clone();
            // One that is tried again is not for people.
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            io::Error::new(error.kind(), CannotWrite { path, error })
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of writing as what it is: no fault of what was read meanwhile.
pub fn cannot_write(error: io::Error) -> anyhow::Error {
    match error.downcast::<CannotWrite>() {
        Ok(named) => named.into(),
        Err(error) => error.into(),
    }
}

#[derive(Debug)]
struct CannotWrite {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for CannotWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write `{}`", escaped_path(&self.path))
    }
}

impl std::error::Error for CannotWrite {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
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
