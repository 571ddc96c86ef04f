//! Where content is until it gets its name in the site. A dry run has a staging area that keeps nothing.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use anyhow::Context as _;

use crate::content::Content;
use crate::fsx;
use crate::layer::Outline;

/// A folder for new content, or none for a dry run.
#[derive(Debug)]
pub struct Staging {
    folder: Option<Folder>,
    /// The memory left for outlines, in bytes.
    room: AtomicUsize,
}

/// The most memory for outlines, in bytes: enough for 200,000 files.
const MAX_OUTLINES: usize = 64 << 20;

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Begins each name, so that nobody can guess it.
    random: u64,
    /// The number of the next file.
    next: AtomicU64,
    /// Whether files of sources may be linked instead of copied.
    link: bool,
}

impl Folder {
    fn free_name(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Relaxed);
        self.path.join(format!("{:x}-{number}", self.random))
    }

    fn create(&self) -> anyhow::Result<(PathBuf, fsx::NewFile)> {
        let path = self.free_name();
        let file = fsx::NewFile::create(&path)?;
        Ok((path, file))
    }
}

impl Staging {
    /// `path` is an existing folder on the file system of the site. With `link`, files of sources may be
    /// linked into it.
    pub fn folder(path: PathBuf, link: bool) -> Self {
        Self::of(Some(Folder {
            path,
            random: RandomState::new().hash_one(0),
            next: AtomicU64::new(0),
            link,
        }))
    }

    /// Discards what is written.
    pub fn nowhere() -> Self {
        Self::of(None)
    }

    fn of(folder: Option<Folder>) -> Self {
        Self {
            folder,
            room: AtomicUsize::new(MAX_OUTLINES),
        }
    }

    /// The folder; `None` in a dry run.
    pub fn path(&self) -> Option<&Path> {
        self.folder.as_ref().map(|folder| folder.path.as_path())
    }

    /// The path of a new file that `fill` writes. In a dry run `fill` is not called, and the path is empty.
    pub fn stage(&self, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
        let Some(folder) = &self.folder else {
            return Ok(PathBuf::new());
        };
        let path = folder.free_name();
        fill(&path)?;
        Ok(path)
    }

    /// A new file for content that is written piece by piece.
    pub fn sink(&self) -> anyhow::Result<Sink> {
        self.folder
            .as_ref()
            .map(Folder::create)
            .transpose()
            .map(Sink)
    }

    /// A new file in the folder, and its path. Fails in a dry run.
    pub fn create(&self) -> anyhow::Result<(PathBuf, fsx::NewFile)> {
        self.folder
            .as_ref()
            .context("a dry run has no staging folder")?
            .create()
    }

    /// Brings a file into staging without copying its bytes: it is there already, is linked, or shares its
    /// extents with the source. `None` if none of these is possible.
    pub fn adopt(&self, content: &Content) -> anyhow::Result<Option<Content>> {
        let (Some(folder), Some(source)) = (&self.folder, content.path()) else {
            return Ok(None);
        };
        if source.starts_with(&folder.path) {
            return Ok(Some(content.clone()));
        }
        let copy = folder.free_name();
        let is_shared =
            (folder.link && fsx::link_own(source, &copy)?) || fsx::clone(source, &copy)?;
        Ok(is_shared.then(|| Content::file_of_len(copy, content.len()).renamed(content)))
    }

    /// Whether content of another folder gets here without copying its bytes; tried with a file that is removed.
    pub fn shares(&self, content: &Content) -> anyhow::Result<bool> {
        let copy = self.adopt(content)?;
        if let Some(path) = copy.as_ref().and_then(Content::path) {
            fsx::remove(path)?;
        }
        Ok(copy.is_some())
    }

    /// Keeps no outlines, for a build that completes no layers.
    pub fn forget_outlines(&self) {
        self.room.store(0, Relaxed);
    }

    /// Keeps the outline of a layer for completing it or those above it, as long as there is memory for it. Otherwise
    /// the layer is read again.
    pub fn keep(&self, outline: Option<Outline>) -> Option<Arc<Outline>> {
        let outline = outline?;
        let less = |left: usize| left.checked_sub(outline.bytes());
        let fits = self.room.fetch_update(Relaxed, Relaxed, less);
        fits.is_ok().then(|| Arc::new(outline))
    }

    /// A file without a name for data that is read again during this run, such as an unpacked archive.
    pub fn scratch(&self) -> anyhow::Result<fsx::NewFile> {
        let folder = self.path().map_or_else(fsx::temp_dir, Path::to_owned);
        Ok(fsx::NewFile::new(fsx::create_nameless(&folder)?, &folder))
    }
}

/// A new file in staging. In a dry run it discards what is written.
#[derive(Debug)]
pub struct Sink(Option<(PathBuf, fsx::NewFile)>);

impl Sink {
    /// The content of the file, which has `size` bytes; in a dry run, `source` itself.
    pub fn content(self, source: &Content, size: u64) -> Content {
        self.0.map_or_else(
            || source.clone(),
            |(path, _)| Content::file_of_len(path, size).renamed(source),
        )
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some((_, file)) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
