//! Hard links and symbolic links.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::fsx::{found, with_path};

/// Whether a path is a symbolic link, dangling or not.
pub(crate) fn is_link(path: &Path) -> anyhow::Result<bool> {
    let found = with_path("access", path, found(fs::symlink_metadata(path)))?;
    Ok(found.is_some_and(|metadata| metadata.is_symlink()))
}

/// Creates a hard link. `false` if the file system refuses (too many links, no link support, another device),
/// so that the caller must copy.
pub(crate) fn link(from: &Path, to: &Path) -> anyhow::Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::TooManyLinks
                    | ErrorKind::CrossesDevices
                    | ErrorKind::Unsupported
                    | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(false)
        }
        Err(error) => with_path("create the link", to, Err(error)),
    }
}

/// Creates a symbolic link to a path that need not exist.
pub(crate) fn symlink(target: &str, link: &Path) -> anyhow::Result<()> {
    with_path(
        "create the link",
        link,
        std::os::unix::fs::symlink(target, link),
    )
}

/// The target of a symbolic link; `None` if the path is no link.
pub(crate) fn link_target(path: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !is_link(path)? {
        return Ok(None);
    }
    with_path("read the link", path, found(fs::read_link(path)))
}

/// Hard-links a source's file, if it has the same owner as the target folder and the mode 0644; `false` if
/// not, or if the file system refuses.
pub(crate) fn link_own(from: &Path, to: &Path) -> anyhow::Result<bool> {
    let source = with_path("access", from, fs::metadata(from))?;
    let folder = to.parent().unwrap_or(to);
    let own = with_path("access", folder, fs::metadata(folder))?.uid();
    if source.uid() != own || source.mode() & 0o7777 != 0o644 {
        return Ok(false);
    }
    link(from, to)
}
