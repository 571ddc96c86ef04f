//! The OCI layout that Docker 25 and later save beside `manifest.json`, as do containerd and hauler.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::import::draft::{Blobs as _, Draft, ImportOptions, ManifestId, ManifestSource};
use crate::import::request::Request;
use crate::layer::Compression;
use crate::note::NoteKind;
use crate::source::archive::Archive;
use crate::source::oci_archive::Layout;
use crate::source::oci_names;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::media_type::{self, DOCKER_MANIFEST, LayerKind};

/// The images that were added from `index.json`.
#[derive(Default)]
pub(super) struct Imported {
    pub(super) names: BTreeSet<String>,
    /// The configs of its images, each with what was added: the image, or the index that it belongs to.
    pub(super) configs: BTreeMap<Digest, ManifestId>,
}

/// Adds the images of `index.json` that `manifest.json` cannot say as much of, and those that are named by a digest.
pub(super) fn add_by_index(
    draft: &mut Draft,
    archive: &Archive,
    by_digest: &BTreeSet<Digest>,
    request: &Request<'_>,
) -> anyhow::Result<Imported> {
    let rules = request.rules;
    let mut taken = Imported::default();
    let root = Layout::at_root(archive);
    if !root.exists() {
        return Ok(taken);
    }
    let mut index = root.index()?;
    let keeps_all = rules.keep_manifests || index.is_exported();
    let (mut kept, mut changed) = (Vec::new(), 0);
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
            && (keeps_all || is_named_by_digest || is_better_by_index(draft, &root, &descriptor)?)
        {
            kept.push(descriptor);
        } else if is_wanted {
            changed += usize::from(descriptor.media_type == DOCKER_MANIFEST);
        }
    }
    index.entries.manifests = kept;
    // Up to Docker 28, what `docker save` writes as a manifest was made for the archive; the containerd store of
    // Docker 29 has it.
    if changed > 0 {
        draft.notes.push(NoteKind::Choice.note(format!(
            "{changed} {} of {} get other digests than there, since plain layers are compressed; \
             `--keep-manifests` keeps them",
            if changed == 1 {
                "reference"
            } else {
                "references"
            },
            archive.origin()
        )));
    }
    let rules = ImportOptions {
        compress: !keeps_all,
        ..rules.clone()
    };
    let request = Request {
        rules: &rules,
        ..request.clone()
    };
    index.add_to(draft, &root, &request)?;
    for descriptor in &index.entries.manifests {
        if let Ok(Some(root)) = oci_names::root(descriptor, 0, &request)
            && let (Some(repository), Some(tag)) = (root.repository, root.tag)
        {
            taken.names.insert(format!("{repository}:{tag}"));
        }
    }
    for root in &draft.roots {
        for id in draft.members(root) {
            if let ManifestSource::Kept { manifest, .. } = &draft.manifests[id]
                && let ManifestKind::Image {
                    config: Some(config),
                    ..
                } = &manifest.kind
            {
                taken.configs.entry(config.digest).or_insert(root.manifest);
            }
        }
    }
    Ok(taken)
}

/// Whether an entry of `index.json` holds more than `manifest.json` can say: an index, an artifact, or
/// compressed layers.
fn is_better_by_index(
    draft: &mut Draft,
    root: &Layout<'_>,
    descriptor: &Descriptor,
) -> anyhow::Result<bool> {
    let Some(content) = root.blob(&descriptor.digest)? else {
        return Ok(false);
    };
    let manifest = Manifest::parse(draft.read_json(&content)?, Some(&descriptor.media_type))
        .with_context(|| format!("cannot read {}", content.origin()))?;
    let ManifestKind::Image { layers, .. } = &manifest.kind else {
        return Ok(true);
    };
    if !manifest.is_image() {
        return Ok(true);
    }
    for layer in layers {
        let is_plain = media_type::layer_kind(&layer.media_type) == LayerKind::PlainTar;
        // Some tools call a compressed layer plain.
        let content = root.blob(&layer.digest)?.filter(|_| is_plain);
        let compression = content.map(|content| Compression::of(&content)).transpose();
        if !is_plain || compression?.is_some_and(|it| it != Compression::Plain) {
            return Ok(true);
        }
    }
    Ok(false)
}
