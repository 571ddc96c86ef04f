//! A site of Stillage as a source: the OCI layout at its root, its names, and the v1 forms that
//! came with its images. See [`crate::catalogue`] and [`crate::site`].

use anyhow::Context as _;

use crate::bail_bad;
use crate::catalogue::{Catalogue, Repo};
use crate::draft::{Draft, Root, Rules, StoredV1, naming};
use crate::error::bad;
use crate::ingest::Work;
use crate::layer;
use crate::site_files::{SiteFiles, V1File};
use crate::source::{Format, Opened, oci};
use crate::spec::descriptor::Descriptor;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Repository;
use crate::spec::v1::{self, V1Id};

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
            loading.add(repository, repo)?;
        }
        if let Some(name) = selected {
            naming::select_one(&mut loading.draft, name, rules)?;
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
    fn add(&mut self, repository: &Repository, repo: &Repo) -> anyhow::Result<()> {
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
                self.check_known(id, &image)?;
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

    /// Whether a config of the site, or the place in the chain alone, gives the JSON.
    fn is_derived(&self, id: V1Id, image: &V1File) -> anyhow::Result<bool> {
        if *image.json == *v1::dependency_json(id, image.parent) {
            return Ok(true);
        }
        let Some(config) = self.files.blob(&id.digest())? else {
            return Ok(false);
        };
        let config = config.read(MAX_JSON)?;
        Ok(v1::top_json(&config, id, image.parent).is_ok_and(|json| json == *image.json))
    }

    /// What nothing vouches for must be derived, and its layer a blob of the site: it may be a link to
    /// anything.
    fn check_known(&self, id: V1Id, image: &V1File) -> anyhow::Result<()> {
        if self.files.v1_checksum(id)?.is_none() {
            if !self.is_derived(id, image)? {
                bail_bad!(
                    "the v1 image {id} of {} has no checksum, and its JSON cannot be derived",
                    self.draft.origin
                );
            }
            let digest = layer::keep(&image.layer, &mut std::io::sink(), false)?.digest;
            if self.files.blob(&digest)?.is_none() {
                bail_bad!(
                    "the v1 image {id} of {} has no checksum, and its layer is no blob",
                    self.draft.origin
                );
            }
        }
        Ok(())
    }
}
