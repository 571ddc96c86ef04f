//! What a source holds, before its layers were read: manifests that are kept, manifests that will
//! be made once the compressed layers are known, and the content to take in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::bail_bad;
use crate::content::Content;
use crate::error::{WithHint as _, bad};
use crate::ingest::{Job, Work};
use crate::spec::digest::Digest;
use crate::spec::manifest::{Body, Descriptor, Manifest};
use crate::spec::media_type::LayerKind;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;

/// The index of a job in its draft.
pub type JobId = usize;
/// The index of a manifest in its draft.
pub type ManifestId = usize;

/// One source's images.
#[derive(Debug, Default)]
pub struct Draft {
    /// What the source is called in messages, with its backticks.
    pub origin: Arc<str>,
    /// The images by name.
    pub roots: Vec<Root>,
    /// Manifests without a name that are attached to another of the source.
    pub referrers: Vec<ManifestId>,
    /// The manifests, children before their index.
    pub manifests: Vec<Planned>,
    /// The content to take in.
    pub jobs: Vec<Job>,
    /// v1 images that come with a form of their own.
    pub v1: BTreeMap<V1Id, StoredV1>,
    kept_jobs: HashMap<Digest, JobId>,
    kept_manifests: HashMap<Digest, ManifestId>,
}

/// A manifest that the source names, or that goes along with one.
#[derive(Debug)]
pub struct Root {
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
pub enum Planned {
    /// Served byte for byte.
    Kept {
        /// The manifest.
        manifest: Manifest,
        /// The content of its blobs.
        blobs: Vec<JobId>,
        /// The children of an index that the source has.
        children: Vec<ManifestId>,
    },
    /// A schema 2 manifest to be made for an image of a `docker save` archive.
    Made {
        /// The config.
        config: Config,
        /// The layers, base first.
        layers: Vec<JobId>,
    },
    /// A kept manifest whose plain layers get compressed, or whose children were made anew.
    Remade {
        /// The manifest as it came.
        manifest: Manifest,
        /// Config and layers, or nothing for an index.
        blobs: Vec<JobId>,
        /// The children of an index that the source has.
        children: Vec<ManifestId>,
    },
}

impl Planned {
    /// The children of an index that the source has.
    pub fn children(&self) -> &[ManifestId] {
        match self {
            Self::Kept { children, .. } | Self::Remade { children, .. } => children,
            Self::Made { .. } => &[],
        }
    }

    /// What the manifest is attached to.
    pub fn subject(&self) -> Option<Digest> {
        match self {
            Self::Kept { manifest, .. } | Self::Remade { manifest, .. } => manifest.subject,
            Self::Made { .. } => None,
        }
    }
}

/// Where the config of a made manifest comes from.
#[derive(Debug)]
pub enum Config {
    /// The archive has it.
    Kept(JobId, Vec<Digest>),
    /// It is made from the v1 JSON of each image, base first.
    Legacy(Vec<Arc<[u8]>>),
}

/// Finds the content of a kept manifest.
pub trait Blobs {
    /// The content with this digest; `None` when the source does not have it.
    ///
    /// # Errors
    /// When the source cannot be looked into.
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>>;
}

/// How a source's manifests are to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The v1 API is wanted: diff IDs are needed, and v1 forms that a source has.
    pub v1: bool,
    /// Plain layers are compressed (an archive of Docker 25 and later).
    pub compress: bool,
}

/// Indexes nested deeper than this are refused.
const MAX_NESTING: usize = 8;

impl Draft {
    /// An empty draft of a source.
    pub fn new(origin: impl Into<Arc<str>>) -> Self {
        Self {
            origin: origin.into(),
            ..Self::default()
        }
    }

    /// Adds content to take in.
    pub fn add_job(&mut self, content: Content, work: Work) -> JobId {
        self.jobs.push(Job {
            content,
            work,
            digest: None,
            size: None,
        });
        self.jobs.len() - 1
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
            if let Work::Keep { diff_id: wanted } = &mut self.jobs[*id].work {
                *wanted |= diff_id;
            }
            return *id;
        }
        self.jobs.push(Job {
            content,
            work: Work::Keep { diff_id },
            digest: Some(digest),
            size,
        });
        self.kept_jobs.insert(digest, self.jobs.len() - 1);
        self.jobs.len() - 1
    }

    /// Adds the manifest that a descriptor points to with all that it points to. `None` when the
    /// source does not have it.
    ///
    /// # Errors
    /// When a manifest is broken, is not what its descriptor says, or lacks a blob.
    pub fn add_manifest(
        &mut self,
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        rules: Rules,
    ) -> anyhow::Result<Option<ManifestId>> {
        self.add_nested(blobs, descriptor, rules, 0)
    }

    fn add_nested(
        &mut self,
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        rules: Rules,
        depth: usize,
    ) -> anyhow::Result<Option<ManifestId>> {
        if let Some(id) = self.kept_manifests.get(&descriptor.digest) {
            return Ok(Some(*id));
        }
        let Some(content) = blobs.blob(&descriptor.digest)? else {
            return Ok(None);
        };
        if depth > MAX_NESTING {
            bail_bad!(
                "{} is an index nested more than {MAX_NESTING} deep",
                content.origin()
            );
        }
        let manifest = read_manifest(&content, descriptor)?;
        let planned = match &manifest.body {
            Body::Index(children) => self.index(blobs, children.clone(), manifest, rules, depth)?,
            _ => self.image(blobs, manifest, rules)?,
        };
        self.manifests.push(planned);
        let id = self.manifests.len() - 1;
        self.kept_manifests.insert(descriptor.digest, id);
        Ok(Some(id))
    }

    fn index(
        &mut self,
        blobs: &dyn Blobs,
        children: Vec<Descriptor>,
        manifest: Manifest,
        rules: Rules,
        depth: usize,
    ) -> anyhow::Result<Planned> {
        let mut present = Vec::new();
        for child in children {
            present.extend(self.add_nested(blobs, &child, rules, depth + 1)?);
        }
        let remade = present
            .iter()
            .any(|id| matches!(self.manifests[*id], Planned::Remade { .. }));
        Ok(if remade {
            Planned::Remade {
                manifest,
                blobs: Vec::new(),
                children: present,
            }
        } else {
            Planned::Kept {
                manifest,
                blobs: Vec::new(),
                children: present,
            }
        })
    }

    fn image(
        &mut self,
        blobs: &dyn Blobs,
        manifest: Manifest,
        rules: Rules,
    ) -> anyhow::Result<Planned> {
        let mut ids = Vec::new();
        let mut remade = false;
        for wanted in manifest.blobs() {
            let digest = wanted.digest;
            let Some(blob) = blobs.blob(&digest)? else {
                bail_bad!(
                    "the blob {digest} of the manifest {} is missing in {}",
                    manifest.digest,
                    self.origin
                );
            };
            if rules.compress && wanted.kind == Some(LayerKind::PlainTar) && manifest.is_image() {
                remade = true;
                // A plain layer is its own tar: the digest is the diff ID.
                ids.push(self.add_job(
                    blob,
                    Work::Gzip {
                        claimed: Some(digest),
                    },
                ));
            } else {
                let measure = rules.v1 && manifest.is_image() && wanted.kind.is_some();
                ids.push(self.add_blob(blob, digest, wanted.size, measure));
            }
        }
        let children = Vec::new();
        Ok(if remade {
            Planned::Remade {
                manifest,
                blobs: ids,
                children,
            }
        } else {
            Planned::Kept {
                manifest,
                blobs: ids,
                children,
            }
        })
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

    /// Names the images of the source, `SOURCE=NAME[:TAG]`.
    ///
    /// # Errors
    /// When an image has no name, or a tag is given to more than one.
    pub fn rename(&mut self, name: Option<(&Repository, Option<&Tag>)>) -> anyhow::Result<()> {
        if let Some((repository, tag)) = name {
            let images: std::collections::BTreeSet<ManifestId> = self
                .roots
                .iter()
                .filter(|root| !root.goes_along())
                .map(|root| root.manifest)
                .collect();
            if tag.is_some() && images.len() != 1 {
                return Err(bad(format!(
                    "{} holds {} images, so one tag cannot name it",
                    self.origin,
                    images.len()
                )))
                .hint(format!(
                    "give only a repository: `=…{repository}` keeps the tags of the source"
                ));
            }
            for root in &mut self.roots {
                if !root.goes_along() {
                    root.tag = tag
                        .cloned()
                        .or_else(|| root.tag.take())
                        .or_else(|| Some(Tag::latest()));
                }
                root.repository = Some(repository.clone());
            }
            return Ok(());
        }
        for root in &mut self.roots {
            if root.repository.is_none() {
                return Err(bad(format!(
                    "{} in {} has no name",
                    root.called, self.origin
                )))
                .hint("name it: `SOURCE=NAME[:TAG]`");
            }
        }
        Ok(())
    }
}

impl Root {
    /// Whether it only belongs to another manifest, so that a new tag is not meant for it: what a
    /// registry knows without a tag, and what a tag of cosign attaches.
    fn goes_along(&self) -> bool {
        self.tag
            .as_ref()
            .map_or(self.repository.is_some(), Tag::is_attachment)
    }
}

fn read_manifest(content: &Content, descriptor: &Descriptor) -> anyhow::Result<Manifest> {
    let bytes = content.read(crate::spec::manifest::MAX_JSON)?;
    let manifest = Manifest::parse(bytes, Some(&descriptor.media_type))
        .map_err(|error| error.context(format!("cannot read {}", content.origin())))?;
    if manifest.digest != descriptor.digest {
        bail_bad!(
            "{} has the digest {}, not {}",
            content.origin(),
            manifest.digest,
            descriptor.digest
        );
    }
    if manifest.bytes.len() as u64 != descriptor.size {
        bail_bad!(
            "{} has {} bytes, not {}",
            content.origin(),
            manifest.bytes.len(),
            descriptor.size
        );
    }
    Ok(manifest)
}
