//! All changes to the files of a site go through [`Disk`]. In a dry run it has no staging folder and ignores
//! all changes.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Hint;
use crate::fsx;
use crate::import::staging::Staging;
use crate::writer::PRIVATE;

/// The folder of a site, opened for writing or for a dry run.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// Holds new files until they get their names.
    pub staging: Staging,
    /// Those of the private folder and the root that did not exist before.
    fresh: Vec<PathBuf>,
    _lock: Option<File>,
}

impl Disk {
    /// Creates the folder if it does not exist and takes its lock; see [`crate::writer::Site::open`].
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
        let is_there = !fresh.iter().any(|path| path == root);
        let writable = |error: anyhow::Error| {
            if is_there {
                about_writing(error)
            } else {
                error
            }
        };
        let disk = Self {
            root: root.to_owned(),
            _lock: Some(fsx::lock(&private.join("lock"), on_contention).map_err(writable)?),
            staging: clean_staging(private.join("staging"), link).map_err(writable)?,
            fresh,
        };
        if let Some(staging) = disk.staging.path()
            && fsx::meta(&root.join("index.json"))?.is_none()
        {
            fsx::check_names(staging)?;
        }
        Ok(disk)
    }

    /// A disk for a dry run, which ignores all changes and needs no lock.
    pub(super) fn unchanging(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            staging: Staging::nowhere(),
            fresh: Vec::new(),
            _lock: None,
        }
    }

    /// Makes a change, unless this is a dry run.
    fn change(&self, change: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self.staging.path() {
            Some(_) => change(),
            None => Ok(()),
        }
    }

    /// Creates the parent folders of a file.
    pub(super) fn make_folder_of(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        self.change(|| fsx::create_dirs(folder))
    }

    /// Lets everybody read a file or folder, if that is not so already.
    pub(super) fn open_for_all(&self, path: &Path, meta: &fsx::Meta) -> anyhow::Result<()> {
        if meta.is_open() {
            return Ok(());
        }
        self.change(|| fsx::set_open(path, meta))
    }

    /// Renames a staged file, replacing any file at `path`.
    pub(super) fn rename(&self, staged: &Path, path: &Path) -> anyhow::Result<()> {
        self.change(|| fsx::rename(staged, path))
    }

    /// Gives a staged symbolic link its name.
    pub(super) fn place_symlink(&self, staged: &Path, path: &Path) -> anyhow::Result<()> {
        self.change(|| {
            remove_copy_of_link(path)?;
            fsx::rename(staged, path)
        })
    }

    /// Removes the name of a tag: a file, or what is left of a symbolic link.
    pub(super) fn remove_name(&self, path: &Path) -> anyhow::Result<()> {
        self.change(|| {
            remove_copy_of_link(path)?;
            fsx::remove(path)
        })
    }

    /// Removes a file, if it exists.
    pub(crate) fn remove(&self, path: &Path) -> anyhow::Result<()> {
        self.change(|| fsx::remove(path))
    }

    /// Removes a folder and the folders above it, up to the first that is not empty.
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

    /// Removes all empty folders below a folder, and the folder itself if it is empty then.
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

    /// Makes everything written so far durable.
    pub(super) fn sync_all(&self) -> anyhow::Result<()> {
        self.change(|| fsx::sync(&self.root))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

/// Removes staging, since no later run can use it. A first run that wrote nothing removes its folders too.
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

/// Removes the folder that a copy which follows symbolic links has made of one: `cp -rL` copies the manifest
/// in the target of the link of a tag. A folder with anything else stays, and is an error.
fn remove_copy_of_link(path: &Path) -> anyhow::Result<()> {
    if fsx::is_link(path)? || !fsx::meta(path)?.is_some_and(|meta| meta.is_dir) {
        return Ok(());
    }
    for name in fsx::names(path)? {
        if name.starts_with("sha256:") {
            fsx::remove(&path.join(name))?;
        }
    }
    anyhow::ensure!(
        fsx::remove_empty(path)?,
        "`{}` has other files than manifests",
        fsx::escaped_path(path)
    );
    Ok(())
}

/// Adds a hint to an error about a site that is not writable.
fn about_writing(error: anyhow::Error) -> anyhow::Error {
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    match kind {
        Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => error.context(Hint(
            "this changes the site, so it must be writable; `list`, `verify`, `serve`, `get`, `export` and `diff` only read it"
                .into(),
        )),
        _ => error,
    }
}

fn clean_staging(path: PathBuf, link: bool) -> anyhow::Result<Staging> {
    fsx::remove_tree(&path)?;
    fsx::create_dirs(&path)?;
    Ok(Staging::folder(path, link))
}
