//! What a source holds, before its layers were read: manifests that are kept, manifests that will
//! be made once the compressed layers are known, and the content to take in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::bail_invalid;
use crate::content::Content;
use crate::import::ingest::{Job, Work};
use crate::note::Note;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::v1::V1Id;

mod manifests;
pub mod naming;

pub use manifests::{Attached, Blobs, peek, with_children};

/// The index of a job in its draft.
pub type JobId = usize;
/// The index of a manifest in its draft.
pub type ManifestId = usize;

/// One source's images.
#[derive(Debug, Default)]
pub struct Draft {
    /// What the source is called in messages, with its backticks.
    pub origin: Arc<str>,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// The images by name.
    pub roots: Vec<RootManifest>,
    /// Manifests without a name, by what they are attached to.
    pub referrers: BTreeMap<Digest, Vec<ManifestId>>,
    /// The manifests, children before their index.
    pub manifests: Vec<ManifestSource>,
    /// The content to take in.
    pub jobs: Vec<Job>,
    /// v1 images that come with a form of their own.
    pub v1: BTreeMap<V1Id, StoredV1>,
    kept_jobs: HashMap<Digest, JobId>,
    tar_jobs: HashMap<Digest, JobId>,
    kept_manifests: HashMap<Digest, ManifestId>,
    /// Bytes of JSON that is longer than any honest one needs to be.
    long_json: u64,
}

/// JSON up to this length is read however much there is of it.
const SHORT_JSON: u64 = 64 << 10;
/// What is longer may have so many bytes together: all manifests of a source lie in memory.
const MAX_LONG_JSON: u64 = 64 << 20;

/// A manifest that the source names, or that goes along with one.
#[derive(Debug)]
pub struct RootManifest {
    /// The repository, where the source names one.
    pub repository: Option<Repository>,
    /// The tag, where the source names one.
    pub tag: Option<Tag>,
    /// The manifest.
    pub manifest: ManifestId,
    /// The top v1 id, where the v1 form comes with the source.
    pub v1: Option<V1Id>,
    /// What the source calls it, for messages; with its backticks.
    pub called: String,
}

/// A v1 image of a source: its own JSON and layer.
#[derive(Clone, Debug)]
pub struct StoredV1 {
    /// The JSON, byte for byte.
    pub json: Arc<[u8]>,
    /// The image below.
    pub parent: Option<V1Id>,
    /// The layer.
    pub layer: JobId,
}

/// A manifest of a draft.
#[derive(Debug)]
pub enum ManifestSource {
    /// Served byte for byte, or made anew as little as needed.
    Kept {
        /// The manifest as it came.
        manifest: Arc<Manifest>,
        /// Config and layers; nothing of an index.
        blobs: Vec<JobId>,
        /// The children of an index that the source has.
        children: Vec<ManifestId>,
        /// Its plain layers get compressed, or a child was made anew.
        remade: bool,
    },
    /// A schema 2 manifest to be made for an image of a `docker save` archive.
    Made {
        /// The config.
        config: ConfigSource,
        /// The layers, base first.
        layers: Vec<JobId>,
    },
}

impl ManifestSource {
    /// The children of an index that the source has.
    pub fn children(&self) -> &[ManifestId] {
        if let Self::Kept { children, .. } = self {
            children
        } else {
            &[]
        }
    }

    /// What the manifest is attached to.
    pub fn subject(&self) -> Option<Digest> {
        if let Self::Kept { manifest, .. } = self {
            manifest.subject
        } else {
            None
        }
    }

    /// The digest that it came with.
    pub fn digest(&self) -> Option<Digest> {
        if let Self::Kept { manifest, .. } = self {
            Some(manifest.digest)
        } else {
            None
        }
    }

    /// The content that it needs.
    pub fn jobs(&self) -> Vec<JobId> {
        match self {
            Self::Kept { blobs, .. } => blobs.clone(),
            Self::Made {
                config: ConfigSource::Kept(config, _),
                layers,
            } => std::iter::once(*config)
                .chain(layers.iter().copied())
                .collect(),
            Self::Made {
                config: ConfigSource::Legacy(_),
                layers,
            } => layers.clone(),
        }
    }
}

/// Where the config of a made manifest comes from.
#[derive(Debug)]
pub enum ConfigSource {
    /// The archive has it.
    Kept(JobId, Vec<Digest>),
    /// It is made from the v1 JSON of each image, base first.
    Legacy(Vec<Arc<[u8]>>),
}

/// How sources are to be taken.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct ImportOptions {
    /// The v1 API is wanted: diff IDs are needed, and v1 forms that a source has.
    pub v1: bool,
    /// Plain layers of kept manifests are compressed.
    pub compress: bool,
    /// Names keep their host.
    pub keep_host: bool,
    /// The manifests of Docker 25 and later for plain layers are kept.
    pub keep_manifests: bool,
    /// Repositories that their registry calls private are taken too.
    pub private: bool,
    /// Of an index only the children for these platforms are taken; all where there are none.
    pub platforms: Vec<Platform>,
}

impl ImportOptions {
    /// A name as a source has it: its host is dropped unless it is to be kept.
    ///
    /// # Errors
    /// When it is no reference.
    pub fn reference(&self, text: &str) -> anyhow::Result<Reference> {
        if self.keep_host {
            Reference::with_host(text)
        } else {
            Reference::without_host(text)
        }
    }
}

impl Draft {
    /// An empty draft of a source.
    pub fn new(origin: impl Into<Arc<str>>) -> Self {
        Self {
            origin: origin.into(),
            ..Self::default()
        }
    }

    /// Reads a manifest, a config or the JSON of a v1 image.
    ///
    /// # Errors
    /// When it is too long, alone or with all others of the source.
    pub fn read_json(&mut self, content: &Content) -> anyhow::Result<Arc<[u8]>> {
        if content.len() > SHORT_JSON {
            self.long_json = self.long_json.saturating_add(content.len());
        }
        let bytes = content.read(MAX_JSON)?;
        if self.long_json > MAX_LONG_JSON {
            bail_invalid!(
                "{} has too much JSON: what is longer than {} KiB has more than {} MiB together",
                self.origin,
                SHORT_JSON >> 10,
                MAX_LONG_JSON >> 20
            );
        }
        Ok(bytes)
    }

    /// Adds content to take in.
    pub fn add_job(&mut self, content: Content, work: Work) -> JobId {
        self.jobs.push(Job {
            content,
            work,
            digest: None,
            size: None,
            ready: None,
        });
        self.jobs.len() - 1
    }

    /// Adds a plain layer to compress, once for each digest.
    pub fn add_tar(&mut self, content: Content, diff_id: Digest) -> JobId {
        if let Some(id) = self.tar_jobs.get(&diff_id) {
            return *id;
        }
        let id = self.add_job(
            content,
            Work::Compress {
                claimed: Some(diff_id),
            },
        );
        self.tar_jobs.insert(diff_id, id);
        id
    }

    /// Adds a blob to keep, once for each digest.
    pub fn add_blob(
        &mut self,
        content: Content,
        digest: Digest,
        size: Option<u64>,
        diff_id: bool,
    ) -> JobId {
        if let Some(id) = self.kept_jobs.get(&digest) {
            if let Work::Verbatim { diff_id: wanted } = &mut self.jobs[*id].work {
                *wanted |= diff_id;
            }
            return *id;
        }
        self.jobs.push(Job {
            content,
            work: Work::Verbatim { diff_id },
            digest: Some(digest),
            size,
            ready: None,
        });
        self.kept_jobs.insert(digest, self.jobs.len() - 1);
        self.jobs.len() - 1
    }

    /// Whether the source has a manifest of this digest.
    pub fn has(&self, digest: &Digest) -> bool {
        self.kept_manifests.contains_key(digest)
    }

    /// The manifests that are children of an index.
    pub fn children(&self) -> impl Iterator<Item = ManifestId> {
        self.manifests
            .iter()
            .flat_map(|planned| planned.children().iter().copied())
    }

    /// The manifests that a root brings along: itself, the children of an index, and what is
    /// attached to one of these.
    pub fn members(&self, root: &RootManifest) -> BTreeSet<ManifestId> {
        let mut members = BTreeSet::new();
        let mut next = vec![root.manifest];
        while let Some(id) = next.pop() {
            if members.insert(id) {
                let planned = &self.manifests[id];
                let attached = planned
                    .digest()
                    .and_then(|digest| self.referrers.get(&digest));
                next.extend(
                    planned
                        .children()
                        .iter()
                        .chain(attached.into_iter().flatten()),
                );
            }
        }
        members
    }

    /// The jobs that the roots need; the source may hold more.
    pub fn needed(&self) -> BTreeSet<JobId> {
        let members: BTreeSet<ManifestId> = self
            .roots
            .iter()
            .flat_map(|root| self.members(root))
            .collect();
        let mut jobs: BTreeSet<JobId> = members
            .iter()
            .flat_map(|id| self.manifests[*id].jobs())
            .collect();
        for mut next in self.roots.iter().map(|root| root.v1) {
            while let Some(image) = next.and_then(|id| self.v1.get(&id)) {
                jobs.insert(image.layer);
                next = image.parent;
            }
        }
        jobs
    }
}
