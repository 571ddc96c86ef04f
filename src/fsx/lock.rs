//! Locks between processes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{create_dirs, meta, meta_of, with_path};

/// Takes the one lock on a file, which is created if need be, with its folder. It goes with the file
/// that is returned, so with the process, whatever ends it. When another process holds it, `on_contention` is
/// called once; unless that fails, the lock is waited for.
///
/// # Errors
/// When the file cannot be locked, or what `on_contention` says.
pub fn lock(
    path: &Path,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<File> {
    let mut on_contention = Some(on_contention);
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
        let file = with_path("open", path, opened)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                on_contention
                    .take()
                    .map_or(Ok(()), |on_contention| on_contention())?;
                with_path("lock", path, file.lock())?;
            }
            Err(fs::TryLockError::Error(error)) => return with_path("lock", path, Err(error)),
        }
        let own = meta_of(&file, path)?.inode;
        if meta(path)?.is_some_and(|there| there.inode == own) {
            return Ok(file);
        }
    }
}
