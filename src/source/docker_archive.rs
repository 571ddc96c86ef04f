//! `docker-archive:` what `docker save` writes since Docker 1.10, and podman, buildah, crane and
//! skopeo write likewise.
//! ```text
//! manifest.json                [{"Config":..,"RepoTags":[..],"Layers":[..]}]
//! <hex>.json                   configs; crane: sha256:<hex>; Docker 25 and later: blobs/sha256/<hex>
//! <id>/layer.tar, <hex>.tar    layers, some of them links to others
//! index.json, blobs/sha256/    Docker 25 and later: an OCI layout of the same images
//! ```
//! Plain layers are compressed and get a manifest made. Where an archive of Docker 25 and later
//! holds compressed layers or several platforms, its index is taken instead, byte for byte.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;
use serde::Deserialize;

use crate::bail_bad;
use crate::draft::{Blobs as _, Config, Draft, JobId, ManifestId, Planned, Root, Rules, naming};
use crate::error::shown;
use crate::ingest::Work;
use crate::layer::Packing;
use crate::source::archive::Archive;
use crate::source::oci::{self, Index};
use crate::source::{Format, Opened};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Body, MAX_LAYERS, Manifest};
use crate::spec::media_type::{self, LayerKind};
use crate::spec::name::{Reference, Tag};
use crate::spec::v1;

/// An archive with a `manifest.json`.
#[derive(Debug)]
pub struct DockerArchive;

impl Format for DockerArchive {
    fn prefix(&self) -> &'static str {
        "docker-archive"
    }

    fn about(&self) -> &'static str {
        "what `docker save` writes, of every era, and podman, buildah, crane, skopeo"
    }

    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        Ok(opened
            .archive()
            .is_some_and(|archive| archive.has("manifest.json")))
    }

    fn load(
        &self,
        opened: &Opened,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<Vec<Draft>> {
        let archive = opened.archive().context("it is no archive")?;
        let entries: Vec<Entry> = archive
            .json("manifest.json")?
            .context("`manifest.json` is missing")?;
        let mut draft = Draft::new(archive.origin());
        let by_index = add_by_index(&mut draft, archive, rules)?;
        let mut layers = HashMap::new();
        for entry in &entries {
            entry.add_to(&mut draft, archive, &by_index, &mut layers, rules)?;
        }
        if let Some(name) = selected {
            naming::select_one(&mut draft, name, rules)?;
        }
        Ok(vec![draft])
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// Jobs of layers by the member and the diff ID that it must have.
type Layers = HashMap<(String, Digest), JobId>;

impl Entry {
    fn add_to(
        &self,
        draft: &mut Draft,
        archive: &Archive,
        by_index: &Taken,
        layers: &mut Layers,
        rules: &Rules,
    ) -> anyhow::Result<()> {
        let names: Vec<(Reference, &String)> = self
            .repo_tags
            .iter()
            .flatten()
            .map(|name| {
                let reference = rules.reference(name);
                let about = || {
                    format!(
                        "`manifest.json` of {} has the name `{}`",
                        archive.origin(),
                        shown(name)
                    )
                };
                Ok((reference.with_context(about)?, name))
            })
            .collect::<anyhow::Result<_>>()?;
        let wanted: Vec<_> = names
            .iter()
            .filter(|(reference, _)| !by_index.names.contains(&key(reference)))
            .collect();
        let config = archive.required(&self.config)?;
        let digest = digest_in(&self.config);
        let all_taken = if names.is_empty() {
            digest.is_some_and(|digest| by_index.configs.contains(&digest))
        } else {
            wanted.is_empty()
        };
        if all_taken {
            return Ok(());
        }
        let diff_ids = v1::Config::parse(&draft.read_json(&config)?)
            .map_err(|error| error.context(format!("cannot read {}", config.origin())))?
            .diff_ids;
        let members = self.layers.as_deref().unwrap_or_default();
        if diff_ids.len() != members.len() {
            bail_bad!(
                "`manifest.json` of {} gives {} layers for {} diff IDs in {}",
                archive.origin(),
                members.len(),
                diff_ids.len(),
                config.origin()
            );
        }
        if members.len() > MAX_LAYERS {
            bail_bad!("{} has more than {MAX_LAYERS} layers", config.origin());
        }
        let mut jobs = Vec::new();
        for (member, diff_id) in members.iter().zip(&diff_ids) {
            let key = (member.clone(), *diff_id);
            let job = match layers.get(&key) {
                Some(job) => *job,
                None => add_layer(draft, archive, member, Some(*diff_id), rules)?,
            };
            layers.insert(key, job);
            jobs.push(job);
        }
        let called = format!("the image `{}`", shown(&self.config));
        let config = match digest {
            Some(digest) => draft.add_blob(config, digest, None, false),
            None => draft.add_job(config, Work::Keep { diff_id: false }),
        };
        draft.manifests.push(Planned::Made {
            config: Config::Kept(config, diff_ids),
            layers: jobs,
        });
        let manifest = draft.manifests.len() - 1;
        let nameless = Root {
            repository: None,
            tag: None,
            manifest,
            v1: None,
            called,
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

fn named(reference: &Reference, name: &str, manifest: ManifestId) -> Root {
    let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
    let called = format!("`{}`", shown(name));
    Root {
        repository: Some(reference.repository.clone()),
        tag: Some(tag),
        manifest,
        v1: None,
        called,
    }
}

/// Adds a layer: a plain one to compress, a compressed one to keep.
pub(super) fn add_layer(
    draft: &mut Draft,
    archive: &Archive,
    member: &str,
    claimed: Option<Digest>,
    rules: &Rules,
) -> anyhow::Result<JobId> {
    let content = archive.required(member)?;
    let ready = archive.ready(member)?;
    let work = match Packing::of(&content)? {
        Packing::Gzip | Packing::Zstd => Work::Keep {
            diff_id: rules.v1 || claimed.is_none(),
        },
        _ => Work::Gzip { claimed },
    };
    let job = draft.add_job(content, work);
    draft.jobs[job].ready = ready;
    Ok(job)
}

/// The digest that the name of a config gives.
fn digest_in(name: &str) -> Option<Digest> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let hex = file.strip_suffix(".json").unwrap_or(file);
    Digest::from_hex(hex.strip_prefix("sha256:").unwrap_or(hex)).ok()
}

fn key(reference: &Reference) -> String {
    let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
    format!("{}:{tag}", reference.repository)
}

/// The images that were taken by the index.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    configs: BTreeSet<Digest>,
}

fn add_by_index(draft: &mut Draft, archive: &Archive, rules: &Rules) -> anyhow::Result<Taken> {
    let mut taken = Taken::default();
    if !archive.has("index.json") || !archive.has("oci-layout") {
        return Ok(taken);
    }
    let mut index = Index::parse(&archive.required("index.json")?)?;
    let mut kept = Vec::new();
    for descriptor in index.manifests {
        if rules.keep_manifests || is_better_by_index(draft, archive, &descriptor)? {
            kept.push(descriptor);
        }
    }
    index.manifests = kept;
    index.add_to(
        draft,
        archive,
        None,
        &Rules {
            compress: !rules.keep_manifests,
            ..rules.clone()
        },
    )?;
    for descriptor in &index.manifests {
        let root = oci::root(descriptor, 0, rules)?;
        if let (Some(repository), Some(tag)) = (root.repository, root.tag) {
            taken.names.insert(format!("{repository}:{tag}"));
        }
    }
    for planned in &draft.manifests {
        if let Planned::Kept { manifest, .. } = planned
            && let Body::Image { config, .. } = &manifest.body
        {
            taken.configs.insert(config.digest);
        }
    }
    Ok(taken)
}

/// Whether an entry of the index says more than `manifest.json` does: it is an index, an artifact,
/// or has compressed layers.
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
    Ok(match &manifest.body {
        Body::Image { layers, .. } => {
            let plain = |layer: &Descriptor| {
                media_type::layer_kind(&layer.media_type) == LayerKind::PlainTar
            };
            !manifest.is_image() || !layers.iter().all(plain)
        }
        _ => true,
    })
}
