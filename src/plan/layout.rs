//! The root of the site: an OCI image layout.
//! ```text
//! oci-layout  index.json      see crate::site_files::catalogue
//! blobs/sha256/<hex>          every content once
//! ```

use crate::images::Images;
use crate::plan::tree::{File, Stage, Tree};
use crate::plan::{Area, Plan};
use crate::site_files::blob_path;
use crate::spec::digest::Digest;

pub(super) const AREA: Area = Area {
    is_in: |_| true,
    repository: |_, _, _| Ok(()),
    lists,
};

pub(super) fn blob(tree: &mut Tree, images: &Images, digest: &Digest) -> anyhow::Result<()> {
    let stage = if images.manifests.contains_key(digest) {
        Stage::Manifest
    } else {
        Stage::Content
    };
    tree.insert(blob_path(digest), stage, File::content(images, digest))
}

/// The `oci-layout` of a layout (image-spec `image-layout.md`).
pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

fn lists(tree: &mut Tree, plan: &Plan<'_>) -> anyhow::Result<()> {
    tree.bytes(
        "index.json".into(),
        Stage::Catalogue,
        plan.catalogue.to_json()?,
    )?;
    tree.bytes("oci-layout".into(), Stage::Pointer, OCI_LAYOUT)
}
