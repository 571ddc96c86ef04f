//! `docker-archive:` the format of `docker save` since Docker 1.10, which podman, buildah, crane and
//! skopeo write too.
//! ```text
//! manifest.json                [{"Config":..,"RepoTags":[..],"Layers":[..]}]
//! <hex>.json                   configs; crane: sha256:<hex>; Docker 25 and later: blobs/sha256/<hex>
//! <id>/layer.tar, <hex>.tar    layers, some of them links to others
//! index.json, blobs/sha256/    Docker 25 and later: an OCI layout of the same images
//! ```
//! Plain layers are compressed and a schema 2 manifest is made. If an archive of Docker 25 or later holds
//! compressed layers or several platforms, the manifests of its `index.json` are kept byte for byte instead.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;
use serde::Deserialize;

use crate::bail_invalid;
use crate::error::{WithHint as _, escaped, invalid_input};
use crate::import::draft::{
    Blobs as _, Called, ConfigSource, Draft, ImportOptions, JobId, ManifestId, ManifestSource,
    RootManifest, parse_config,
};
use crate::import::ingest::Work;
use crate::import::request::Request;
use crate::layer::Compression;
use crate::source::archive::Archive;
use crate::source::oci::Index;
use crate::source::oci_names::{self, NO_NAME, RENAME};
use crate::source::{Format, Input};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_LAYERS, Manifest, ManifestKind};
use crate::spec::media_type::{self, LayerKind};
use crate::spec::name::{Reference, Tag};

pub const FORMAT: Format = Format {
    prefix: "docker-archive",
    about: "an archive of `docker save` (any version), podman, buildah, crane or skopeo",
    reads: Input::Archive { detect, load },
    has_folders: false,
};

fn detect(archive: &Archive) -> bool {
    archive.has("manifest.json")
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let entries: Vec<Entry> = archive
        .json("manifest.json")?
        .context("`manifest.json` is missing")?;
    let mut draft = Draft::new(archive.origin());
    let named = entries.iter().flat_map(Entry::names);
    let by_digest = named.filter_map(|name| name.rsplit_once('@')?.1.parse().ok());
    let by_index = add_by_index(&mut draft, archive, &by_digest.collect(), request)?;
    let has_names = entries.iter().any(|entry| entry.names().next().is_some());
    let mut layers = HashMap::new();
    for entry in &entries {
        draft.add_one_of(request, entry.called(request), |draft| {
            entry.add_to(draft, archive, &by_index, has_names, &mut layers, request)
        })?;
    }
    Ok(vec![draft])
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// Layer jobs by member name and the diff ID that the config gives.
type Layers = HashMap<(String, Digest), JobId>;

impl Entry {
    fn names(&self) -> impl Iterator<Item = &String> {
        self.repo_tags
            .iter()
            .flatten()
            .filter(|name| *name != NO_NAME)
    }

    /// What messages call the image: its requested names, if it has any.
    fn called(&self, request: &Request<'_>) -> Called {
        let is_wanted = |name: &&String| match request.reference(name) {
            Ok(Some(reference)) => takes(request, &reference, name),
            Ok(None) => false,
            Err(_) => true,
        };
        let names = self.names().filter(is_wanted);
        let names: Vec<String> = names.map(|name| request.called(name)).collect();
        if names.is_empty() {
            return Called::Nameless(self.about());
        }
        Called::Names(names)
    }

    fn about(&self) -> String {
        format!("the image `{}`", escaped(&self.config))
    }

    fn add_to(
        &self,
        draft: &mut Draft,
        archive: &Archive,
        by_index: &Imported,
        has_names: bool,
        layers: &mut Layers,
        request: &Request<'_>,
    ) -> anyhow::Result<()> {
        // A digest names a manifest of `index.json`; one that is made has another.
        let is_name = |name: &&String| {
            !name.contains('@') && (!request.is_renamed() || request.reference(name).is_ok())
        };
        let names: Vec<(Option<Reference>, &String)> = self
            .names()
            .filter(is_name)
            .map(|name| {
                let reference = request.reference(name);
                let about = || {
                    format!(
                        "`manifest.json` of {} has the name `{}`",
                        archive.origin(),
                        escaped(name)
                    )
                };
                let reference = reference.with_context(about).hint(RENAME)?;
                Ok((reference, name))
            })
            .collect::<anyhow::Result<_>>()?;
        let wanted: Vec<(&Reference, &String)> = names
            .iter()
            .filter_map(|(reference, name)| Some((reference.as_ref()?, *name)))
            .filter(|(reference, name)| takes(request, reference, name))
            .filter(|(reference, _)| !by_index.names.contains(&key(reference)))
            .collect();
        let digest = digest_in(&self.config);
        let is_passed_over = if names.is_empty() {
            digest.is_some_and(|digest| by_index.configs.contains(&digest))
                || !request.takes(None, None, None, None)
        } else {
            wanted.is_empty()
        };
        if is_passed_over {
            return Ok(());
        }
        if has_names && self.names().next().is_none() {
            draft.leave_out_nameless(&self.about());
            return Ok(());
        }
        let config = archive.required(&self.config)?;
        let diff_ids = parse_config(&draft.read_json(&config)?)
            .and_then(|config| config.diff_ids.ok_or_else(no_rootfs))
            .map_err(|error| error.context(format!("cannot read {}", config.origin())))?;
        let members = self.layers.as_deref().unwrap_or_default();
        if diff_ids.len() != members.len() {
            bail_invalid!(
                "`manifest.json` of {} lists {} layers, but there are {} diff IDs in {}",
                archive.origin(),
                members.len(),
                diff_ids.len(),
                config.origin()
            );
        }
        if members.len() > MAX_LAYERS {
            bail_invalid!("{} has more than {MAX_LAYERS} layers", config.origin());
        }
        let mut jobs = Vec::new();
        for (member, diff_id) in members.iter().zip(&diff_ids) {
            let key = (member.clone(), *diff_id);
            let job = match layers.get(&key) {
                Some(job) => *job,
                None => add_layer(draft, archive, member, Some(*diff_id), request.rules)?,
            };
            layers.insert(key, job);
            jobs.push(job);
        }
        let config = match digest {
            Some(digest) => draft.add_blob(config, digest, None, false),
            None => draft.add_job(config, Work::Verbatim { diff_id: false }),
        };
        draft.manifests.push(ManifestSource::Made {
            config: ConfigSource::Kept(config, diff_ids),
            layers: jobs,
        });
        let manifest = draft.manifests.len() - 1;
        let nameless = RootManifest {
            repository: None,
            tag: None,
            manifest,
            v1: None,
            called: self.about(),
        };
        if names.is_empty() {
            draft.roots.push(nameless);
        } else {
            draft.roots.extend(
                wanted
                    .into_iter()
                    .map(|(reference, name)| named(reference, name, manifest)),
            );
        }
        Ok(())
    }
}

fn no_rootfs() -> anyhow::Error {
    invalid_input("not an image config: `rootfs` is missing")
}

fn takes(request: &Request<'_>, reference: &Reference, name: &str) -> bool {
    let latest = Tag::latest();
    let tag = reference.tag.as_ref().unwrap_or(&latest);
    request.takes(Some(name), Some(&reference.repository), Some(tag), None)
}

fn named(reference: &Reference, name: &str, manifest: ManifestId) -> RootManifest {
    let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
    let called = format!("`{}`", escaped(name));
    RootManifest {
        repository: Some(reference.repository.clone()),
        tag: Some(tag),
        manifest,
        v1: None,
        called,
    }
}

/// Adds a layer: gzip and zstd are kept byte for byte, anything else is compressed.
pub(super) fn add_layer(
    draft: &mut Draft,
    archive: &Archive,
    member: &str,
    claimed: Option<Digest>,
    rules: &ImportOptions,
) -> anyhow::Result<JobId> {
    let content = archive.required(member)?;
    let ready = archive.ready(member)?;
    let work = match Compression::of(&content)? {
        Compression::Gzip | Compression::Zstd => Work::Verbatim {
            diff_id: rules.v1 || claimed.is_none(),
        },
        _ => Work::Compress {
            claimed,
            packing: rules.packing,
        },
    };
    let job = draft.add_job(content, work);
    draft.jobs[job].ready = ready;
    Ok(job)
}

/// The digest in the file name of a config, if there is one.
fn digest_in(name: &str) -> Option<Digest> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let hex = file.strip_suffix(".json").unwrap_or(file);
    Digest::from_hex(hex.strip_prefix("sha256:").unwrap_or(hex)).ok()
}

fn key(reference: &Reference) -> String {
    let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
    format!("{}:{tag}", reference.repository)
}

/// The images that were added from `index.json`.
#[derive(Default)]
struct Imported {
    names: BTreeSet<String>,
    configs: BTreeSet<Digest>,
}

fn add_by_index(
    draft: &mut Draft,
    archive: &Archive,
    by_digest: &BTreeSet<Digest>,
    request: &Request<'_>,
) -> anyhow::Result<Imported> {
    let rules = request.rules;
    let mut taken = Imported::default();
    if !archive.has("index.json") || !archive.has("oci-layout") {
        return Ok(taken);
    }
    let mut index = Index::parse(&archive.required("index.json")?)?;
    let mut kept = Vec::new();
    for descriptor in std::mem::take(&mut index.entries.manifests) {
        let is_wanted = match oci_names::root(&descriptor, 0, request) {
            Ok(Some(root)) => {
                let attached = root.tag.as_ref().map(|tag| tag.attached_to().is_some());
                attached.unwrap_or(true) || oci_names::takes(request, &descriptor, &root)
            }
            Ok(None) => false,
            // `Index::add_to` decides.
            Err(_) => true,
        };
        // What is named by its digest has to keep it.
        let is_named_by_digest = by_digest.contains(&descriptor.digest);
        if is_wanted
            && (rules.keep_manifests
                || is_named_by_digest
                || is_better_by_index(draft, archive, &descriptor)?)
        {
            kept.push(descriptor);
        }
    }
    index.entries.manifests = kept;
    let rules = ImportOptions {
        compress: !rules.keep_manifests,
        ..rules.clone()
    };
    let request = Request {
        rules: &rules,
        ..request.clone()
    };
    index.add_to(draft, archive, &request)?;
    for descriptor in &index.entries.manifests {
        if let Ok(Some(root)) = oci_names::root(descriptor, 0, &request)
            && let (Some(repository), Some(tag)) = (root.repository, root.tag)
        {
            taken.names.insert(format!("{repository}:{tag}"));
        }
    }
    for planned in &draft.manifests {
        if let ManifestSource::Kept { manifest, .. } = planned
            && let ManifestKind::Image { config, .. } = &manifest.kind
        {
            taken.configs.insert(config.digest);
        }
    }
    Ok(taken)
}

/// Whether an entry of `index.json` holds more than `manifest.json` can say: an index, an artifact, or
/// compressed layers.
fn is_better_by_index(
    draft: &mut Draft,
    archive: &Archive,
    descriptor: &Descriptor,
) -> anyhow::Result<bool> {
    let Some(content) = archive.blob(&descriptor.digest)? else {
        return Ok(false);
    };
    let manifest = Manifest::parse(draft.read_json(&content)?, Some(&descriptor.media_type))
        .with_context(|| format!("cannot read {}", content.origin()))?;
    Ok(match &manifest.kind {
        ManifestKind::Image { layers, .. } => {
            let plain = |layer: &Descriptor| {
                media_type::layer_kind(&layer.media_type) == LayerKind::PlainTar
            };
            !manifest.is_image() || !layers.iter().all(plain)
        }
        _ => true,
    })
}
