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

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::bail_invalid;
use crate::error::{WithHint as _, escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{
    Called, ConfigSource, Draft, ImportOptions, JobId, ManifestId, ManifestSource, RootManifest,
    parse_config,
};
use crate::import::ingest::Work;
use crate::import::request::Request;
use crate::layer::Compression;
use crate::note::NoteKind;
use crate::source::archive::Archive;
use crate::source::docker_index::{Imported, add_by_index};
use crate::source::oci_names::{NO_NAME, RENAME};
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;
use crate::spec::go_json;
use crate::spec::manifest::{MAX_JSON, MAX_LAYERS};
use crate::spec::name::{Reference, Tag};
use crate::spec::v1::V1Id;

pub const FORMAT: Format = Format {
    prefix: "docker-archive",
    about: "an archive of `docker save` (any version), podman, buildah, crane or skopeo",
    reads: Input::Archive { fit, load },
    has_folders: false,
};

pub const UNPACKED: Format = Format {
    reads: Input::Folder {
        fit: fit_unpacked,
        load: |folder, request| load(&Archive::unpacked(folder)?, request),
    },
    ..FORMAT
};

const MANIFEST: &str = "manifest.json";
/// In bytes.
const MAX_MANIFEST: u64 = 2 * MAX_JSON;

fn fit(archive: &Archive) -> Fit {
    let has_manifest = archive.has(MANIFEST);
    Fit::by(has_manifest, MANIFEST, has_manifest)
}

/// Unlike that of a `dir:` folder, its `manifest.json` is a list.
fn fit_unpacked(folder: &Path) -> anyhow::Result<Fit> {
    let Some((file, _)) = fsx::open_regular(&folder.join(MANIFEST))? else {
        return Ok(Fit::by(false, MANIFEST, false));
    };
    let mut json = Vec::new();
    let _ = file.take(MAX_MANIFEST).read_to_end(&mut json);
    // Other programs have files of this name too.
    let entries: anyhow::Result<Vec<Entry>> = go_json::parse(&json);
    let has_images = entries.is_ok_and(|entries| !entries.is_empty());
    if has_images || has_v1_image(folder)? {
        return Ok(Fit::Detected);
    }
    Ok(if json.trim_ascii_start().starts_with(b"[") {
        Fit::WithPrefix
    } else {
        Fit::No(format!("its `{MANIFEST}` is not a list of images"))
    })
}

/// Whether a folder has a v1 image as `docker save` writes it.
pub(super) fn has_v1_image(folder: &Path) -> anyhow::Result<bool> {
    for name in fsx::folders(folder)? {
        let id: Result<V1Id, _> = name.parse();
        let has = |file| fsx::meta(&folder.join(&name).join(file)).map(|meta| meta.is_some());
        if id.is_ok() && has("json")? && has("layer.tar")? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let entries: Vec<Entry> = archive
        .json(MANIFEST)?
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
            .filter(|name| *name != NO_NAME && !name.is_empty())
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
            digest.is_some_and(|digest| by_index.configs.contains_key(&digest))
                || !request.takes(None, None, None, None)
        } else {
            wanted.is_empty()
        };
        if is_passed_over {
            return Ok(());
        }
        // Another name of an image that `index.json` has: there is one manifest, not two.
        if let Some(known) = digest.and_then(|digest| by_index.configs.get(&digest)) {
            let roots = wanted.into_iter();
            let roots = roots.map(|(reference, name)| named(reference, name, *known));
            draft.roots.extend(roots);
            return Ok(());
        }
        if has_names && self.names().next().is_none() {
            draft.leave_out_nameless(&self.about());
            return Ok(());
        }
        let config = archive.required(&self.config)?;
        let json = draft.read_json(&config)?;
        let diff_ids = parse_config(&json)
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
        let jobs = self.add_layers(draft, archive, &diff_ids, layers, request.rules)?;
        let actual = Digest::of(&json);
        let digest = match digest {
            Some(claimed) if self.config.contains("blobs/sha256/") => claimed,
            // A name of a file says less than an address of content.
            Some(claimed) if claimed != actual => {
                draft.notes.push(NoteKind::Choice.note(format!(
                    "{} is not named after its digest {actual}",
                    config.origin()
                )));
                actual
            }
            _ => actual,
        };
        let config = draft.add_blob(config, digest, None, false);
        draft.manifests.push(ManifestSource::Made {
            config: ConfigSource::Kept(config, diff_ids),
            layers: jobs,
        });
        let manifest = draft.manifests.len() - 1;
        let nameless = RootManifest::nameless(manifest, self.about());
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

    fn add_layers(
        &self,
        draft: &mut Draft,
        archive: &Archive,
        diff_ids: &[Digest],
        known: &mut Layers,
        rules: &ImportOptions,
    ) -> anyhow::Result<Vec<JobId>> {
        let mut jobs = Vec::new();
        for (member, diff_id) in self.layers.iter().flatten().zip(diff_ids) {
            let key = (member.clone(), *diff_id);
            let job = match known.get(&key) {
                Some(job) => *job,
                None => add_layer(draft, archive, member, Some(*diff_id), rules)?,
            };
            known.insert(key, job);
            jobs.push(job);
        }
        Ok(jobs)
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
        ..RootManifest::nameless(manifest, called)
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
