//! Counts what a run changes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::writer::unreferenced::Paths;

/// What a run changed, or a dry run would change.
#[derive(Debug, Default, Serialize)]
pub struct FileChanges {
    /// The number of files written.
    pub files: u64,
    /// The bytes of the files written, without links.
    pub bytes: u64,
    /// The number of hard links made to content of the site.
    pub links: u64,
    /// The number of stale tags and lists deleted.
    pub deleted: u64,
}

impl FileChanges {
    pub fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.links += other.links;
        self.deleted += other.deleted;
    }

    pub fn is_nothing(&self) -> bool {
        self.files + self.links + self.deleted == 0
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
    links: AtomicU64,
    /// Paths, not a number: in a dry run nothing is deleted, so a file may be found twice.
    deleted: Mutex<Paths>,
}

impl Counts {
    pub(super) fn file(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn link(&self) {
        self.links.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn deleted(&self, path: &str) {
        if let Ok(mut deleted) = self.deleted.lock() {
            deleted.add(path);
        }
    }

    pub(super) fn into_changes(self) -> FileChanges {
        let deleted = self.deleted.into_inner().unwrap_or_default();
        FileChanges {
            files: self.files.into_inner(),
            bytes: self.bytes.into_inner(),
            links: self.links.into_inner(),
            deleted: deleted.len() as u64,
        }
    }
}
