//! What not every file system has: modes, syncs of folders, case, some names.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Meta, escaped_path, meta, meta_of, open, remove, with_path, write};
use crate::error::WithHint as _;

/// Lets everybody read a file, or enter and read a folder.
pub(crate) fn set_open(path: &Path, meta: &Meta) -> anyhow::Result<()> {
    set_mode(path, if meta.is_dir { FOLDER_MODE } else { FILE_MODE })
}

/// Lets every user read a folder.
pub(super) fn set_folder_open(path: &Path) -> anyhow::Result<()> {
    set_mode(path, FOLDER_MODE)
}

pub(super) const FILE_MODE: u32 = 0o644;
pub(super) const FOLDER_MODE: u32 = 0o755;

pub(super) fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    mode_set(
        path,
        fs::set_permissions(path, Permissions::from_mode(mode)),
    )
}

/// The result of setting a mode. Some file systems have one for all files, which may do (vfat, some network shares).
pub(super) fn mode_set(path: &Path, set: io::Result<()>) -> anyhow::Result<()> {
    match set {
        Err(error) if is_beyond(&error) && meta(path)?.is_some_and(|meta| meta.is_open()) => Ok(()),
        Err(error) if is_beyond(&error) => with_path("set the permissions of", path, Err(error)).hint(
            "run as the owner of the site, or mount the file system so that everybody can read its files",
        ),
        set => with_path("set the permissions of", path, set),
    }
}

/// Whether a file system says that it has no such thing.
fn is_beyond(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
    )
}

/// Flushes a file, or the entries of a folder, to disk.
pub(crate) fn sync_one(path: &Path) -> anyhow::Result<()> {
    let file = open(path)?;
    match file.sync_all() {
        // Some file systems sync no folders (FUSE, CIFS).
        Err(error) if is_beyond(&error) && meta_of(&file, path)?.is_dir => sync(path),
        synced => with_path("sync", path, synced),
    }
}

/// Flushes everything written so far to the file system of `folder` to disk. One call is cheaper than an
/// fsync for each of many files and folders.
pub(crate) fn sync(folder: &Path) -> anyhow::Result<()> {
    let file = open(folder)?;
    #[cfg(target_os = "linux")]
    with_path(
        "sync",
        folder,
        rustix::fs::syncfs(&file).map_err(io::Error::from),
    )?;
    #[cfg(not(target_os = "linux"))]
    {
        drop(file);
        for entry in walkdir::WalkDir::new(folder).min_depth(1) {
            let entry = entry?;
            if entry.file_type().is_file() {
                sync_one(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Whether names in this folder are case-insensitive.
pub(crate) fn folds_case(folder: &Path) -> anyhow::Result<bool> {
    let probe = folder.join("case-probe");
    write(&probe, b"")?;
    let folds = meta(&folder.join("CASE-PROBE"))?.is_some();
    remove(&probe)?;
    Ok(folds)
}

/// Fails if the file system of a folder cannot have the names and links of a site.
pub(crate) fn check_names(folder: &Path) -> anyhow::Result<()> {
    let (file, link) = (folder.join("sha256:probe"), folder.join("link-probe"));
    let made = fs::File::create_new(&file).map(drop);
    let linked = std::os::unix::fs::symlink("sha256:probe", &link);
    for (path, made, what) in [
        (&file, made, "names with `:`"),
        (&link, linked, "symbolic links"),
    ] {
        if let Err(error) = &made
            && is_beyond(error)
        {
            let text = format!(
                "the file system of `{}` has no {what}",
                escaped_path(folder)
            );
            return Err(anyhow::anyhow!("{text}: {error}")).hint(
                "build on another file system, such as ext4, and serve or publish the site from there",
            );
        }
        with_path("create", path, made)?;
    }
    remove(&file)?;
    remove(&link)
}
