//! Loads images from a site: what the catalogue lists, with the content that the site holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;

use crate::bail_invalid;
use crate::error::invalid_input;
use crate::images::{Images, V1Form};
use crate::import::ingest::Stored;
use crate::layer::Compression;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::site_files::{SiteFiles, blob_path};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

/// Loads some repositories. The digests of manifests are checked. Other blobs must only exist: `verify`
/// checks their digests. Content in `fresh`, which was just imported, need not be in the site.
///
/// # Errors
/// The first error that `damaged` returns.
pub(crate) fn load<'a>(
    files: &SiteFiles,
    catalogue: &Catalogue,
    repositories: impl Iterator<Item = &'a Repository>,
    fresh: Option<&Images>,
    damaged: &mut Damaged<'_>,
) -> anyhow::Result<Images> {
    let mut images = Images::default();
    let mut loading = Loading {
        files,
        fresh,
        images: &mut images,
    };
    for repository in repositories {
        if let Some(repo) = catalogue.repositories.get(repository) {
            loading.repository(repository, repo, catalogue.apis.v1, damaged)?;
        }
    }
    Ok(images)
}

/// Called for each manifest or v1 image that cannot be loaded, with its path in the site and the reason;
/// decides whether to go on without it.
pub(crate) type Damaged<'a> = dyn FnMut(String, anyhow::Error) -> anyhow::Result<()> + 'a;

struct Loading<'a> {
    files: &'a SiteFiles,
    fresh: Option<&'a Images>,
    images: &'a mut Images,
}

impl Loading<'_> {
    fn repository(
        &mut self,
        repository: &Repository,
        repo: &Repo,
        v1: bool,
        damaged: &mut Damaged<'_>,
    ) -> anyhow::Result<()> {
        for (digest, entry) in &repo.manifests {
            let loaded = self.manifest(digest, &entry.media_type);
            match loaded.with_context(|| format!("`{repository}@{digest}` is damaged")) {
                Ok(manifest) => self.images.add_manifest(repository, manifest, entry.v1),
                Err(error) => {
                    damaged(self.culprit(digest), error)?;
                    continue;
                }
            }
            if let Some(top) = entry.v1.filter(|_| v1)
                && let Err(error) = self.chain(top)
            {
                // A chain in `fresh` is complete.
                if self.fresh.is_none_or(|fresh| !fresh.v1.contains_key(&top)) {
                    damaged(format!("v1/images/{}", self.files.v1_broken(top)), error)?;
                }
            }
        }
        let loaded = self
            .images
            .repositories
            .entry(repository.clone())
            .or_default();
        let present = |digest: &Digest| loaded.manifests.contains_key(digest);
        let tags: BTreeMap<_, _> = repo
            .tags
            .iter()
            .filter(|(_, digest)| present(digest))
            .map(|(tag, digest)| (tag.clone(), *digest))
            .collect();
        loaded.tags = tags;
        Ok(())
    }

    /// The path to blame for a damaged manifest: its first missing blob, otherwise the manifest itself.
    fn culprit(&self, digest: &Digest) -> String {
        let has = |digest: &Digest| self.files.blob(digest).ok().flatten();
        let bytes = has(digest).and_then(|content| content.read(MAX_JSON).ok());
        let manifest = bytes
            .and_then(|bytes| Manifest::parse(bytes, None).ok())
            .filter(|manifest| manifest.digest == *digest);
        let blobs = manifest.iter().flat_map(Manifest::blobs);
        let missing = blobs
            .map(|blob| blob.digest)
            .find(|digest| has(digest).is_none());
        blob_path(&missing.unwrap_or(*digest))
    }

    fn manifest(&mut self, digest: &Digest, media_type: &str) -> anyhow::Result<Arc<Manifest>> {
        if let Some(manifest) = self.images.manifests.get(digest) {
            return Ok(manifest.clone());
        }
        if let Some(manifest) = self.fresh.and_then(|fresh| fresh.manifests.get(digest)) {
            for blob in manifest.blobs() {
                self.blob(&blob.digest)?;
            }
            return Ok(manifest.clone());
        }
        let content = self
            .files
            .blob(digest)?
            .ok_or_else(|| invalid_input(format!("the manifest {digest} is missing")))?;
        let manifest = Manifest::parse(content.read(MAX_JSON)?, Some(media_type))?;
        if manifest.digest != *digest {
            bail_invalid!("{} has the digest {}", content.origin(), manifest.digest);
        }
        for blob in manifest.blobs() {
            self.blob(&blob.digest)?;
        }
        Ok(Arc::new(manifest))
    }

    fn blob(&mut self, digest: &Digest) -> anyhow::Result<()> {
        if let Some(stored) = self.fresh.and_then(|fresh| fresh.blobs.get(digest)) {
            self.images.blobs.insert(*digest, stored.clone());
        } else if !self.images.blobs.contains_key(digest) {
            let content = self
                .files
                .blob(digest)?
                .ok_or_else(|| invalid_input(format!("the blob {digest} is missing")))?;
            let compression = Compression::of(&content)?;
            let stored = Stored {
                digest: *digest,
                size: content.len(),
                tar: None,
                compression,
                compressed_here: false,
                content,
            };
            self.images.blobs.insert(*digest, stored);
        }
        Ok(())
    }

    /// Loads the images of a chain that came with a source: those with a checksum.
    fn chain(&mut self, top: V1Id) -> anyhow::Result<()> {
        for (id, image) in self.files.v1_chain(top)? {
            if self.files.v1_checksum(id)?.is_some() {
                let form = V1Form {
                    json: image.json,
                    parent: image.parent,
                    layer: None,
                };
                self.images.v1.insert(id, form);
            }
        }
        Ok(())
    }
}
