//! One tag of a site, read from the site's files: what a server must answer for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::hand_site::{TYPES, sha256};

/// A tag with its files in both APIs.
pub(crate) struct Sample {
    site: PathBuf,
    pub(crate) name: String,
    pub(crate) tag: String,
    /// `sha256:<hex>` of the manifest.
    pub(crate) digest: String,
    /// The manifest's type.
    pub(crate) media_type: &'static str,
    /// `sha256:<hex>` of a blob: the config.
    pub(crate) blob: String,
    /// The v1 image of the tag.
    pub(crate) id: String,
}

impl Sample {
    /// Reads a tag that has a config and a v1 form.
    pub(crate) fn read(site: &Path, name: &str, tag: &str) -> Self {
        let v2 = site.join("v2").join(name);
        let manifest = fs::read(v2.join("manifests").join(tag)).unwrap();
        let typed = |extension| v2.join(format!("_types/{tag}.{extension}")).exists();
        let (_, media_type) = TYPES.iter().find(|(e, _)| typed(*e)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let v1_tag = site.join(format!("v1/repositories/{name}/tags/{tag}"));
        let id = serde_json::from_slice(&fs::read(v1_tag).unwrap()).unwrap();
        Self {
            site: site.to_owned(),
            name: name.to_owned(),
            tag: tag.to_owned(),
            digest: format!("sha256:{}", sha256(&manifest)),
            media_type,
            blob: json["config"]["digest"].as_str().unwrap().to_owned(),
            id,
        }
    }

    /// The hex digits of the v1 image's checksum, if it has one.
    pub(crate) fn checksum(&self) -> Option<String> {
        let path = self.site.join(format!("v1/images/{}/checksum", self.id));
        let checksum = fs::read_to_string(path).ok()?;
        Some(checksum.trim_end().replace("sha256:", ""))
    }

    /// The path of the first signature of the manifest, and whether the site has it.
    pub(crate) fn signature(&self) -> (String, bool) {
        let hex = self.digest.replace("sha256:", "");
        let path = format!("lookaside/{}@sha256={hex}/signature-1", self.name);
        let is_there = self.site.join(&path).exists();
        (path, is_there)
    }

    /// The bytes of a file of the site, by its path.
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        let path = self.site.join(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}
