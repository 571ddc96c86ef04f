//! Locks between processes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::{create_dirs, escaped_path, is_link, meta, meta_of, with_path};
use crate::error::WithHint as _;

/// Takes the exclusive lock on a file, creating the file and its folder if needed. The lock lasts until the
/// returned file is closed, at the latest when the process ends. If another process holds the lock, this
/// calls `on_contention` once, returns its error if it fails, and waits otherwise.
pub(crate) fn lock(
    path: &Path,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<File> {
    let mut on_contention = Some(on_contention);
    loop {
        if let Some(folder) = path.parent() {
            create_dirs(folder)?;
        }
        if is_link(path)? || meta(path)?.is_some_and(|meta| !meta.is_file) {
            return Err(anyhow::anyhow!(
                "`{}` is not a regular file",
                escaped_path(path)
            ))
            .hint("delete it: it is the lock of the site");
        }
        let no_other = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .custom_flags(no_other.bits().cast_signed())
            .open(path);
        // A previous holder that published nothing may have just removed the folder.
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
            Err(fs::TryLockError::Error(error)) => {
                return with_path("lock", path, Err(error)).hint(
                    "the file system may have no locks: mount an NFS share with `local_lock=flock`, or build on a local disk and copy",
                );
            }
        }
        // The previous holder may have removed the file after this process opened it.
        let own = meta_of(&file, path)?.inode;
        if meta(path)?.is_some_and(|there| there.inode == own) {
            return Ok(file);
        }
    }
}
