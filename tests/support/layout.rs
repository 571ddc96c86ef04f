//! What an OCI image layout holds, read from its files alone: what a registry has to say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::archive::OCI_INDEX;

/// A manifest or an index.
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Value,
}

/// The content of a layout, by digest.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) manifests: BTreeMap<String, Manifest>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Each with the digest of its manifest.
    pub(crate) tags: BTreeMap<String, String>,
}

impl Layout {
    pub(crate) fn read(folder: &Path) -> Self {
        let mut layout = Self::default();
        let index: Value =
            serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        for descriptor in index["manifests"].as_array().unwrap() {
            let digest = layout.add(folder, descriptor);
            let name = descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str();
            if let Some((_, tag)) = name.and_then(|name| name.rsplit_once(':')) {
                layout.tags.insert(tag.to_owned(), digest);
            }
        }
        layout
    }

    /// Adds a manifest and all below it.
    fn add(&mut self, folder: &Path, descriptor: &Value) -> String {
        let digest = text(&descriptor["digest"]);
        let bytes = blob(folder, &digest);
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        for child in list(&json["manifests"]) {
            self.add(folder, child);
        }
        let config = json.get("config");
        for part in config.into_iter().chain(list(&json["layers"])) {
            let digest = text(&part["digest"]);
            let bytes = blob(folder, &digest);
            self.blobs.insert(digest, bytes);
        }
        let media_type = text(&descriptor["mediaType"]);
        let manifest = Manifest {
            media_type,
            bytes,
            json,
        };
        self.manifests.insert(digest.clone(), manifest);
        digest
    }

    /// Every digest that a manifest names as its subject, there or not.
    pub(crate) fn subjects(&self) -> BTreeSet<String> {
        let named = self
            .manifests
            .values()
            .filter_map(|m| m.json["subject"]["digest"].as_str());
        named.map(str::to_owned).collect()
    }

    /// The descriptors of what names a subject, by digest (distribution-spec, "Listing Referrers").
    pub(crate) fn referrers(&self, subject: &str) -> Vec<Value> {
        let of = |(_, m): &(&String, &Manifest)| m.json["subject"]["digest"] == subject;
        let descriptor = |(digest, m): (&String, &Manifest)| {
            let mut item =
                json!({"mediaType": m.media_type, "digest": digest, "size": m.bytes.len()});
            let own = &m.json["artifactType"];
            if own.as_str().is_some_and(|own| !own.is_empty()) {
                item["artifactType"] = own.clone();
            } else if m.media_type != OCI_INDEX {
                item["artifactType"] = m.json["config"]["mediaType"].clone();
            }
            if let Some(annotations) = m.json.get("annotations") {
                item["annotations"] = annotations.clone();
            }
            item
        };
        self.manifests.iter().filter(of).map(descriptor).collect()
    }
}

fn blob(folder: &Path, digest: &str) -> Vec<u8> {
    fs::read(folder.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
