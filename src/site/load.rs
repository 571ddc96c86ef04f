//! Loads images from a site: what the catalogue lists, with the content that the site holds. What it has lost is in
//! [`Images::damage`].

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{invalid_input, is_bad};
use crate::images::damage::{KeptV1, Lost, is_lost, lost_manifest};
use crate::images::{Images, V1Form};
use crate::import::ingest::Stored;
use crate::layer::Compression;
use crate::site_files::catalogue::{Catalogue, Entry, Repo};
use crate::site_files::places::{Places, read_manifest};
use crate::site_files::{MAX_CHAIN, SiteFiles, blob_path};
use crate::spec::digest::Digest;
use crate::spec::manifest::{Blob, MAX_JSON, Manifest};
use crate::spec::media_type::LayerKind;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

/// Loads all repositories of a site, as [`load`] does.
pub(crate) fn all(files: &SiteFiles, catalogue: &Catalogue) -> Images {
    load(files, catalogue, catalogue.repositories.keys(), None)
}

/// Loads some repositories. The digests of manifests and of the configs of images are checked. Other blobs must have the
/// length in their descriptor: `verify` checks their digests. Content in `fresh`, which was just imported, need not be
/// in the site. Content that has lost its name below `blobs/` is found under that in a repository.
pub(crate) fn load<'a>(
    files: &SiteFiles,
    catalogue: &Catalogue,
    repositories: impl Iterator<Item = &'a Repository>,
    fresh: Option<&Images>,
) -> Images {
    let mut images = Images::default();
    let mut loading = Loading {
        files,
        fresh,
        images: &mut images,
        configs: BTreeSet::new(),
    };
    for repository in repositories {
        if let Some(repo) = catalogue.repositories.get(repository) {
            loading.repository(repository, repo, catalogue.apis.v1);
        }
    }
    images
}

struct Loading<'a> {
    files: &'a SiteFiles,
    fresh: Option<&'a Images>,
    images: &'a mut Images,
    /// The configs of images whose digests were checked.
    configs: BTreeSet<Digest>,
}

impl Loading<'_> {
    fn repository(&mut self, repository: &Repository, repo: &Repo, v1: bool) {
        let places = Places::new(self.files, repository, repo);
        for (digest, entry) in &repo.manifests {
            self.manifest(&places, *digest, entry);
            for digest in entry.others() {
                let blob = Blob {
                    digest: *digest,
                    size: None,
                    kind: Some(LayerKind::Other),
                };
                self.blob(&places, &blob, false);
            }
            if let Some(top) = entry.v1.filter(|_| v1)
                // A chain in `fresh` is complete.
                && self.fresh.is_none_or(|fresh| !fresh.v1.contains_key(&top))
            {
                self.chain(top, false);
            }
        }
        let loaded = &mut self.images.repositories;
        loaded.insert(repository.clone(), repo.clone());
        for (tag, digest) in repo.tags.iter().filter(|_| v1) {
            if repo.manifests[digest].v1.is_none() && self.images.hides_v1(digest) {
                let ids = places.names.iter().filter_map(|name| {
                    let id = self.files.v1_tag(name, tag);
                    id.ok().flatten()
                });
                if let Some(top) = ids.into_iter().next() {
                    self.images.damage.tops.insert(*digest, top);
                    self.chain(top, true);
                }
            }
        }
    }

    fn lose(&mut self, digest: &Digest, error: Option<&anyhow::Error>) {
        let lost = Lost::new(blob_path(digest), error);
        self.images.damage.content.insert(*digest, lost);
    }

    fn manifest(&mut self, places: &Places<'_>, digest: Digest, entry: &Entry) {
        let known = self.images.manifests.get(&digest);
        let known = known.filter(|_| !self.images.damage.has(&digest));
        let known = known.or_else(|| self.fresh?.manifests.get(&digest));
        let manifest = match known {
            Some(known) => {
                let known = known.clone();
                self.images.damage.content.remove(&digest);
                known
            }
            None => Arc::new(
                match places.find(&digest, |content| read_manifest(content, &digest, entry)) {
                    Ok(Some(manifest)) => {
                        self.images.damage.content.remove(&digest);
                        manifest
                    }
                    other => {
                        self.lose(&digest, other.as_ref().err());
                        lost_manifest(digest, entry)
                    }
                },
            ),
        };
        let is_image = manifest.is_image();
        for blob in manifest.blobs() {
            self.blob(places, &blob, is_image);
        }
        self.images.manifests.insert(digest, manifest);
    }

    fn blob(&mut self, places: &Places<'_>, blob: &Blob, is_image: bool) {
        let digest = blob.digest;
        if let Some(stored) = self.fresh.and_then(|fresh| fresh.blobs.get(&digest)) {
            self.images.blobs.insert(digest, stored.clone());
            return;
        }
        let is_config = is_image && blob.kind.is_none();
        // As the blob of an artifact, a config was checked by its length alone.
        let is_checked = !is_config || self.configs.contains(&digest);
        let is_known = self.images.blobs.contains_key(&digest) && is_checked;
        if is_known && !self.images.damage.has(&digest) {
            return;
        }
        let check = |content: &Content| {
            check_blob(blob, is_config, content)?;
            Ok((content.clone(), Compression::of(content)?))
        };
        let (content, compression) = match places.find(&digest, check) {
            Ok(Some(found)) => {
                self.found(&digest, &found.0);
                if is_config {
                    self.configs.insert(digest);
                }
                found
            }
            other => {
                self.lose(&digest, other.as_ref().err());
                let path = self.files.path(&blob_path(&digest));
                let content = Content::file_of_len(path, blob.size.unwrap_or_default());
                (content, Compression::Gzip)
            }
        };
        let stored = Stored {
            digest,
            size: content.len(),
            tar: None,
            outline: None,
            compression,
            compressed_here: false,
            content,
        };
        self.images.blobs.insert(digest, stored);
    }

    /// Content is not lost: a manifest neither, if it is the blob of another.
    fn found(&mut self, digest: &Digest, content: &Content) {
        if let Some(manifest) = self.images.manifests.get_mut(digest)
            && is_lost(manifest)
        {
            let found = content
                .read(MAX_JSON)
                .and_then(|bytes| Manifest::parse(bytes, None));
            match found {
                Ok(found) if found.digest == *digest => *manifest = Arc::new(found),
                _ => return,
            }
        }
        self.images.damage.content.remove(digest);
    }

    fn keep_v1(&mut self, id: V1Id, parent: Option<V1Id>, needs_checksum: bool) {
        let kept = KeptV1 {
            parent,
            needs_checksum,
        };
        let known = self.images.damage.kept_v1.entry(id).or_insert(kept);
        known.needs_checksum |= needs_checksum;
        known.parent = known.parent.or(parent);
    }

    /// Loads the images of a chain that came with a source: those with a checksum. `is_kept` is for the chain of a
    /// manifest from which it cannot be derived any more: it stays as it is.
    fn chain(&mut self, top: V1Id, is_kept: bool) {
        let mut seen = BTreeSet::new();
        let (mut next, mut bottom) = (Some(top), top);
        while let Some(id) = next.filter(|id| seen.insert(*id) && seen.len() <= MAX_CHAIN) {
            let image = self.files.v1_image(id);
            let checksum = self.files.v1_checksum(id);
            bottom = id;
            match (image, checksum) {
                (Ok(Some(image)), Ok(Some(_))) => {
                    next = image.parent;
                    let form = V1Form {
                        json: image.json,
                        parent: image.parent,
                        layer: None,
                        checksum: None,
                    };
                    self.images.v1.insert(id, form);
                }
                (Ok(Some(image)), Ok(None)) => {
                    next = image.parent;
                    self.keep_v1(id, next, !is_kept);
                }
                (image, checksum) => {
                    let path = match &image {
                        Ok(Some(_)) => format!("v1/images/{id}/checksum"),
                        _ => self.files.v1_lost(id),
                    };
                    let error = image.err().or(checksum.err());
                    let lost = Lost::new(path, error.as_ref());
                    next = self.files.v1_below(id, top);
                    if !is_kept {
                        let chains = &mut self.images.damage.chains;
                        chains.entry(top).or_insert(lost);
                    }
                    self.keep_v1(id, next, false);
                }
            }
        }
        if next.is_some() {
            let error = invalid_input("its parents form a cycle");
            let lost = Lost::new(format!("v1/images/{bottom}/json"), Some(&error));
            self.images.damage.chains.entry(top).or_insert(lost);
            self.images.v1.remove(&bottom);
            self.images.damage.kept_v1.remove(&bottom);
            self.keep_v1(bottom, None, false);
        }
    }
}

impl Lost {
    /// Without an error the file is missing.
    fn new(path: String, error: Option<&anyhow::Error>) -> Self {
        Self {
            path,
            is_missing: error.is_none(),
            is_unreadable: error.is_some_and(|error| !is_bad(error)),
            reason: error.map_or("it is missing".into(), |error| format!("{error:#}")),
        }
    }
}

/// Compares a blob with its descriptor: by length; a config also by digest.
fn check_blob(blob: &Blob, is_config: bool, content: &Content) -> anyhow::Result<()> {
    if let Some(size) = blob.size.filter(|size| *size != content.len()) {
        return Err(invalid_input(format!(
            "it has {} bytes, not {size}",
            content.len()
        )));
    }
    if is_config {
        let actual = Digest::of(&content.read(MAX_JSON)?);
        if actual != blob.digest {
            bail_invalid!("it has the digest {actual}, not {}", blob.digest);
        }
    }
    Ok(())
}
