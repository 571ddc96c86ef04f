//! The file system: the only module that calls `std::fs` (a lint enforces this). Every error names the action
//! and the path. Everything created is world-readable whatever the umask (files 0644, folders 0755), because
//! a web server may run as another user.

#![allow(
    clippy::disallowed_methods,
    reason = "this module wraps the disallowed methods"
)]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;

use crate::error::{WithHint as _, escaped, invalid_input};

mod limits;
mod links;
mod lock;
mod out;

use limits::{FILE_MODE, FOLDER_MODE, mode_set, set_mode};
pub(crate) use limits::{check_names, folds_case, set_open, sync, sync_one};
pub(crate) use links::{is_link, link, link_own, link_target, symlink};
pub(crate) use lock::lock;
pub(crate) use out::{
    NewFile, NewFolder, cannot_write, check_folder, check_outside, replace, replace_below,
};

/// A path, escaped for messages.
pub(crate) fn escaped_path(path: &Path) -> String {
    escaped(path.to_string_lossy())
}

/// A path as a word of a command that is shown.
pub(crate) fn quoted_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let quoted = shlex::try_quote(&text);
    escaped(quoted.as_deref().unwrap_or(&text))
}

/// A file's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Length in bytes.
    pub len: u64,
    pub is_dir: bool,
    pub is_file: bool,
    /// Device and inode number; equal for hard links to one file.
    pub inode: (u64, u64),
    /// The number of hard links.
    pub links: u64,
    /// The permission bits.
    pub mode: u32,
    /// The last modification, if the file system records it.
    pub modified: Option<SystemTime>,
    /// mtime and ctime, in nanoseconds since 1970.
    pub changed: [i128; 2],
}

impl Meta {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            len: metadata.len(),
            is_dir: metadata.is_dir(),
            is_file: metadata.is_file(),
            inode: (metadata.dev(), metadata.ino()),
            links: metadata.nlink(),
            mode: metadata.mode() & 0o7777,
            modified: metadata.modified().ok(),
            changed: [
                nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            ],
        }
    }

    /// Whether everybody may read it, and enter it if it is a folder.
    pub(crate) fn is_open(&self) -> bool {
        let needed = if self.is_dir { 0o555 } else { 0o444 };
        self.mode & needed == needed
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

/// Makes everything this process creates from now on world-readable. Each mode is also set explicitly, but a
/// run that dies before that would leave a folder that the web server cannot read.
pub(crate) fn open_umask() {
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
}

fn with_path<T>(action: &str, path: &Path, result: io::Result<T>) -> anyhow::Result<T> {
    result.with_context(|| format!("cannot {action} `{}`", escaped_path(path)))
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The metadata of a path, symbolic links followed; `None` if nothing exists there.
pub(crate) fn meta(path: &Path) -> anyhow::Result<Option<Meta>> {
    let found = found(fs::metadata(path));
    if let Err(error) = &found
        && error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
    {
        return Err(invalid_input(format!(
            "`{}` is a link that leads back to itself",
            escaped_path(path)
        )));
    }
    Ok(with_path("access", path, found)?.as_ref().map(Meta::of))
}

pub(crate) fn open(path: &Path) -> anyhow::Result<File> {
    with_path("open", path, File::open(path))
}

/// The metadata of an open file.
pub(crate) fn meta_of(file: &File, path: &Path) -> anyhow::Result<Meta> {
    Ok(Meta::of(&with_path("access", path, file.metadata())?))
}

/// Opens a regular file; `None` if there is none. Anything else, such as a pipe, is not opened.
pub(crate) fn open_regular(path: &Path) -> anyhow::Result<Option<(File, Meta)>> {
    if !meta(path)?.is_some_and(|meta| meta.is_file) {
        return Ok(None);
    }
    let Some(file) = with_path("open", path, found(File::open(path)))? else {
        return Ok(None);
    };
    let meta = meta_of(&file, path)?;
    Ok(Some((file, meta)))
}

/// Reads a whole file of at most `limit` bytes; `None` if there is none. Anything but a regular file, such as
/// a pipe or a device, is refused without being opened.
pub(crate) fn read(path: &Path, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(meta) = meta(path)? else {
        return Ok(None);
    };
    if !meta.is_file {
        return Err(invalid_input(format!(
            "`{}` is not a regular file",
            escaped_path(path)
        )));
    }
    if meta.len > limit {
        return Err(invalid_input(format!(
            "`{}` is too large: {} bytes, more than the limit of {limit}",
            escaped_path(path),
            meta.len
        )));
    }
    let mut bytes = Vec::new();
    with_path(
        "read",
        path,
        open(path)?.take(limit).read_to_end(&mut bytes),
    )?;
    Ok(Some(bytes))
}

/// Fails if the names in a folder, or the files, cannot be read.
pub(crate) fn check_enterable(folder: &Path) -> anyhow::Result<()> {
    let entered = fs::read_dir(folder).and_then(|_| fs::metadata(folder.join(".")));
    with_path("open the folder", folder, entered).map(|_| ())
}

/// The error of walking through folders, with the path of what cannot be read.
pub(crate) fn cannot_walk(error: walkdir::Error) -> anyhow::Error {
    let path = error.path().unwrap_or(Path::new("")).to_owned();
    let error = error.into_io_error();
    let error = error.unwrap_or_else(|| io::Error::other("a link leads back to it"));
    anyhow::Error::new(error).context(format!("cannot read `{}`", escaped_path(&path)))
}

/// The names in a folder, sorted; empty if the folder does not exist.
pub(crate) fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    names_of(folder, |_| true)
}

/// The names of the folders and links in a folder, sorted. Files, such as `.DS_Store`, and `lost+found` are no
/// part of any layout of folders.
pub(crate) fn folders(folder: &Path) -> anyhow::Result<Vec<String>> {
    names_of(folder, |entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        !is_file && entry.file_name() != "lost+found"
    })
}

/// The names of the files and links in a folder, sorted.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    names_of(folder, |entry| {
        !entry.file_type().is_ok_and(|kind| kind.is_dir())
    })
}

fn names_of(folder: &Path, wanted: impl Fn(&fs::DirEntry) -> bool) -> anyhow::Result<Vec<String>> {
    let Some(entries) = with_path("list", folder, found(fs::read_dir(folder)))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = with_path("list", folder, entry)?;
        if wanted(&entry) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Creates a folder and its parents.
pub(crate) fn create_dirs(folder: &Path) -> anyhow::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_dirs(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(_) if let Some(target) = link_target(folder)? => Err(anyhow::anyhow!(
            "`{}` is a link to `{}`, which is not a folder",
            escaped_path(folder),
            escaped_path(&target)
        ))
        .hint("create that folder, or remove the link"),
        result => {
            with_path("create the folder", folder, result)?;
            set_mode(folder, FOLDER_MODE)
        }
    }
}

/// Creates a file for reading and writing. Fails if the name is taken, by a link too.
pub(crate) fn create(path: &Path) -> anyhow::Result<File> {
    let created = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    let file = with_path("create", path, created)?;
    let set = file.set_permissions(Permissions::from_mode(FILE_MODE));
    mode_set(path, set)?;
    Ok(file)
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = create(path)?;
    with_path("write", path, file.write_all(bytes))
}

/// The bytes that this process may still write to the file system of a folder; `None` if the file system does
/// not report it.
pub(crate) fn free(folder: &Path) -> anyhow::Result<Option<u64>> {
    let stat = rustix::fs::statvfs(folder).map_err(io::Error::from);
    let stat = with_path("get the free space of", folder, stat)?;
    // Root may use the reserved blocks too.
    let blocks = if rustix::process::geteuid().is_root() {
        stat.f_bfree
    } else {
        stat.f_bavail
    };
    Ok((stat.f_blocks > 0).then(|| blocks.saturating_mul(stat.f_frsize)))
}

/// Creates an unnamed temporary file in a folder; closing it deletes it.
pub(crate) fn create_nameless(folder: &Path) -> anyhow::Result<File> {
    with_path(
        "create a temporary file in",
        folder,
        tempfile::tempfile_in(folder),
    )
}

pub(crate) fn temp_dir() -> PathBuf {
    std::env::temp_dir()
}

/// Renames a file, replacing `to`. If both are hard links to one file, POSIX keeps both.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    with_path("move a file to", to, fs::rename(from, to))
}

/// Copies a file by sharing its extents (reflink); `false` if the file system cannot.
pub(crate) fn clone(from: &Path, to: &Path) -> anyhow::Result<bool> {
    if reflink_copy::reflink(from, to).is_err() {
        return Ok(false);
    }
    set_mode(to, FILE_MODE)?;
    Ok(true)
}

/// The folders above a path relative to a site, up to the first that is in `known`; adds them to it.
pub(crate) fn folders_above<'a>(
    relative: &'a str,
    known: &'a mut BTreeSet<PathBuf>,
) -> impl Iterator<Item = &'a Path> {
    let folders = Path::new(relative).ancestors().skip(1);
    folders
        .take_while(|folder| !folder.as_os_str().is_empty() && known.insert(folder.to_path_buf()))
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    with_path("remove", path, found(fs::remove_file(path)))?;
    Ok(())
}

/// Removes a folder, if it exists; `false` if it is not empty.
pub(crate) fn remove_empty(folder: &Path) -> anyhow::Result<bool> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        result => with_path("remove", folder, found(result)).map(|_| true),
    }
}

/// Removes the folders below a folder that contain no files.
pub(crate) fn remove_empty_below(folder: &Path) -> anyhow::Result<()> {
    let walk = walkdir::WalkDir::new(folder)
        .min_depth(1)
        .contents_first(true);
    for entry in walk.into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            remove_empty(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a folder and its contents, if it exists.
pub(crate) fn remove_tree(folder: &Path) -> anyhow::Result<()> {
    with_path("remove", folder, found(fs::remove_dir_all(folder)))?;
    Ok(())
}

/// The canonical form of a path, or the path itself if that cannot be resolved.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The absolute form of a path, which need not exist. Links in it are kept, except those before a `..`, which would lead
/// elsewhere without them.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let path = with_path("resolve", path, std::path::absolute(path))?;
    let parts: Vec<Component> = path.components().collect();
    let after = parts.iter().rposition(|part| *part == Component::ParentDir);
    let (before, rest) = parts.split_at(after.map_or(0, |last| last + 1));
    Ok(match before {
        [] => path,
        _ => canonical(&before.iter().collect::<PathBuf>()).join(rest.iter().collect::<PathBuf>()),
    })
}
