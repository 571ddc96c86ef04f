//! What a run has written and not made durable yet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::writer::disk::Disk;

/// Up to so many files and folders are made durable one by one. More cost less by one call for the whole file
/// system, which waits for what other programs have written there as well: for an archive that was saved just
/// now, say.
const FEW: usize = 128;

/// Files and folders that may be in memory only.
pub(super) struct FsyncBatch<'a> {
    disk: &'a Disk,
    paths: BTreeSet<PathBuf>,
}

impl<'a> FsyncBatch<'a> {
    /// Nothing yet.
    pub(super) fn new(disk: &'a Disk) -> Self {
        let paths = BTreeSet::new();
        Self { disk, paths }
    }

    /// A file was written.
    pub(super) fn file(&mut self, path: &Path) {
        // One more than a few says that they are many.
        if self.paths.len() <= FEW {
            self.paths.insert(path.to_owned());
        }
    }

    /// A file was written under its name.
    pub(super) fn named(&mut self, path: &Path) {
        self.file(path);
        self.name(path);
    }

    /// A file got or lost its name, and the folders that lead there may be new.
    pub(super) fn name(&mut self, path: &Path) {
        if self.paths.len() > FEW {
            return;
        }
        let root = self.disk.root();
        let folders = path.ancestors().skip(1);
        for folder in folders.take_while(|folder| folder.starts_with(root)) {
            self.file(folder);
        }
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    /// When the system cannot.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        let paths = std::mem::take(&mut self.paths);
        if paths.len() > FEW {
            return self.disk.sync_all();
        }
        paths.par_iter().try_for_each(|path| self.disk.sync(path))
    }
}
