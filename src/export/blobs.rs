//! The content of images below `blobs/sha256/`, each once.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::export::Export;
use crate::export::out::Out;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Blob, Manifest};

pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

pub(super) fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes the manifests, then their configs, then their layers.
pub(super) fn write(
    export: &Export,
    manifests: &[Arc<Manifest>],
    out: &mut dyn Out,
) -> anyhow::Result<()> {
    for folder in ["blobs", "blobs/sha256"] {
        out.folder(folder)?;
    }
    let mut written = BTreeSet::new();
    for manifest in manifests {
        if written.insert(manifest.digest) {
            out.bytes(&path(&manifest.digest), &manifest.bytes)?;
        }
    }
    let blobs = manifests.iter().flat_map(|manifest| manifest.blobs());
    let (configs, layers): (Vec<Blob>, Vec<Blob>) = blobs.partition(|blob| blob.kind.is_none());
    // What clients get from a URL goes along where the site has it.
    let foreign = manifests.iter().flat_map(|manifest| manifest.optional());
    let foreign = foreign.filter(|layer| export.has(&layer.digest));
    let digests = configs.into_iter().chain(layers).map(|blob| blob.digest);
    for digest in digests.chain(foreign.map(|layer| layer.digest)) {
        if written.insert(digest) {
            out.content(&path(&digest), &export.blob(&digest)?, &digest)?;
        }
    }
    Ok(())
}
