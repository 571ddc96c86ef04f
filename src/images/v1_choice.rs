//! Which image of an index clients get that know no index.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::images::Images;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};

/// The image of an index for v1 clients, and for archives without an index: the one for the wanted platform, otherwise the one for
/// linux/amd64, otherwise the first one.
pub(crate) fn choose(
    images: &Images,
    digest: &Digest,
    wanted: Option<&Platform>,
) -> anyhow::Result<Option<Arc<Manifest>>> {
    let mut leaves = Vec::new();
    collect_images(images, digest, &mut BTreeSet::new(), &mut leaves);
    let usual = Platform {
        os: "linux".into(),
        architecture: "amd64".into(),
        variant: None,
    };
    for wanted in wanted.into_iter().chain([&usual]) {
        for manifest in leaves.iter().filter(|_| leaves.len() > 1) {
            if let ManifestKind::Image {
                config: Some(config),
                ..
            } = &manifest.kind
                && !images.damage.has(&config.digest)
                && wanted.covers(&images.config(&config.digest)?.1.platform)
            {
                return Ok(Some(manifest.clone()));
            }
        }
    }
    Ok(leaves.into_iter().next())
}

fn collect_images(
    images: &Images,
    digest: &Digest,
    seen: &mut BTreeSet<Digest>,
    leaves: &mut Vec<Arc<Manifest>>,
) {
    let Some(manifest) = images
        .manifests
        .get(digest)
        .filter(|_| seen.insert(*digest))
    else {
        return;
    };
    if manifest.is_image() {
        leaves.push(manifest.clone());
    }
    for child in manifest.children() {
        if child
            .platform
            .as_ref()
            .is_none_or(|platform| !platform.is_unknown())
        {
            collect_images(images, &child.digest, seen, leaves);
        }
    }
}
