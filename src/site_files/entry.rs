//! The entries of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;

/// The annotation with the reference of an entry (OCI image-spec `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The name of an image with its host, as containerd and Docker write it into layouts.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The annotation with the top v1 image of an image that came with a v1 form.
pub const V1_ID: &str = "org.stillage.v1.id";
const FOREIGN: &str = "org.stillage.foreign";
const SIGNATURES: &str = "org.stillage.signatures";

/// A manifest as a repository serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The `Content-Type` it is served with.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// The top v1 image, if the v1 form came with the source.
    pub v1: Option<V1Id>,
    /// The foreign layers that the repository serves although they have URLs.
    pub foreign: BTreeSet<Digest>,
    /// The simple-signing signatures of the manifest, from number 1 on.
    pub signatures: Vec<Digest>,
}

impl Entry {
    pub(super) fn of(descriptor: &Descriptor) -> anyhow::Result<Self> {
        Ok(Self {
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            v1: descriptor.annotation(V1_ID).map(str::parse).transpose()?,
            foreign: digests(descriptor, FOREIGN)?.into_iter().collect(),
            signatures: digests(descriptor, SIGNATURES)?,
        })
    }

    /// What the image has beside the blobs that its manifest lists: foreign layers that are served, and signatures.
    pub fn others(&self) -> impl Iterator<Item = &Digest> {
        self.foreign.iter().chain(&self.signatures)
    }

    /// Whether another entry of the manifest says the same; without `v1`, whatever its v1 form is.
    pub fn is_same(&self, other: &Self, v1: bool) -> bool {
        let form = |entry: &Self| entry.v1.filter(|_| v1);
        self.media_type == other.media_type
            && self.size == other.size
            && form(self) == form(other)
            && self.foreign == other.foreign
            && self.signatures == other.signatures
    }

    /// Adds what a newer entry of the same manifest has.
    pub fn update(&mut self, newer: Self) {
        self.media_type = newer.media_type;
        self.size = newer.size;
        self.v1 = self.v1.or(newer.v1);
        self.foreign.extend(newer.foreign);
        self.add_signatures(newer.signatures);
    }

    /// Adds signatures behind those that are known, which keep their numbers.
    pub fn add_signatures(&mut self, more: impl IntoIterator<Item = Digest>) {
        for signature in more {
            if !self.signatures.contains(&signature) {
                self.signatures.push(signature);
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repo {
    pub tags: BTreeMap<Tag, Digest>,
    /// All manifests, with and without a tag.
    pub manifests: BTreeMap<Digest, Entry>,
}

impl Repo {
    /// The references of its manifests, in the order of the catalogue: by tag, then the untagged by digest.
    pub fn names(&self, repository: &Repository) -> Vec<(String, Digest)> {
        let tagged: BTreeSet<&Digest> = self.tags.values().collect();
        let by_tag = self.tags.iter();
        let by_tag = by_tag.map(|(tag, digest)| (format!("{repository}:{tag}"), *digest));
        let untagged = self.manifests.keys();
        let untagged = untagged.filter(|digest| !tagged.contains(digest));
        let untagged = untagged.map(|digest| (format!("{repository}@{digest}"), *digest));
        by_tag.chain(untagged).collect()
    }

    /// The entry of a manifest, under one of its names.
    pub fn descriptor(&self, name: String, digest: Digest) -> Descriptor {
        let entry = &self.manifests[&digest];
        let mut annotations = BTreeMap::from([(REF_NAME.to_owned(), name)]);
        if let Some(id) = entry.v1 {
            annotations.insert(V1_ID.into(), id.to_string());
        }
        let foreign = entry.foreign.iter().map(ToString::to_string).collect();
        let signatures = entry.signatures.iter().map(ToString::to_string).collect();
        let lists: [(_, Vec<String>); 2] = [(FOREIGN, foreign), (SIGNATURES, signatures)];
        for (key, digests) in lists {
            if !digests.is_empty() {
                annotations.insert(key.into(), digests.join(" "));
            }
        }
        Descriptor {
            annotations: Some(annotations),
            ..Descriptor::new(&*entry.media_type, digest, entry.size)
        }
    }
}

/// The digests in an annotation.
fn digests(descriptor: &Descriptor, key: &str) -> anyhow::Result<Vec<Digest>> {
    let text = descriptor.annotation(key).unwrap_or_default();
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(str::parse).collect()
}
