//! A site of Stillage as a source: the OCI layout at its root, its names, and the v1 forms that
//! came with its images. See [`crate::catalogue`] and [`crate::site`].

use anyhow::Context as _;

use crate::catalogue::{Catalogue, Repo};
use crate::draft::{Draft, Root, Rules, StoredV1};
use crate::error::bad;
use crate::ingest::Work;
use crate::site_files::SiteFiles;
use crate::source::{Format, Opened, oci};
use crate::spec::descriptor::Descriptor;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

/// A site.
#[derive(Debug)]
pub struct Site;

impl Format for Site {
    fn prefix(&self) -> &'static str {
        "site"
    }

    fn about(&self) -> &'static str {
        "a site that stillage built"
    }

    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        let Some(folder) = opened.folder() else {
            return Ok(false);
        };
        Ok(SiteFiles::new(folder)
            .index()?
            .is_some_and(|bytes| Catalogue::is_one(&bytes)))
    }

    fn load(
        &self,
        opened: &Opened,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<Vec<Draft>> {
        let folder = opened.folder().context("it is no folder")?;
        let files = SiteFiles::new(folder);
        let catalogue = Catalogue::parse(
            &files
                .index()?
                .ok_or_else(|| bad("`index.json` is missing"))?,
        )?;
        let mut loading = Loading {
            files: &files,
            rules,
            draft: Draft::new(files.origin()),
        };
        for (repository, repo) in &catalogue.repositories {
            loading.add(repository, repo, selected)?;
        }
        Ok(vec![loading.draft])
    }
}

struct Loading<'a> {
    files: &'a SiteFiles,
    rules: &'a Rules,
    draft: Draft,
}

impl Loading<'_> {
    fn add(
        &mut self,
        repository: &Repository,
        repo: &Repo,
        selected: Option<&str>,
    ) -> anyhow::Result<()> {
        let tagged = repo.tags.iter().map(|(tag, digest)| (Some(tag), digest));
        let untagged = repo
            .manifests
            .keys()
            .filter(|digest| !repo.tags.values().any(|tagged| tagged == *digest));
        for (tag, digest) in tagged.chain(untagged.map(|digest| (None, digest))) {
            let called = tag.map_or_else(
                || format!("{repository}@{digest}"),
                |tag| format!("{repository}:{tag}"),
            );
            if selected.is_some_and(|name| name != called) {
                continue;
            }
            let entry = &repo.manifests[digest];
            let descriptor = Descriptor {
                media_type: entry.media_type.clone(),
                digest: *digest,
                size: entry.size,
                artifact_type: None,
                annotations: None,
                platform: None,
            };
            let manifest = self.draft.add_manifest(
                &oci::Folder(self.files.root()),
                &descriptor,
                self.rules,
            )?;
            let manifest = manifest.ok_or_else(|| {
                bad(format!(
                    "the manifest {digest} is missing in {}",
                    self.draft.origin
                ))
            })?;
            let v1 = entry.v1.filter(|_| self.rules.v1);
            self.draft.roots.push(Root {
                repository: Some(repository.clone()),
                tag: tag.cloned(),
                manifest,
                v1,
                called: format!("`{called}`"),
            });
            v1.map_or(Ok(()), |top| self.add_chain(top))?;
        }
        Ok(())
    }

    fn add_chain(&mut self, top: V1Id) -> anyhow::Result<()> {
        for (id, image) in self.files.v1_chain(top)? {
            if !self.draft.v1.contains_key(&id) {
                let layer = self
                    .draft
                    .add_job(image.layer, Work::Keep { diff_id: false });
                self.draft.v1.insert(
                    id,
                    StoredV1 {
                        json: image.json,
                        parent: image.parent,
                        layer,
                    },
                );
            }
        }
        Ok(())
    }
}
