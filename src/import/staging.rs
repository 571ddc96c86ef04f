//! Where content goes until it gets its name in the site. A dry run has a staging area that keeps nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

use crate::content::Content;
use crate::fsx;

/// Where content goes until it gets its name.
#[derive(Debug)]
pub struct Staging(Option<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The number of the next file.
    next: AtomicU64,
    /// Files of sources may be linked rather than copied.
    link: bool,
}

impl Folder {
    /// A name that nothing in it has.
    fn free_name(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path.join(number.to_string())
    }

    fn create(&self) -> anyhow::Result<(PathBuf, fsx::NewFile)> {
        let path = self.free_name();
        let file = fsx::NewFile::create(&path)?;
        Ok((path, file))
    }
}

impl Staging {
    /// A folder that exists, on the file system of the site. With `link` files of sources may be linked into it.
    pub fn folder(path: PathBuf, link: bool) -> Self {
        let next = AtomicU64::new(0);
        Self(Some(Folder { path, next, link }))
    }

    /// Nowhere: what is written is gone.
    pub fn nowhere() -> Self {
        Self(None)
    }

    /// The folder; `None` where nothing is kept.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|folder| folder.path.as_path())
    }

    /// The path of a new file that `fill` writes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn stage(&self, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
        let Some(folder) = &self.0 else {
            return Ok(PathBuf::new());
        };
        let path = folder.free_name();
        fill(&path)?;
        Ok(path)
    }

    /// A new file for content that is written piece by piece.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn sink(&self) -> anyhow::Result<Sink> {
        self.0.as_ref().map(Folder::create).transpose().map(Sink)
    }

    /// A new file in the folder, and its path.
    ///
    /// # Errors
    /// When it cannot be created, or nothing is kept.
    pub fn create(&self) -> anyhow::Result<(PathBuf, fsx::NewFile)> {
        self.0.as_ref().context("a dry run keeps nothing")?.create()
    }

    /// Content of a file that need not be copied, since it is here already, may be linked, or shares its
    /// extents; `None` for any other.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn adopt(&self, content: &Content) -> anyhow::Result<Option<Content>> {
        let (Some(folder), Some(source)) = (&self.0, content.path()) else {
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

    /// A file without a name for what has to be looked up again, such as an archive unpacked.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn scratch(&self) -> anyhow::Result<fsx::NewFile> {
        let folder = self.path().map_or_else(fsx::temp_dir, Path::to_owned);
        Ok(fsx::NewFile::new(fsx::create_nameless(&folder)?, &folder))
    }
}

/// A new file in staging; where nothing is kept, what is written is gone.
#[derive(Debug)]
pub struct Sink(Option<(PathBuf, fsx::NewFile)>);

impl Sink {
    /// What was written, so many bytes; where nothing is kept, what it was made of.
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
