//! The images of all sources, with their content imported: repositories, tags, manifests, blobs and v1
//! forms. Two sources must not give one tag to different manifests.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::Content;
use crate::images::conflicts::{Conflicts, Given};
use crate::images::damage::Damage;
use crate::images::v1_clashes::Clash;
use crate::import::draft::{Draft, JobId, ManifestId, RootManifest};
use crate::import::ingest::Stored;
use crate::layer::{Compression, Tar};
use crate::note::Note;
use crate::site_files::catalogue::{Entry, Repo};
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest, ManifestKind};
use crate::spec::media_type::DOCKER_SCHEMA1;
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::v1::{self, V1Id};

mod conflicts;
pub mod damage;
mod finish;
pub mod measure;
mod overlay;
mod related;
pub(crate) mod v1_choice;
pub mod v1_claims;
mod v1_clashes;
mod v1_files;
pub mod v1_images;

/// The imported content of a draft, by job.
pub type Imported = BTreeMap<JobId, Stored>;
/// The manifests of a draft as the site serves them.
type Finished = BTreeMap<ManifestId, Arc<Manifest>>;

/// Images ready to be planned.
#[derive(Debug, Default)]
pub struct Images {
    pub repositories: BTreeMap<Repository, Repo>,
    pub manifests: BTreeMap<Digest, Arc<Manifest>>,
    /// The blobs, and v1 layers that no manifest lists, by [`Stored::digest`].
    pub blobs: BTreeMap<Digest, Stored>,
    /// v1 images whose JSON and layer came with a source.
    pub v1: BTreeMap<V1Id, V1Form>,
    /// v1 ids for which sources have different content.
    v1_clashes: BTreeMap<V1Id, Clash>,
    /// What the site that they were loaded from has lost.
    pub damage: Damage,
    /// What the user should know about the images.
    pub notes: BTreeSet<Note>,
    conflicts: Conflicts,
    /// What sources list as the site has it, each with its source.
    listed: Vec<(Reference, Arc<str>)>,
}

/// The form in which a v1 image came with a source.
#[derive(Clone, Debug)]
pub struct V1Form {
    /// Kept byte for byte.
    pub json: Arc<[u8]>,
    pub parent: Option<V1Id>,
    /// `None` for an image that was loaded from the site, whose layer stays where it is.
    pub layer: Option<Digest>,
    /// The checksum that its source gave, and that was compared.
    pub checksum: Option<Digest>,
}

impl Images {
    /// Adds the images of a draft, given its content. With `diff_ids` every layer is checked against its
    /// config.
    ///
    /// # Errors
    /// When a config does not match its layers. See also [`Self::check_conflicts`].
    pub fn add(
        &mut self,
        draft: &Draft,
        imported: &Imported,
        diff_ids: bool,
    ) -> anyhow::Result<()> {
        let mut finished = Finished::new();
        let members: BTreeSet<ManifestId> = draft
            .roots
            .iter()
            .flat_map(|root| draft.members(root))
            .collect();
        // Children come before their index.
        for id in members {
            let manifest = self.finish(draft, id, &finished, imported, diff_ids);
            finished.insert(
                id,
                manifest.with_context(|| format!("in {}", draft.origin))?,
            );
        }
        for (id, form) in &draft.v1 {
            if let Some(layer) = imported.get(&form.layer) {
                self.add_blob(layer.clone());
                self.add_v1(
                    *id,
                    V1Form {
                        json: form.json.clone(),
                        parent: form.parent,
                        layer: Some(layer.digest),
                        checksum: draft.checksum(*id),
                    },
                );
            }
        }
        for root in &draft.roots {
            self.add_root(draft, root, &finished, imported)?;
        }
        let listed = draft.listed.iter();
        self.listed
            .extend(listed.map(|reference| (reference.clone(), draft.origin.clone())));
        self.notes.extend(draft.notes.iter().cloned());
        Ok(())
    }

    /// For each repository with tags from sources, one of these sources: that of the last tag in order.
    pub fn origins(&self) -> BTreeMap<Repository, Arc<str>> {
        self.conflicts.origins()
    }

    /// Adds content, and keeps what earlier sources found out about the same blob.
    pub fn add_blob(&mut self, mut stored: Stored) {
        if let Some(known) = self.blobs.get(&stored.digest) {
            stored.tar = stored.tar.or(known.tar);
            stored.outline = stored.outline.or_else(|| known.outline.clone());
            stored.compressed_here |= known.compressed_here;
        }
        self.blobs.insert(stored.digest, stored);
    }

    fn add_v1(&mut self, id: V1Id, form: V1Form) {
        fn content(form: &V1Form) -> (&[u8], Option<V1Id>, Option<Digest>) {
            (&form.json, form.parent, form.layer)
        }
        let other = self.v1.entry(id).or_insert_with(|| form.clone());
        if content(other) == content(&form) {
            other.checksum = other.checksum.or(form.checksum);
        } else {
            self.v1_clashes.insert(id, Clash::OneOfSources);
            if content(&form) < content(other) {
                *other = form;
            }
        }
    }

    fn add_root(
        &mut self,
        draft: &Draft,
        root: &RootManifest,
        finished: &Finished,
        imported: &Imported,
    ) -> anyhow::Result<()> {
        let repository = root
            .repository
            .clone()
            .with_context(|| format!("{} has no name", root.called))?;
        if let Some(tag) = &root.tag {
            self.add_tag(
                &repository,
                tag,
                finished[&root.manifest].digest,
                &Given::by(&draft.origin, &root.called),
            );
        }
        for id in draft.members(root) {
            // v1 serves tags alone.
            let has_v1 = root.tag.is_some() || draft.is_export;
            let v1 = root.v1.filter(|_| id == root.manifest && has_v1);
            let digest = finished[&id].digest;
            self.add_manifest(&repository, finished[&id].clone(), v1);
            for (layer, job) in draft.manifests[id].foreign() {
                self.add_blob(imported[job].clone());
                let repo = self.repositories.get_mut(&repository);
                let entry = repo.and_then(|repo| repo.manifests.get_mut(&digest));
                entry.map(|entry| entry.foreign.insert(*layer));
            }
        }
        for (signed, job) in &root.signatures {
            let stored = &imported[job];
            self.add_blob(stored.clone());
            let repo = self.repositories.get_mut(&repository);
            // Not of a manifest that is made anew.
            if let Some(entry) = repo.and_then(|repo| repo.manifests.get_mut(signed)) {
                entry.add_signatures([stored.digest]);
                if !draft.is_export {
                    entry.signatures.sort();
                }
            }
        }
        Ok(())
    }

    fn add_tag(&mut self, repository: &Repository, tag: &Tag, digest: Digest, given: &Given) {
        let repo = self.repositories.entry(repository.clone()).or_default();
        let known = *repo.tags.entry(tag.clone()).or_insert(digest);
        self.conflicts.add(repository, tag, digest, known, given);
    }

    /// Fails if sources give a tag to different manifests.
    pub fn check_conflicts(&mut self) -> anyhow::Result<()> {
        for (reference, origin) in std::mem::take(&mut self.listed) {
            let is_tag = reference.tag.as_ref().zip(reference.digest);
            if let Some((tag, digest)) = is_tag
                && let Some(repo) = self.repositories.get(&reference.repository)
                && repo.tags.get(tag).is_some_and(|other| *other != digest)
            {
                let given = Given::by(&origin, "");
                self.add_tag(&reference.repository, tag, digest, &given);
            }
        }
        self.conflicts.check()
    }

    pub fn add_manifest(
        &mut self,
        repository: &Repository,
        manifest: Arc<Manifest>,
        v1: Option<V1Id>,
    ) {
        let repo = self.repositories.entry(repository.clone()).or_default();
        let entry = Entry {
            media_type: manifest.media_type.into(),
            size: manifest.bytes.len() as u64,
            v1,
            foreign: BTreeSet::new(),
            signatures: Vec::new(),
        };
        let known = repo.manifests.entry(manifest.digest).or_insert(entry);
        // Independent of the order of the sources.
        known.v1 = match (known.v1, v1) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        match self.manifests.entry(manifest.digest) {
            btree_map::Entry::Vacant(place) => {
                place.insert(manifest);
            }
            // A schema 1 manifest has the same digest with and without signatures. The signed one is
            // preferred.
            btree_map::Entry::Occupied(mut place) => {
                let rank = |manifest: &Manifest| {
                    (
                        manifest.media_type != DOCKER_SCHEMA1,
                        manifest.bytes.clone(),
                    )
                };
                if rank(&manifest) < rank(place.get()) {
                    place.insert(manifest);
                }
            }
        }
    }

    /// A blob that is not lost.
    pub fn held(&self, digest: &Digest) -> Option<&Stored> {
        let found = self.blobs.get(digest);
        found.filter(|_| !self.damage.has(digest))
    }

    /// The blobs that manifests list, the foreign layers that are served, and signatures.
    pub fn registry_blobs(&self) -> BTreeSet<Digest> {
        let manifests = self.manifests.values();
        let blobs = manifests.flat_map(|manifest| manifest.blobs());
        let repositories = self.repositories.values();
        let entries = repositories.flat_map(|repo| repo.manifests.values());
        let more = entries.flat_map(Entry::others);
        blobs.map(|blob| blob.digest).chain(more.copied()).collect()
    }

    /// The layers of all images, without those of artifacts and those that are lost.
    pub fn layers(&self) -> BTreeSet<Digest> {
        self.manifests
            .values()
            .filter(|manifest| manifest.is_image())
            .flat_map(|manifest| manifest.blobs())
            .filter(|blob| blob.kind.is_some() && !self.damage.has(&blob.digest))
            .map(|blob| blob.digest)
            .collect()
    }

    pub fn set_tar(&mut self, layer: &Digest, tar: Tar) {
        if let Some(stored) = self.blobs.get_mut(layer) {
            stored.tar = Some(tar);
        }
    }

    /// The config of an image, as bytes and parsed.
    pub fn config(&self, digest: &Digest) -> anyhow::Result<(Arc<[u8]>, v1::Config)> {
        let stored = self
            .blobs
            .get(digest)
            .with_context(|| format!("the config {digest} is missing"))?;
        let bytes = stored.content.read(MAX_JSON)?;
        let config = v1::Config::parse(&bytes)
            .map_err(|error| error.context(format!("cannot read {}", stored.content.origin())))?;
        Ok((bytes, config))
    }

    /// Whether an image runs on a platform.
    pub fn is_for(&self, image: &Manifest, platform: &Platform) -> anyhow::Result<bool> {
        match &image.kind {
            ManifestKind::Image {
                config: Some(config),
                ..
            } => Ok(platform.covers(&self.config(&config.digest)?.1.platform)),
            _ => Ok(false),
        }
    }
}

pub fn memory_blob(bytes: Vec<u8>) -> Stored {
    let digest = Digest::of(&bytes);
    let content = Content::memory(bytes, format!("{digest}"));
    Stored {
        digest,
        size: content.len(),
        tar: None,
        outline: None,
        compression: Compression::Plain,
        compressed_here: false,
        content,
    }
}
