//! The one way in which the files of a site change. In a dry run nothing does: its disk has nowhere to keep
//! what is new, and leaves the rest as it is.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::WithHint as _;
use crate::fsx;
use crate::import::staging::Staging;
use crate::writer::PRIVATE;

/// The folder of a site, to be changed.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    /// Where new files are until they get their names.
    pub staging: Staging,
    /// The folders that were made for it: the private one, and the site's own.
    fresh: Vec<PathBuf>,
    _lock: Option<File>,
}

impl Disk {
    /// Makes the folder if need be and takes its lock. With `link` files of sources may be linked into staging.
    /// Before waiting for another writer `on_contention` is called, which may refuse to.
    ///
    /// # Errors
    /// When the folder cannot be written, or what `on_contention` says.
    pub(super) fn open(
        root: &Path,
        link: bool,
        on_contention: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let private = root.join(PRIVATE);
        let mut fresh = Vec::new();
        for folder in [&private, root] {
            if fsx::meta(folder)?.is_none() {
                fresh.push(folder.to_owned());
            }
        }
        Ok(Self {
            root: root.to_owned(),
            _lock: Some(writable(fsx::lock(&private.join("lock"), on_contention))?),
            staging: writable(clean_staging(private.join("staging"), link))?,
            fresh,
        })
    }

    /// A disk that never changes, which needs no lock: for a dry run.
    pub(super) fn unchanging(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            staging: Staging::nowhere(),
            fresh: Vec::new(),
            _lock: None,
        }
    }

    /// Makes a change, unless nothing is to change.
    fn change(&self, change: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self.staging.path() {
            Some(_) => change(),
            None => Ok(()),
        }
    }

    /// Makes the folder that a file is to lie in.
    pub(super) fn make_folder_of(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        self.change(|| fsx::create_dirs(folder))
    }

    /// Gives a staged file its name, in place of what has that name.
    pub(super) fn rename(&self, staged: &Path, path: &Path) -> anyhow::Result<()> {
        self.change(|| fsx::rename(staged, path))
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, path: &Path) -> anyhow::Result<()> {
        self.change(|| fsx::remove(path))
    }

    /// Removes a folder, and those above it, as long as nothing is in them.
    pub(super) fn remove_empty(&self, folder: &Path) -> anyhow::Result<()> {
        let inside = |folder: &&Path| folder.starts_with(&self.root) && *folder != self.root;
        self.change(|| {
            for folder in folder.ancestors().take_while(inside) {
                if !fsx::remove_empty(folder)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Removes a folder in which there is nothing but folders, and all such below it.
    pub(super) fn remove_empty_below(&self, folder: &Path) -> anyhow::Result<()> {
        self.change(|| {
            fsx::remove_empty_below(folder)?;
            fsx::remove_empty(folder).map(|_| ())
        })
    }

    /// Makes a file durable, or the names in a folder.
    pub(super) fn sync(&self, path: &Path) -> anyhow::Result<()> {
        self.change(|| fsx::sync_one(path))
    }

    /// Makes all that was written durable.
    pub(super) fn sync_all(&self) -> anyhow::Result<()> {
        self.change(|| fsx::sync(&self.root))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

/// What lies in staging is of no use to the next run, whatever became of this one. A first run that
/// came to nothing leaves nothing.
impl Drop for Disk {
    fn drop(&mut self) {
        let Some(staging) = self.staging.path() else {
            return;
        };
        let _ = fsx::remove_tree(staging);
        let is_empty = || fsx::names(&self.root).is_ok_and(|names| names == [PRIVATE]);
        if !self.fresh.is_empty() && is_empty() {
            let _ = fsx::remove(&self.root.join(PRIVATE).join("lock"));
            for folder in &self.fresh {
                let _ = fsx::remove_empty(folder);
            }
        }
    }
}

/// Says what to do where a site cannot be written at all.
fn writable<T>(opened: anyhow::Result<T>) -> anyhow::Result<T> {
    let is_refused = |error: &anyhow::Error| {
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        matches!(
            kind,
            Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
        )
    };
    match opened {
        Err(error) if is_refused(&error) => Err(error).hint(
            "this changes the site, so it must be writable; `list`, `verify` and `serve` only read it",
        ),
        opened => opened,
    }
}

fn clean_staging(path: PathBuf, link: bool) -> anyhow::Result<Staging> {
    fsx::remove_tree(&path)?;
    fsx::create_dirs(&path)?;
    Ok(Staging::folder(path, link))
}
