//! Large output files, whose write errors carry the path.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{create, escaped_path};
use crate::error::WithHint as _;

/// A new file whose write errors name its path. Writing fails before the file system is full: other programs
/// need space too, and the unpacked size of a source is not known beforehand.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    /// Bytes written.
    written: u64,
    /// How many of these the kernel was told to write to disk.
    sent: u64,
}

impl NewFile {
    /// Creates a file, or truncates an existing one.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(create(path)?, path))
    }

    /// Wraps the open file at `path`, or an unnamed file in the folder `path`.
    pub fn new(file: File, path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            file,
            path,
            written: 0,
            sent: 0,
        }
    }

    pub fn into_inner(self) -> File {
        self.file
    }

    /// Writes, unless the file system is almost full.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let count = bytes.len() as u64;
        let before = WRITTEN.fetch_add(count, Ordering::Relaxed);
        if before / STEP != (before + count) / STEP {
            let space = rustix::fs::fstatvfs(&self.file)?;
            if is_short(space.f_bavail, space.f_blocks, space.f_frsize) {
                return Err(io::Error::other("the file system is almost full"));
            }
        }
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        if self.written - self.sent >= SEND {
            self.send();
        }
        Ok(count)
    }

    /// Makes the kernel start writing the latest bytes to disk, so that the final sync has less to wait for.
    /// Linux does so on this advice, and keeps pages that it has not written yet in memory.
    fn send(&mut self) {
        #[cfg(target_os = "linux")]
        {
            let len = std::num::NonZeroU64::new(self.written - self.sent);
            let _ = rustix::fs::fadvise(&self.file, self.sent, len, rustix::fs::Advice::DontNeed);
        }
        self.sent = self.written;
    }
}

/// Bytes written to one file between two calls of [`NewFile::send`].
const SEND: u64 = 8 << 20;

/// Bytes written to all files together between two checks of the free space.
const STEP: u64 = 64 << 20;

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes).map_err(|error| {
            let path = self.path.clone();
            // The caller retries this error, so it keeps its kind and gets no context.
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

/// Converts an error of copying to a [`NewFile`]. A write error keeps its path, so that it is not blamed on
/// the input that was being read.
pub(crate) fn cannot_write(error: io::Error) -> anyhow::Error {
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

/// Whether less than 1 % of the file system is free, or less than 1 GiB if that is smaller.
fn is_short(free: u64, all: u64, block: u64) -> bool {
    let reserve = (all / 100).min((1 << 30) / block.max(1));
    free < reserve
}

/// Fails if a file would become part of a folder, by links too.
pub(crate) fn check_outside(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let path = super::absolute(path)?;
    let real = path
        .ancestors()
        .find_map(|above| std::fs::canonicalize(above).ok());
    if real.is_some_and(|real| real.starts_with(super::canonical(folder))) {
        return Err(anyhow::anyhow!(
            "`{}` would become part of `{}`",
            escaped_path(&path),
            escaped_path(folder)
        ))
        .hint("write it to another folder");
    }
    Ok(())
}

/// Writes a file with what `make` writes, in place of the one of that name, once it is complete. Until then it has no
/// name, where the system can do that: so whatever ends the process, nothing is left.
pub(crate) fn replace(
    path: &Path,
    make: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    check_replaceable(path)?;
    let folder = folder_of(path);
    let mut builder = tempfile::Builder::new();
    if let Some(file) = nameless(folder) {
        let file = filled(path, file, make)?;
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let named = builder.make_in(folder, |name| {
            let flags = rustix::fs::AtFlags::SYMLINK_FOLLOW;
            Ok(rustix::fs::linkat(
                rustix::fs::CWD,
                &open,
                rustix::fs::CWD,
                name,
                flags,
            )?)
        });
        let named = super::with_path("name a file next to", path, named)?;
        let replaced = named.persist(path).map_err(|failed| failed.error);
        return super::with_path("replace", path, replaced);
    }
    let created = builder
        .permissions(Permissions::from_mode(super::limits::FILE_MODE))
        .tempfile_in(folder);
    // The error names the temporary file, of which nobody knows.
    let created = created.map_err(|error| std::io::Error::from(error.kind()));
    let created = super::with_path("write", path, created)?;
    let complete = filled(path, created, make)?;
    let replaced = complete.persist(path).map_err(|failed| failed.error);
    super::with_path("replace", path, replaced).map(|_| ())
}

fn check_replaceable(path: &Path) -> anyhow::Result<()> {
    check_folder_of(path)?;
    let meta = super::meta(path)?;
    if meta.is_some_and(|meta| meta.is_dir) {
        anyhow::bail!("cannot write `{}`: it is a folder", escaped_path(path));
    }
    if meta.is_some_and(|meta| !meta.is_file) {
        anyhow::bail!("cannot replace `{}`: it is not a file", escaped_path(path));
    }
    Ok(())
}

/// Fails if the folder that a path is in does not exist.
fn check_folder_of(path: &Path) -> anyhow::Result<()> {
    let folder = folder_of(path);
    if super::meta(folder)?.is_none_or(|meta| !meta.is_dir) {
        let (path, folder) = (escaped_path(path), escaped_path(folder));
        return Err(anyhow::anyhow!(
            "cannot write `{path}`: the folder `{folder}` does not exist"
        ))
        .hint("create it first, or write elsewhere");
    }
    Ok(())
}

/// Fails if what is to be a folder is something else.
pub(crate) fn check_folder(path: &Path) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        anyhow::bail!("`-` is not a folder: there are several files");
    }
    if path.to_string_lossy().contains("://") {
        anyhow::bail!("`{}` is a URL, not a folder", escaped_path(path));
    }
    if super::meta(path)?.is_some_and(|meta| !meta.is_dir) {
        anyhow::bail!("`{}` is a file, not a folder", escaped_path(path));
    }
    Ok(())
}

/// Writes a file in place of the one of that name, and makes the folders above it.
pub(crate) fn replace_below(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    super::create_dirs(folder_of(path))?;
    replace(path, |out| Ok(out.write_all(bytes)?))
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    let parent = path.parent();
    let named = parent.filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

/// A file without a name that can get one; `None` where the file system or the system cannot do that.
fn nameless(folder: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TMPFILE;
    let mode = Mode::from_raw_mode(super::limits::FILE_MODE);
    let opened = rustix::fs::openat(rustix::fs::CWD, folder, flags, mode);
    opened.ok().map(File::from)
}

/// Fills a file and makes it durable.
fn filled<F: Write + Send + AsFd>(
    path: &Path,
    file: F,
    make: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<F> {
    let mut out = io::BufWriter::new(file);
    make(&mut out)?;
    let written = out.into_inner().map_err(io::IntoInnerError::into_error);
    let file = super::with_path("write", path, written)?;
    let synced = rustix::fs::fsync(&file).map_err(io::Error::from);
    super::with_path("sync", path, synced)?;
    Ok(file)
}

/// A folder that is filled beside its place, and gets its name once it is whole. After an error nothing of it stays; a
/// signal leaves it under its temporary name.
pub(crate) struct NewFolder {
    temporary: tempfile::TempDir,
    place: PathBuf,
}

impl NewFolder {
    /// # Errors
    /// If there is a file of that name, or a folder that is not empty.
    pub(crate) fn create(place: &Path) -> anyhow::Result<Self> {
        if super::is_link(place)? || super::meta(place)?.is_some_and(|meta| !meta.is_dir) {
            anyhow::bail!("`{}` is not a folder", escaped_path(place));
        }
        if place.is_dir() && !(super::folders(place)?.is_empty() && super::files(place)?.is_empty())
        {
            anyhow::bail!("the folder `{}` is not empty", escaped_path(place));
        }
        Ok(Self {
            place: place.to_owned(),
            ..Self::beside(place)?
        })
    }

    /// A folder whose files are to lie beside a path, whatever is there.
    pub(crate) fn beside(path: &Path) -> anyhow::Result<Self> {
        check_folder_of(path)?;
        let beside = folder_of(path);
        let mut builder = tempfile::Builder::new();
        let temporary = builder.prefix(".stillage-").tempdir_in(beside);
        Ok(Self {
            temporary: super::with_path("create a folder in", beside, temporary)?,
            place: beside.to_owned(),
        })
    }

    /// Moves files to its place, in the place of others of their names.
    ///
    /// # Errors
    /// If there is a folder of one of the names, before any is moved.
    pub(crate) fn give_names(&self, names: &[&OsStr]) -> anyhow::Result<()> {
        for name in names {
            check_replaceable(&self.place.join(name))?;
        }
        for name in names {
            super::rename(&self.path().join(name), &self.place.join(name))?;
        }
        super::sync_one(&self.place)
    }

    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Replaces an empty folder.
    pub(crate) fn give_name(&self) -> anyhow::Result<()> {
        super::limits::set_folder_open(self.path())?;
        let renamed = std::fs::rename(self.path(), &self.place);
        super::with_path("create", &self.place, renamed)
    }
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
