//! Taking away what a site no longer says, once nothing lists it any more.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use crate::fsx;
use crate::plan::tree::{File, Tree};
use crate::plan::turn::Turn;
use crate::plan::{Part, htaccess};
use crate::spec::name::Repository;
use crate::writer::write::Writer;

/// The longest file of rules that is read, in bytes.
const MAX_RULES: u64 = 64 << 20;

impl Writer<'_> {
    /// Removes the pointers that a repository no longer has: of tags that are gone, and second names
    /// under an old type.
    pub(super) fn sweep(&self, repository: &Repository, is_dropped: bool) -> anyhow::Result<()> {
        let mut planned = Tree::default();
        if self.plan.images.repositories.contains_key(repository) {
            planned = self.plan.tree(Part::Repository(repository))?;
            self.sweep_rules(&planned)?;
        }
        let (folders, files) = self.plan.pointers(repository);
        let mut gone = Vec::new();
        for folder in folders {
            let names = fsx::names(&self.site.files.path(&folder))?;
            let is_pointer =
                |name: &String| !name.starts_with("sha256:") || folder.ends_with("/referrers");
            let names = names.into_iter().filter(is_pointer);
            gone.extend(names.map(|name| format!("{folder}/{name}")));
        }
        for file in files {
            if fsx::meta(&self.site.files.path(&file))?.is_some_and(|meta| meta.is_file) {
                gone.push(file);
            }
        }
        gone.retain(|path| !planned.has(path));
        gone.sort_by_key(|path| Reverse(Turn::of(path.as_ref())));
        gone.iter().try_for_each(|path| self.drop(path))?;
        if is_dropped && !self.site.is_dry() {
            for folder in self.plan.folders(repository) {
                self.site.files.remove_empty(&folder)?;
            }
        }
        Ok(())
    }

    fn drop(&self, path: &str) -> anyhow::Result<()> {
        self.counts.deleted.fetch_add(1, Ordering::Relaxed);
        if self.site.is_dry() {
            Ok(())
        } else {
            fsx::remove(&self.site.files.path(path))
        }
    }

    /// What Apache's rules for tags are until the lists of tags are new: those of tags that go stay.
    pub(super) fn rules_with_old(&self, path: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let there = fsx::read(&self.site.files.path(path), MAX_RULES)?;
        Ok(htaccess::with_old(bytes, &there.unwrap_or_default()))
    }

    /// Drops Apache's rules for tags that are gone.
    fn sweep_rules(&self, planned: &Tree) -> anyhow::Result<()> {
        for (relative, _, file) in planned.files() {
            if let File::Bytes(bytes) = file
                && htaccess::is_of_tags(relative)
            {
                let path = self.site.files.path(relative);
                if let Some(temporary) = self.bytes(&path, bytes)?
                    && !self.site.is_dry()
                {
                    fsx::rename(&temporary, &path)?;
                }
            }
        }
        Ok(())
    }
}
