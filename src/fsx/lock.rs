//! Locks between processes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{act, create_dirs, meta, meta_of};

/// Takes the one lock on a file, which is created if need be, with its folder. It goes with the file
/// that is returned, so with the process, whatever ends it. When another process holds it, `busy` is
/// called once; unless that fails, the lock is waited for.
///
/// # Errors
/// When the file cannot be locked, or what `busy` says.
pub fn lock(path: &Path, busy: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<File> {
    let mut busy = Some(busy);
    loop {
        if let Some(folder) = path.parent() {
            create_dirs(folder)?;
        }
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(path);
        // A holder that made nothing takes its folder away again.
        if matches!(&opened, Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            continue;
        }
        let file = act("open", path, opened)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                busy.take().map_or(Ok(()), |busy| busy())?;
                act("lock", path, file.lock())?;
            }
            Err(fs::TryLockError::Error(error)) => return act("lock", path, Err(error)),
        }
        let own = meta_of(&file, path)?.inode;
        if meta(path)?.is_some_and(|there| there.inode == own) {
            return Ok(file);
        }
    }
}
