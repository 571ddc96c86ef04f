//! The JSON files of archives: `index.json` of OCI layouts, and `manifest.json` of `docker save`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::spec::descriptor::{Descriptor, EXPORTED};
use crate::spec::media_type::OCI_INDEX;

/// An image of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    /// The paths of config and layers.
    pub(super) config: String,
    pub(super) repo_tags: Vec<String>,
    pub(super) layers: Vec<String>,
}

/// `index.json` (image-spec `image-layout.md`).
pub(super) fn index(manifests: &[Descriptor]) -> anyhow::Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index<'a> {
        schema_version: u8,
        media_type: &'a str,
        manifests: &'a [Descriptor],
        annotations: BTreeMap<&'a str, &'a str>,
    }
    Ok(serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: OCI_INDEX,
        manifests,
        annotations: BTreeMap::from([(EXPORTED, "1")]),
    })?)
}
