//! The content of images below `blobs/sha256/`, each once.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::export::Export;
use crate::export::out::Out;
use crate::site_files::blob_path;
use crate::spec::manifest::{Blob, Manifest};

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
            out.bytes(&blob_path(&manifest.digest), &manifest.bytes)?;
        }
    }
    let blobs = manifests.iter().flat_map(|manifest| manifest.blobs());
    let (configs, layers): (Vec<Blob>, Vec<Blob>) = blobs.partition(|blob| blob.kind.is_none());
    let foreign = manifests
        .iter()
        .flat_map(|manifest| export.foreign(manifest));
    let digests = configs.into_iter().chain(layers).map(|blob| blob.digest);
    for digest in digests.chain(foreign) {
        if written.insert(digest) {
            out.content(&blob_path(&digest), &export.blob(&digest)?, &digest)?;
        }
    }
    Ok(())
}
