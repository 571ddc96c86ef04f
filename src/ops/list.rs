//! `list`: what a site serves.

use std::path::Path;

use serde::Serialize;

use crate::images::Images;
use crate::ops::changes::{Named, named};
use crate::ops::view::View;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};

#[derive(Debug, Serialize)]
pub struct ListedReference {
    #[serde(flatten)]
    pub name: Named,
    pub media_type: &'static str,
    /// The platform of an image; for an index, the platforms of the children that the site has.
    pub platforms: Vec<String>,
    /// The size in bytes of the manifest and everything that it points to.
    pub size: u64,
    /// The artifact type, if it is not an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// What it lacks, if the site is damaged: a path relative to the site, and what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// Lists the references of a site. Children of an index are not listed.
pub fn list(root: &Path) -> anyhow::Result<Vec<ListedReference>> {
    let View { images, v1, .. } = View::load(root)?;
    let mut listed = Vec::new();
    for (repository, repo) in &images.repositories {
        for (tag, digest) in &repo.tags {
            let top = v1
                .tags
                .get(repository)
                .and_then(|tags| tags.get(tag))
                .map(ToString::to_string);
            let name = Named {
                v1_id: top,
                ..named(repository, Some(tag), *digest)
            };
            listed.push(row(&images, name)?);
        }
        for digest in images.untagged(repo) {
            listed.push(row(&images, named(repository, None, digest))?);
        }
    }
    Ok(listed)
}

fn row(images: &Images, name: Named) -> anyhow::Result<ListedReference> {
    let manifest = &images.manifests[&name.digest];
    let entry = &images.repositories[&name.repository].manifests[&name.digest];
    let mut platforms = Vec::new();
    let mut size = entry.size;
    measure(images, manifest, &mut platforms, &mut size)?;
    let lost = images.damage_of(&name.repository, &name.digest);
    Ok(ListedReference {
        damage: lost
            .first()
            .map(|lost| format!("{}: {}", lost.path, lost.reason)),
        name,
        media_type: manifest.media_type,
        platforms,
        size,
        artifact_type: manifest
            .artifact_type
            .clone()
            .filter(|_| !manifest.is_image()),
        subject: manifest.subject,
    })
}

fn measure(
    images: &Images,
    manifest: &Manifest,
    platforms: &mut Vec<String>,
    size: &mut u64,
) -> anyhow::Result<()> {
    *size += manifest
        .blobs()
        .iter()
        .filter_map(|blob| images.blobs.get(&blob.digest))
        .map(|blob| blob.size)
        .sum::<u64>();
    if let ManifestKind::Image { config, .. } = &manifest.kind
        && manifest.is_image()
        && !images.damage.has(&config.digest)
    {
        platforms.push(images.config(&config.digest)?.1.platform.to_string());
    }
    manifest
        .children()
        .iter()
        .filter_map(|child| images.manifests.get(&child.digest))
        .try_for_each(|child| {
            *size += child.bytes.len() as u64;
            measure(images, child, platforms, size)
        })
}
