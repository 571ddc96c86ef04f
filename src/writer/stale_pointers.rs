//! Deletes tags, lists and other names that the plan no longer has.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::error::escaped;
use crate::fsx;
use crate::pages;
use crate::plan::Part;
use crate::plan::pointers::Pointers;
use crate::plan::tree::{File, Stage, Tree};
use crate::site_files::FOLDERS;
use crate::spec::name::Repository;
use crate::writer::Site;
use crate::writer::unreferenced::{self, Unreferenced};
use crate::writer::write::Writer;

impl Writer<'_> {
    /// Deletes the names that repositories no longer have: tags that are gone, and typed names with an old media
    /// type. What lists them must be durable; lists that go are durable before what they list goes. Returns whether
    /// there was anything.
    pub(super) fn sweep(
        &self,
        repositories: &BTreeSet<&Repository>,
        dropped: &BTreeSet<&Repository>,
    ) -> anyhow::Result<bool> {
        let gone: Vec<BTreeMap<String, Stage>> = repositories
            .par_iter()
            .map(|repository| self.gone(repository))
            .collect::<anyhow::Result<_>>()?;
        let (lists, names): (Vec<_>, Vec<_>) = gone
            .into_iter()
            .flatten()
            .partition(|(_, stage)| *stage > Stage::Pointer);
        for (path, _) in &lists {
            self.drop(path)?;
        }
        if !lists.is_empty() {
            self.site.disk.sync_all()?;
        }
        names.par_iter().try_for_each(|(path, _)| self.drop(path))?;
        for repository in dropped {
            let names = Pointers::of(repository);
            for folder in names.folders.union(&names.manifests) {
                let folder = self.site.files.path(folder);
                self.site.disk.remove_empty(&folder)?;
            }
        }
        Ok(!(lists.is_empty() && names.is_empty()))
    }

    fn gone(&self, repository: &Repository) -> anyhow::Result<BTreeMap<String, Stage>> {
        let mut planned = Tree::default();
        if self.plan.images.repositories.contains_key(repository) {
            planned = self.plan.tree(Part::Repository(repository))?;
            self.sweep_lines(&planned)?;
        }
        let names = Pointers::of(repository);
        let mut gone: BTreeMap<String, Stage> = BTreeMap::new();
        for folder in &names.folders {
            let has_manifests = names.manifests.contains(folder);
            let mut found = fsx::names(&self.site.files.path(folder))?;
            found.retain(|name| !(has_manifests && name.starts_with("sha256:")));
            // The folders of other repositories lie beside pages.
            found.retain(|name| !folder.starts_with("_pages/") || pages::is_image(name));
            gone.extend(
                found
                    .iter()
                    .map(|name| (format!("{folder}/{name}"), Stage::Pointer)),
            );
        }
        for (path, stage) in names.lists {
            if fsx::meta(&self.site.files.path(&path))?.is_some_and(|meta| meta.is_file) {
                gone.insert(path, stage);
            }
        }
        gone.retain(|path, _| !planned.has(path));
        Ok(gone)
    }

    fn drop(&self, path: &str) -> anyhow::Result<()> {
        self.counts.deleted(path);
        self.progress.step(|| format!("deleted {}", escaped(path)));
        self.site.disk.remove_name(&self.site.files.path(path))
    }

    /// Deletes names that the plan of the whole site does not have.
    pub(super) fn remove_names(&self) -> anyhow::Result<()> {
        let found = unreferenced::find(&self.site.files, self.plan)?;
        let names: Vec<_> = found.iter().filter(|file| file.kind.is_name()).collect();
        for file in &names {
            self.counts.deleted(&file.path);
        }
        self.site.delete(&names)?;
        self.site.set_own()
    }

    /// Drops the lines about tags that are gone.
    fn sweep_lines(&self, planned: &Tree) -> anyhow::Result<()> {
        for (relative, _, file) in planned.files() {
            if let File::TagLines { new, .. } = file {
                let path = self.site.files.path(relative);
                if let Some(staged) = self.bytes(&path, new)? {
                    self.site.disk.sync(&staged)?;
                    self.site.disk.rename(&staged, &path)?;
                }
            }
        }
        Ok(())
    }
}

impl Site {
    /// Deletes files that [`unreferenced::find`] found, in its order, and the folders that are then empty.
    /// The deletion of each kind is durable before the next kind is deleted.
    pub(crate) fn delete(&self, found: &[&Unreferenced]) -> anyhow::Result<()> {
        let kind = |file: &Unreferenced| std::mem::discriminant(&file.kind);
        for same in found.chunk_by(|a, b| kind(a) == kind(b)) {
            for file in same {
                self.disk.remove(&self.files.path(&file.path))?;
            }
            self.disk.sync_all()?;
        }
        // An interrupted run may have left empty folders too.
        for folder in FOLDERS {
            self.disk.remove_empty_below(&self.files.path(folder))?;
        }
        Ok(())
    }
}
