//! Collects what a run has written but not made durable yet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::writer::disk::Disk;

/// The number of files and folders up to which each is synced by itself. For more, one `syncfs` is faster,
/// although it also waits for what other programs have written to the file system.
const FEW: usize = 128;

/// Files and folders that may not be on disk yet.
pub(super) struct FsyncBatch<'a> {
    disk: &'a Disk,
    paths: BTreeSet<PathBuf>,
}

impl<'a> FsyncBatch<'a> {
    pub(super) fn new(disk: &'a Disk) -> Self {
        let paths = BTreeSet::new();
        Self { disk, paths }
    }

    /// Adds a file whose content was written.
    pub(super) fn file(&mut self, path: &Path) {
        // One more than `FEW` is enough to know that there are many.
        if self.paths.len() <= FEW {
            self.paths.insert(path.to_owned());
        }
    }

    /// Adds a file that was written under its final name.
    pub(super) fn named(&mut self, path: &Path) {
        self.file(path);
        self.name(path);
    }

    /// Adds the folders above a file that got or lost its name: they may be new too.
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

    /// Makes everything added durable, and empties the batch.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        let paths = std::mem::take(&mut self.paths);
        if paths.len() > FEW {
            return self.disk.sync_all();
        }
        paths.par_iter().try_for_each(|path| self.disk.sync(path))
    }
}
