//! What a site has lost. Its references stay listed, and what is left of them stays where it is, until a build brings
//! back what is lost or `remove` takes them out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{WithHint as _, invalid_input};
use crate::images::Images;
use crate::note::{Note, NoteKind};
use crate::site_files::catalogue::Entry;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::media_type::{MANIFEST_TYPES, OCI_MANIFEST};
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

/// A file of a site that is missing or has other content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Relative to the site.
    pub path: String,
    pub is_missing: bool,
    /// Whether the system refused to read it, so that it may be whole.
    pub is_unreadable: bool,
    /// What is wrong with it.
    pub reason: String,
}

impl Lost {
    /// An error about a reference that needs the file.
    pub fn error(&self, name: &str) -> anyhow::Error {
        let Self { path, reason, .. } = self;
        invalid_input(format!("`{name}` is damaged: `{path}`: {reason}"))
    }
}

/// A v1 image of a site that stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct KeptV1 {
    pub parent: Option<V1Id>,
    /// Whether it came with a source, so that it needs a checksum, unless it can be derived.
    pub needs_checksum: bool,
}

/// What the loaded images of a site lack.
#[derive(Debug, Default)]
pub struct Damage {
    /// Manifests and blobs. The images have a stand-in for each, which must not be written.
    pub content: BTreeMap<Digest, Lost>,
    /// For the top of a chain of v1 images that came with a source: the first of them that is lost.
    pub chains: BTreeMap<V1Id, Lost>,
    /// v1 images whose form may not follow from what is left. They stay as the site has them.
    pub kept_v1: BTreeMap<V1Id, KeptV1>,
    /// The top v1 images that the site gives to manifests from which it cannot be derived any more.
    pub tops: BTreeMap<Digest, V1Id>,
}

impl Damage {
    pub fn has(&self, digest: &Digest) -> bool {
        self.content.contains_key(digest)
    }

    pub fn is_none(&self) -> bool {
        self.content.is_empty() && self.chains.is_empty()
    }
}

/// Whether a manifest is a stand-in.
pub fn is_lost(manifest: &Manifest) -> bool {
    matches!(manifest.kind, ManifestKind::Lost)
}

/// A stand-in for a manifest that a site has lost, of which only the catalogue is left.
pub fn lost_manifest(digest: Digest, entry: &Entry) -> Manifest {
    let mut types = MANIFEST_TYPES.iter().map(|(media_type, _)| *media_type);
    Manifest {
        bytes: Arc::from([]),
        digest,
        media_type: types
            .find(|media_type| *media_type == entry.media_type)
            .unwrap_or(OCI_MANIFEST),
        kind: ManifestKind::Lost,
        unsupported: Vec::new(),
        subject: None,
        artifact_type: None,
    }
}

impl Images {
    /// What a manifest of a repository lacks: itself, its blobs, its children, or its v1 form.
    pub fn damage_of(&self, repository: &Repository, digest: &Digest) -> Vec<&Lost> {
        if self.damage.is_none() {
            return Vec::new();
        }
        let mut lost = Vec::new();
        let repo = self.repositories.get(repository);
        for manifest in self.with_children(digest) {
            let blobs = manifest.blobs();
            let entry = repo.and_then(|repo| repo.manifests.get(&manifest.digest));
            let foreign = entry.into_iter().flat_map(|entry| &entry.foreign);
            let digests = blobs.iter().map(|blob| &blob.digest).chain(foreign);
            let digests = digests.chain([&manifest.digest]);
            lost.extend(digests.filter_map(|digest| self.damage.content.get(digest)));
        }
        let entry = repo.and_then(|repo| repo.manifests.get(digest));
        lost.extend(entry.and_then(|entry| self.damage.chains.get(&entry.v1?)));
        lost
    }

    /// A manifest, its children and so on, as far as the images have them.
    pub fn with_children(&self, digest: &Digest) -> Vec<&Manifest> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = vec![*digest];
        while let Some(digest) = next.pop() {
            if let Some(manifest) = self.manifests.get(&digest).filter(|_| seen.insert(digest)) {
                next.extend(manifest.children().iter().rev().map(|child| child.digest));
                found.push(&**manifest);
            }
        }
        found
    }

    /// Whether the v1 form of a manifest cannot be derived, since it or its config is lost.
    pub fn hides_v1(&self, digest: &Digest) -> bool {
        let is_lost = |manifest: &Manifest| match &manifest.kind {
            ManifestKind::Lost => true,
            ManifestKind::Image { config, .. } => {
                let config = config.as_ref();
                config.is_some_and(|config| self.damage.has(&config.digest))
            }
            ManifestKind::Index(_) | ManifestKind::Schema1(_) => false,
        };
        !self.damage.content.is_empty() && self.with_children(digest).into_iter().any(is_lost)
    }

    /// Whether a manifest of a repository is lost, so that nobody knows what it refers to.
    pub fn has_lost_manifest(&self, repository: &Repository) -> bool {
        let repo = self.repositories.get(repository);
        let is_lost = |digest| {
            let manifest = self.manifests.get(digest);
            manifest.is_some_and(|manifest| is_lost(manifest))
        };
        repo.is_some_and(|repo| repo.manifests.keys().any(is_lost))
    }

    /// The references that are damaged, each with what it lacks.
    pub fn damaged(&self) -> BTreeMap<String, Vec<&Lost>> {
        let mut damaged = BTreeMap::new();
        if self.damage.is_none() {
            return damaged;
        }
        for (repository, repo) in &self.repositories {
            let tagged = repo.tags.iter();
            let names = tagged.map(|(tag, digest)| (format!("{repository}:{tag}"), digest));
            let untagged = self.untagged(repo);
            let untagged = untagged.iter();
            let untagged = untagged.map(|digest| (format!("{repository}@{digest}"), digest));
            for (name, digest) in names.chain(untagged) {
                let lost = self.damage_of(repository, digest);
                if !lost.is_empty() {
                    damaged.insert(name, lost);
                }
            }
        }
        damaged
    }

    /// A note for each reference that is damaged.
    pub fn damage_notes(&self) -> BTreeSet<Note> {
        let note = |(name, lost): (String, Vec<&Lost>)| {
            let note = NoteKind::Fault.note(lost.first()?.error(&name).to_string());
            Some(note.about(name))
        };
        self.damaged().into_iter().filter_map(note).collect()
    }

    /// Fails if the system refused to read anything: what that refers to is unknown.
    pub fn check_readable(&self) -> anyhow::Result<()> {
        let content = self.damage.content.values();
        let mut all = content.chain(self.damage.chains.values());
        all.find(|lost| lost.is_unreadable)
            .map_or(Ok(()), |lost| Err(anyhow::anyhow!(lost.reason.clone())))
    }

    /// Fails if anything is lost.
    pub fn check_whole(&self, site: &str) -> anyhow::Result<()> {
        match self.damage_notes().first() {
            Some(note) => Err(invalid_input(note.message.clone())).hint(format!(
                "`stillage verify {site}` lists all damage; a build from the sources restores what they have"
            )),
            None => Ok(()),
        }
    }
}
