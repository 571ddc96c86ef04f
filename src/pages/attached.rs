//! Signatures, SBOMs and other attachments of an image.

use std::collections::{BTreeMap, BTreeSet};

use crate::images::Images;
use crate::site_files::catalogue::Repo;
use crate::site_files::signature_path;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::name::{Repository, Tag};

#[derive(Debug)]
pub(super) struct Attached {
    pub(super) label: String,
    /// Relative to the root of the site.
    pub(super) path: String,
}

/// The attachments of the images of a repository.
pub(super) struct Attachments<'a> {
    images: &'a Images,
    name: &'a Repository,
    repo: &'a Repo,
    referrers: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl<'a> Attachments<'a> {
    pub(super) fn new(images: &'a Images, name: &'a Repository, repo: &'a Repo) -> Self {
        let referrers = images.referrers(repo);
        Self {
            images,
            name,
            repo,
            referrers,
        }
    }

    /// Those of an image, and of the images of an index.
    pub(super) fn of(&self, digest: &Digest) -> Vec<Attached> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for manifest in self.images.with_children(digest) {
            let digest = manifest.digest;
            if let Some(entry) = self.repo.manifests.get(&digest) {
                found.extend((1..=entry.signatures.len()).map(|number| Attached {
                    label: "GPG signature".into(),
                    path: signature_path(self.name.as_str(), &digest, number),
                }));
            }
            let by_cosign = ["sig", "att", "sbom"].iter();
            let by_cosign = by_cosign.filter_map(|kind| {
                let to = self.repo.tags.get(&Tag::attaching(&digest, kind))?;
                Some((*to, Some(*kind)))
            });
            let referrers = self.referrers.get(&digest).into_iter().flatten();
            let attestations = manifest
                .children()
                .iter()
                .filter(|child| is_attestation(child));
            let attestations = attestations.map(|child| child.digest);
            let others = referrers
                .copied()
                .chain(attestations)
                .map(|digest| (digest, None));
            for (attached, kind) in by_cosign.chain(others) {
                if self.repo.manifests.contains_key(&attached) && seen.insert(attached) {
                    let mut attached = self::attached(self.name, &self.images.manifests[&attached]);
                    match kind {
                        Some("sig") => attached.label = "signature".into(),
                        Some("sbom") => attached.label = "SBOM".into(),
                        _ => {}
                    }
                    found.push(attached);
                }
            }
        }
        found
    }
}

/// An attached manifest of a repository.
fn attached(name: &Repository, manifest: &Manifest) -> Attached {
    Attached {
        label: label(manifest),
        path: format!("v2/{name}/manifests/{}", manifest.digest),
    }
}

/// Whether the child of an index is an attestation as `BuildKit` makes them.
pub(super) fn is_attestation(child: &Descriptor) -> bool {
    child.annotation("vnd.docker.reference.type") == Some("attestation-manifest")
}

/// The annotations of a layer that say what an in-toto statement is about, of `BuildKit` and of cosign.
const PREDICATE_TYPE: [&str; 2] = ["in-toto.io/predicate-type", "predicateType"];

/// What an attached manifest is, by its artifact type and the statements in it.
fn label(manifest: &Manifest) -> String {
    let layers: &[Descriptor] = match &manifest.kind {
        ManifestKind::Image { layers, .. } => layers,
        _ => &[],
    };
    let statements = layers.iter().flat_map(|layer| {
        let said = PREDICATE_TYPE
            .iter()
            .filter_map(|key| layer.annotation(key));
        said.chain([&*layer.media_type])
    });
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or_default();
    let types: Vec<&str> = statements.chain([artifact_type]).collect();
    let has = |part: &&str| types.iter().any(|text| text.to_lowercase().contains(part));
    let of = |parts: &[&str]| parts.iter().any(has);
    let kinds: [(&[&str], &str); 4] = [
        (&["spdx", "cyclonedx", "syft"], "SBOM"),
        (&["slsa", "provenance"], "provenance"),
        (&["cosign", "sigstore", "notary", "signature"], "signature"),
        (&["in-toto", "dsse"], "attestation"),
    ];
    // BuildKit keeps several statements in one manifest.
    let found: Vec<&str> = kinds
        .iter()
        .filter(|(parts, _)| of(parts))
        .map(|(_, label)| *label)
        .collect();
    match found[..] {
        ["SBOM", "provenance", ..] => "SBOM, provenance".into(),
        [first, ..] => first.into(),
        [] if artifact_type.is_empty() => "attachment".into(),
        [] => artifact_type.into(),
    }
}
