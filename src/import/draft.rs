//! What a source holds, before its layers are read: manifests to keep, manifests to make once the compressed
//! layers are known, and the content to import.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::content::{Content, Identity, Packing};
use crate::import::check::Check;
use crate::import::ingest::{Job, Work};
use crate::import::request::Request;
use crate::note::{Note, NoteKind};
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Reference;
use crate::spec::source_name::Hosts;
use crate::spec::v1::V1Id;
use crate::{bail_invalid, error};

mod attached;
mod fault;
mod manifests;
pub mod naming;

pub use attached::{Attached, peek, with_children};
pub use fault::{Called, Fault, Part};
pub use manifests::{Blobs, parse_config};
pub use naming::RootManifest;

/// The index of a job in its draft.
pub type JobId = usize;
/// The index of a manifest in its draft.
pub type ManifestId = usize;

/// The images of one source.
#[derive(Debug, Default)]
pub struct Draft {
    /// The name of the source in messages, in backticks.
    pub origin: Arc<str>,
    pub notes: Vec<Note>,
    /// What was left out because it is damaged or unknown.
    pub faults: Vec<Fault>,
    pub roots: Vec<RootManifest>,
    /// Whether its references are to be as they are in the site that was exported, v1 forms without a tag and the order of
    /// signatures included.
    pub is_export: bool,
    /// References that stay as the site has them: each with its digest, and its tag if it has one.
    pub listed: Vec<Reference>,
    /// Manifests without a name, by the digest of their subject.
    pub referrers: BTreeMap<Digest, Vec<ManifestId>>,
    /// Children come before their index.
    pub manifests: Vec<ManifestSource>,
    pub jobs: Vec<Job>,
    /// Archives in a folder that hold no image.
    pub no_images: Vec<(Content, Identity)>,
    /// v1 images that the source has.
    pub v1: BTreeMap<V1Id, StoredV1>,
    kept_jobs: HashMap<Digest, JobId>,
    tar_jobs: HashMap<(Digest, Packing), JobId>,
    kept_manifests: HashMap<Digest, ManifestId>,
    /// The bytes of all JSON longer than [`SHORT_JSON`] so far.
    long_json: u64,
}

/// JSON up to this length in bytes is read without limit.
const SHORT_JSON: u64 = 64 << 10;
/// The most bytes that all longer JSON of a source may have together, since its manifests are kept in memory.
const MAX_LONG_JSON: u64 = 64 << 20;

/// A v1 image that a source has.
#[derive(Clone, Debug)]
pub struct StoredV1 {
    /// Kept byte for byte.
    pub json: Arc<[u8]>,
    pub parent: Option<V1Id>,
    pub layer: JobId,
}

#[derive(Debug)]
pub enum ManifestSource {
    /// A manifest of the source. It is served byte for byte unless `remade`.
    Kept {
        manifest: Arc<Manifest>,
        /// Config and layers; empty for an index.
        blobs: Vec<JobId>,
        /// Foreign layers to serve although they have URLs.
        foreign: Vec<(Digest, JobId)>,
        /// The children of an index, those that the source has.
        children: Vec<ManifestId>,
        /// Whether plain layers are compressed, or a child is remade. Nothing else changes then.
        remade: bool,
    },
    /// A schema 2 manifest to be made for an image of a `docker save` archive.
    Made {
        config: ConfigSource,
        /// Base first.
        layers: Vec<JobId>,
    },
}

impl ManifestSource {
    pub fn children(&self) -> &[ManifestId] {
        if let Self::Kept { children, .. } = self {
            children
        } else {
            &[]
        }
    }

    pub fn subject(&self) -> Option<Digest> {
        if let Self::Kept { manifest, .. } = self {
            manifest.subject
        } else {
            None
        }
    }

    /// The foreign layers to serve with it.
    pub fn foreign(&self) -> &[(Digest, JobId)] {
        if let Self::Kept { foreign, .. } = self {
            foreign
        } else {
            &[]
        }
    }

    /// The digest in the source; `None` for a manifest to be made.
    pub fn digest(&self) -> Option<Digest> {
        if let Self::Kept { manifest, .. } = self {
            Some(manifest.digest)
        } else {
            None
        }
    }

    pub fn jobs(&self) -> Vec<JobId> {
        match self {
            Self::Kept { blobs, foreign, .. } => {
                let foreign = foreign.iter().map(|(_, job)| *job);
                blobs.iter().copied().chain(foreign).collect()
            }
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
    /// From the archive, with its diff IDs.
    Kept(JobId, Vec<Digest>),
    /// Made from the v1 JSON of each image, base first.
    Legacy(Vec<Arc<[u8]>>),
}

/// How to import images.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct ImportOptions {
    /// Whether the site offers the v1 API, which needs diff IDs and the v1 forms of sources.
    pub v1: bool,
    /// Whether to compress the plain layers of kept manifests.
    pub compress: bool,
    /// How plain layers are compressed.
    pub packing: Packing,
    pub hosts: Hosts,
    /// Whether to keep the manifests for plain layers that Docker 25 and later save.
    pub keep_manifests: bool,
    /// Whether to import repositories that a v1 registry marks as private.
    pub private: bool,
    /// Whether to serve foreign layers that have URLs.
    pub foreign: bool,
    /// The platforms to import from an index; all if empty.
    pub platforms: Vec<Platform>,
}

impl Draft {
    pub fn new(origin: impl Into<Arc<str>>) -> Self {
        Self {
            origin: origin.into(),
            ..Self::default()
        }
    }

    /// Whether it has no reference at all.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.listed.is_empty()
    }

    /// Reads a manifest, a config or the JSON of a v1 image. Fails if it is too long, by itself or together
    /// with the JSON read before.
    pub fn read_json(&mut self, content: &Content) -> anyhow::Result<Arc<[u8]>> {
        if content.len() > SHORT_JSON {
            self.long_json = self.long_json.saturating_add(content.len());
        }
        let bytes = content.read(MAX_JSON)?;
        if self.long_json > MAX_LONG_JSON {
            bail_invalid!(
                "{} has too much JSON: files longer than {} KiB have more than {} MiB together",
                self.origin,
                SHORT_JSON >> 10,
                MAX_LONG_JSON >> 20
            );
        }
        Ok(bytes)
    }

    pub fn add_job(&mut self, content: Content, work: Work) -> JobId {
        self.jobs.push(Job::new(content, work));
        self.jobs.len() - 1
    }

    /// Adds a plain layer to compress, once per diff ID and packing.
    pub fn add_tar(&mut self, content: Content, diff_id: Digest, packing: Packing) -> JobId {
        if let Some(id) = self.tar_jobs.get(&(diff_id, packing)) {
            return *id;
        }
        let claimed = Some(diff_id);
        let id = self.add_job(content, Work::Compress { claimed, packing });
        self.tar_jobs.insert((diff_id, packing), id);
        id
    }

    /// The checksum of a v1 image, if the source gives exactly one, which is compared when the layer is read.
    pub fn checksum(&self, id: V1Id) -> Option<Digest> {
        let checks = &self.jobs[self.v1.get(&id)?.layer].checks;
        checks.iter().find_map(|check| match check {
            Check::Checksum { id: of, any_of, .. } if *of == id => match any_of.as_slice() {
                [checksum] => Some(*checksum),
                _ => None,
            },
            _ => None,
        })
    }

    /// Adds a blob to keep, once per digest. `size` is in bytes; `diff_id` says whether to measure its tar.
    pub fn add_blob(
        &mut self,
        content: Content,
        digest: Digest,
        size: Option<u64>,
        diff_id: bool,
    ) -> JobId {
        if let Some(id) = self.kept_jobs.get(&digest) {
            let job = &mut self.jobs[*id];
            if let Work::Verbatim { diff_id: wanted } = &mut job.work {
                *wanted |= diff_id;
            }
            // Of two sizes, the wrong one is checked.
            job.size = size.filter(|size| *size != job.content.len()).or(job.size);
            return *id;
        }
        self.jobs.push(Job {
            digest: Some(digest),
            size,
            ..Job::new(content, Work::Verbatim { diff_id })
        });
        self.kept_jobs.insert(digest, self.jobs.len() - 1);
        self.jobs.len() - 1
    }

    /// Adds one of several images. If the input is at fault, the image is left out, and the draft has none of
    /// its manifests. An image that was requested by itself has to be complete.
    pub fn add_one_of(
        &mut self,
        request: &Request<'_>,
        called: Called,
        add: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (manifests, faults) = (self.manifests.len(), self.faults.len());
        let added = add(self);
        for fault in &mut self.faults[faults..] {
            fault.called = called.clone();
        }
        let Err(error) = added else {
            return Ok(());
        };
        self.faults.truncate(faults);
        self.forget(manifests);
        self.leave_out(request, called, error)
    }

    /// Leaves out an image that cannot be added, if the input is at fault and it was not requested by itself.
    pub fn leave_out(
        &mut self,
        request: &Request<'_>,
        called: Called,
        error: anyhow::Error,
    ) -> anyhow::Result<()> {
        // With too much JSON, each further reference would be read for nothing.
        let is_over = self.long_json > MAX_LONG_JSON;
        if request.one.is_some() || is_over || !error::concerns_one(&error) {
            return Err(error);
        }
        self.faults.push(Fault {
            called,
            part: Part::Whole,
            error,
        });
        Ok(())
    }

    /// Leaves out an image without a name beside others with names.
    pub fn leave_out_nameless(&mut self, what: &str) {
        self.notes.push(NoteKind::Leftover.note(format!(
            "{what} is left out: it has no name, and other images in {} have",
            self.origin
        )));
    }

    /// Forgets the manifests that were added since there were this many.
    fn forget(&mut self, count: usize) {
        for digest in self.manifests[count..]
            .iter()
            .filter_map(ManifestSource::digest)
        {
            self.kept_manifests.remove(&digest);
        }
    }

    /// Whether the draft has a manifest with this digest.
    pub fn has(&self, digest: &Digest) -> bool {
        self.kept_manifests.contains_key(digest)
    }

    /// The manifests that are children of any index.
    pub fn children(&self) -> impl Iterator<Item = ManifestId> {
        self.manifests
            .iter()
            .flat_map(|planned| planned.children().iter().copied())
    }

    /// The manifests that belong to a root: itself, the children of an index, and the referrers of these.
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

    /// The jobs that the roots need. The draft may have more.
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
        let signatures = self.roots.iter().flat_map(|root| &root.signatures);
        jobs.extend(signatures.map(|(_, job)| job));
        for mut next in self.roots.iter().map(|root| root.v1) {
            while let Some(image) = next.and_then(|id| self.v1.get(&id)) {
                jobs.insert(image.layer);
                next = image.parent;
            }
        }
        jobs
    }
}
