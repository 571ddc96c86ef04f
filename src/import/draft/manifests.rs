//! Adds the manifests of a source to a draft, with everything that they point to.

use std::sync::Arc;

use crate::content::Content;
use crate::error::{NotSelected, escaped, invalid_input};
use crate::import::draft::{
    Called, Draft, Fault, ImportOptions, JobId, ManifestId, ManifestSource, Part,
};
use crate::layer::Compression;
use crate::note::NoteKind;
use crate::spec::descriptor::{Descriptor, Platform};
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::media_type::{
    self, DOCKER_SCHEMA1, DOCKER_SCHEMA1_UNSIGNED, LayerKind, OCI_MANIFEST,
};
use crate::spec::remake::REFERENCE;
use crate::spec::{json, v1};
use crate::{bail_invalid, error};

/// Finds the content of a kept manifest.
pub trait Blobs {
    /// `None` if the source does not have it.
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>>;

    /// The child of an index; `None` if the source does not have it.
    fn child(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        self.blob(digest)
    }

    /// Whether the source is a site that serves a foreign layer of a manifest.
    fn serves_foreign(&self, _manifest: &Digest, _layer: &Digest) -> bool {
        false
    }
}

/// The type of the last child of a build cache, whose other children are layers (`BuildKit`
/// `cache/remotecache/v1/spec.go`).
const BUILD_CACHE: &str = "application/vnd.buildkit.cacheconfig.v0";

/// Indexes nested deeper than this are refused.
const MAX_NESTING: usize = 8;

impl Draft {
    /// Adds the manifest of a descriptor with everything that it points to. `None` if the source does not
    /// have the manifest.
    ///
    /// # Errors
    /// When a manifest is invalid, does not match its descriptor, or lacks a blob.
    pub fn add_manifest(
        &mut self,
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        rules: &ImportOptions,
    ) -> anyhow::Result<Option<ManifestId>> {
        self.add_nested(blobs, descriptor, rules, 0)
    }

    fn add_nested(
        &mut self,
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        rules: &ImportOptions,
        depth: usize,
    ) -> anyhow::Result<Option<ManifestId>> {
        if let Some(id) = self.kept_manifests.get(&descriptor.digest) {
            return Ok(Some(*id));
        }
        let content = if depth == 0 {
            blobs.blob(&descriptor.digest)?
        } else {
            blobs.child(&descriptor.digest)?
        };
        let Some(content) = content else {
            return Ok(None);
        };
        if depth > MAX_NESTING {
            bail_invalid!(
                "{} is nested more than {MAX_NESTING} indexes deep",
                content.origin()
            );
        }
        let described = descriptor.media_type.as_str();
        if !described.is_empty() && media_type::extension(described).is_none() {
            bail_invalid!(
                "{} has the media type `{}`, which is not that of a manifest",
                content.origin(),
                escaped(described)
            );
        }
        let bytes = self.read_json(&content)?;
        let manifest = Arc::new(read_manifest(bytes, &content, descriptor)?);
        let planned = match &manifest.kind {
            ManifestKind::Index(children) => {
                self.index(blobs, children, &manifest, rules, depth)?
            }
            _ => self.image(blobs, &manifest, rules)?,
        };
        self.manifests.push(planned);
        let id = self.manifests.len() - 1;
        self.kept_manifests.insert(descriptor.digest, id);
        Ok(Some(id))
    }

    /// Adds the foreign layers to serve although they have URLs.
    fn foreign(
        &mut self,
        blobs: &dyn Blobs,
        manifest: &Manifest,
        rules: &ImportOptions,
    ) -> anyhow::Result<Vec<(Digest, JobId)>> {
        let mut served = Vec::new();
        for layer in manifest.optional() {
            let digest = layer.digest;
            let is_wanted = rules.foreign || blobs.serves_foreign(&manifest.digest, &digest);
            match blobs.blob(&digest) {
                Ok(Some(content)) if is_wanted => {
                    let job = self.add_blob(content, digest, Some(layer.size), false);
                    served.push((digest, job));
                }
                Ok(Some(_)) => self.notes.push(NoteKind::Choice.note(format!(
                    "the foreign layer {digest} of {} is not taken: clients get it from its URLs; serve it too with \
                     `--include-foreign`",
                    self.origin
                ))),
                Ok(None) if rules.foreign => self.notes.push(NoteKind::Choice.note(format!(
                    "the foreign layer {digest} is not in {}: clients still get it from its URLs",
                    self.origin
                ))),
                Err(error) if is_wanted || !error::is_bad(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(served)
    }

    fn index(
        &mut self,
        blobs: &dyn Blobs,
        children: &[Descriptor],
        manifest: &Arc<Manifest>,
        rules: &ImportOptions,
        depth: usize,
    ) -> anyhow::Result<ManifestSource> {
        if children.iter().any(|child| child.media_type == BUILD_CACHE) {
            bail_invalid!("it is a build cache of BuildKit, not an image");
        }
        let (mut present, mut absent, faults) = (Vec::new(), Vec::new(), self.faults.len());
        for digest in &manifest.unsupported {
            let algorithm = digest.split(':').next().unwrap_or_default();
            let error = invalid_input(format!("`{algorithm}` is not supported"));
            let part = format!("the manifest {}", escaped(digest));
            self.leave_out_part(Part::Unsupported(part), error);
        }
        for child in wanted(children, &rules.platforms) {
            let count = self.manifests.len();
            match self.add_nested(blobs, child, rules, depth + 1) {
                Ok(Some(id)) => present.push(id),
                Ok(None) => absent.push(about_child(child)),
                Err(error) if error::concerns_one(&error) => {
                    self.forget(count);
                    self.leave_out_part(Part::Damaged(about_child(child)), error);
                }
                Err(error) => return Err(error),
            }
        }
        if present.is_empty() && self.faults.len() > faults {
            let first = self.faults.swap_remove(faults);
            self.faults.truncate(faults);
            return Err(first.error);
        }
        if present.is_empty() && !children.is_empty() {
            check_platforms(children, &rules.platforms)?;
            let digest = manifest.digest;
            bail_invalid!("{} has no image of the index {digest}", self.origin);
        }
        if !absent.is_empty() {
            let error = invalid_input(format!("{} does not have it", self.origin));
            self.leave_out_part(Part::Absent(absent.join(", ")), error);
        }
        let remade = present.iter().any(|id| {
            matches!(
                self.manifests[*id],
                ManifestSource::Kept { remade: true, .. }
            )
        });
        Ok(ManifestSource::Kept {
            manifest: Arc::clone(manifest),
            blobs: Vec::new(),
            foreign: Vec::new(),
            children: present,
            remade,
        })
    }

    /// Leaves out part of an index. [`Draft::add_one_of`] says what the index is.
    fn leave_out_part(&mut self, part: Part, error: anyhow::Error) {
        self.faults.push(Fault {
            called: Called::Names(Vec::new()),
            part,
            error,
        });
    }

    fn image(
        &mut self,
        blobs: &dyn Blobs,
        manifest: &Arc<Manifest>,
        rules: &ImportOptions,
    ) -> anyhow::Result<ManifestSource> {
        let mut ids: Vec<JobId> = Vec::new();
        let mut remade = false;
        for wanted in manifest.blobs() {
            let digest = wanted.digest;
            let Some(blob) = blobs.blob(&digest)? else {
                bail_invalid!(
                    "the blob {digest} of the manifest {} is missing in {}",
                    manifest.digest,
                    self.origin
                );
            };
            if blob.is_empty() && digest != Digest::of(b"") {
                bail_invalid!("{} is empty", blob.origin());
            }
            if wanted.kind.is_none() && manifest.is_image() {
                self.check_config(manifest, &blob)?;
            }
            // Some tools call a compressed layer plain.
            let is_plain = || Ok::<_, anyhow::Error>(Compression::of(&blob)? == Compression::Plain);
            if rules.compress
                && wanted.kind == Some(LayerKind::PlainTar)
                && manifest.is_image()
                && is_plain()?
            {
                remade = true;
                // The digest of a plain layer is its diff ID.
                // Docker's manifests have no zstd.
                let is_oci = manifest.media_type == OCI_MANIFEST;
                let packing = Some(rules.packing).filter(|_| is_oci).unwrap_or_default();
                ids.push(self.add_tar(blob, digest, packing));
            } else {
                let measure = rules.v1 && manifest.is_image() && wanted.kind.is_some();
                ids.push(self.add_blob(blob, digest, wanted.size, measure));
            }
        }
        Ok(ManifestSource::Kept {
            manifest: Arc::clone(manifest),
            blobs: ids,
            foreign: self.foreign(blobs, manifest, rules)?,
            children: Vec::new(),
            remade,
        })
    }

    /// Refuses an image whose config no client can read, or that lists other layers.
    fn check_config(&mut self, manifest: &Manifest, content: &Content) -> anyhow::Result<()> {
        let config = parse_config(&self.read_json(content)?)
            .map_err(|error| error.context(format!("cannot read {}", content.origin())))?;
        config.check_layers(manifest)
    }
}

fn about_child(child: &Descriptor) -> String {
    let platform = child.platform.as_ref();
    let platform = platform.map_or(String::new(), |platform| format!(" ({platform})"));
    format!("the manifest {}{platform}", child.digest)
}

/// The keys of a manifest below which keys are those of image-spec, in lower case.
const MANIFEST_KEYS: [&str; 5] = ["config", "layers", "manifests", "platform", "subject"];
/// The same of an image config and the JSON of a v1 image.
const CONFIG_KEYS: [&str; 4] = ["config", "container_config", "history", "rootfs"];

/// Parses an image config, or the JSON of a v1 image, and refuses what clients would not agree on.
pub fn parse_config(bytes: &[u8]) -> anyhow::Result<v1::Config> {
    check_keys(bytes, &CONFIG_KEYS)?;
    v1::Config::parse(bytes)
}

fn check_keys(bytes: &[u8], inside: &[&str]) -> anyhow::Result<()> {
    std::str::from_utf8(bytes).map_or(Ok(()), |text| json::check_keys(text, inside))
}

fn read_manifest(
    bytes: Arc<[u8]>,
    content: &Content,
    descriptor: &Descriptor,
) -> anyhow::Result<Manifest> {
    let manifest = check_keys(&bytes, &MANIFEST_KEYS)
        .and_then(|()| Manifest::parse(bytes, Some(&descriptor.media_type)))
        .map_err(|error| error.context(format!("cannot read {}", content.origin())))?;
    if manifest.digest != descriptor.digest {
        bail_invalid!(
            "{} has the digest {}, not {}",
            content.origin(),
            manifest.digest,
            descriptor.digest
        );
    }
    if !fits(manifest.media_type, &descriptor.media_type) {
        bail_invalid!(
            "{} has the media type `{}`, not `{}` as its descriptor says",
            content.origin(),
            manifest.media_type,
            descriptor.media_type
        );
    }
    if manifest.bytes.len() as u64 != descriptor.size {
        bail_invalid!(
            "{} has {} bytes, not {}",
            content.origin(),
            manifest.bytes.len(),
            descriptor.size
        );
    }
    Ok(manifest)
}

/// Whether a descriptor may describe a manifest as this. Schema 1 has no `mediaType` to contradict.
fn fits(media_type: &str, described: &str) -> bool {
    let is_schema1 = |text| matches!(text, DOCKER_SCHEMA1 | DOCKER_SCHEMA1_UNSIGNED);
    described.is_empty() || media_type == described || is_schema1(media_type)
}

/// Fails if an index has no image for any of the platforms.
fn check_platforms(children: &[Descriptor], platforms: &[Platform]) -> anyhow::Result<()> {
    if platforms.is_empty() || !wanted(children, platforms).is_empty() {
        return Ok(());
    }
    let list = |platforms: &[&Platform]| {
        let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let has = children.iter().filter_map(|child| child.platform.as_ref());
    let has: Vec<&Platform> = has.filter(|platform| !platform.is_unknown()).collect();
    let (asked, has) = (list(&platforms.iter().collect::<Vec<_>>()), list(&has));
    let message = format!("no image for {asked}; it has {has}");
    Err(anyhow::Error::new(NotSelected(message)))
}

/// The children of an index for the given platforms; all if there are none. Attestations of buildkit are
/// included with the child they describe.
fn wanted<'a>(children: &'a [Descriptor], platforms: &[Platform]) -> Vec<&'a Descriptor> {
    let fits = |child: &&Descriptor| match &child.platform {
        Some(platform) if !platform.is_unknown() => {
            platforms.iter().any(|wanted| wanted.covers(platform))
        }
        _ => child.annotation(REFERENCE).is_none(),
    };
    if platforms.is_empty() {
        return children.iter().collect();
    }
    let kept: Vec<&Descriptor> = children.iter().filter(fits).collect();
    let about = |child: &&Descriptor| {
        let about = child
            .annotation(REFERENCE)
            .and_then(|text| text.parse::<Digest>().ok());
        about.is_some_and(|about| kept.iter().any(|other| other.digest == about))
    };
    children
        .iter()
        .filter(|child| fits(child) || about(child))
        .collect()
}
