//! v1 images: their ids, and the JSON that `docker push` to a v1 registry generates for newer images.
//!
//! Source: Docker 1.10 to 18.09, `distribution/push_v1.go` (`newV1TopImage`, `newV1DependencyImage`) and
//! `image/v1/imagev1.go` (`MakeV1ConfigFromConfig`). There is one v1 image for each diff ID; the history is
//! not used.
//! ```text
//! layers below the top   id = hex(chain ID)        json = {"id":..,"parent":..}
//! top                    id = hex(config digest)   json = the config without rootfs and history
//! ```

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::bail_invalid;
use crate::error::escaped;
use crate::spec::descriptor::Platform;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::go_json;
use crate::spec::json::{RawObject, go_map};
use crate::spec::manifest::{Manifest, ManifestKind};

/// The id of a v1 image: 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V1Id(Digest);

impl V1Id {
    /// The id as a digest. For the top image of a [`chain`] this is the config digest.
    pub fn digest(&self) -> Digest {
        self.0
    }
}

impl FromStr for V1Id {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match Digest::from_hex(text) {
            Ok(digest) => Ok(Self(digest)),
            Err(_) => bail_invalid!("`{}` is not a v1 image id", escaped(text)),
        }
    }
}

impl fmt::Display for V1Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl fmt::Debug for V1Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fields of an image config in use (OCI image-spec `config.md`).
#[derive(Debug)]
pub struct Config {
    /// The digests of the uncompressed layers, base first. `None` without a `rootfs`, as in the config `{}`
    /// of an OPA bundle: registries serve such an image, but v1 has no form for it.
    pub diff_ids: Option<Vec<Digest>>,
    pub platform: Platform,
}

impl Config {
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Fields {
            rootfs: Option<RootFs>,
            #[serde(default)]
            architecture: String,
            #[serde(default)]
            os: String,
            variant: Option<String>,
        }
        #[derive(Deserialize)]
        struct RootFs {
            #[serde(default)]
            diff_ids: Vec<Digest>,
        }
        let fields: Fields =
            go_json::parse(bytes).map_err(|error| error.context("not an image config"))?;
        Ok(Self {
            diff_ids: fields.rootfs.map(|rootfs| rootfs.diff_ids),
            platform: Platform {
                architecture: fields.architecture,
                os: fields.os,
                variant: fields.variant,
            },
        })
    }

    /// Refuses a manifest with another number of layers.
    pub fn check_layers(&self, manifest: &Manifest) -> anyhow::Result<()> {
        let ManifestKind::Image { layers, .. } = &manifest.kind else {
            return Ok(());
        };
        match &self.diff_ids {
            Some(diff_ids) if diff_ids.len() != layers.len() => bail_invalid!(
                "the manifest {} has {} layers, but its config has {} diff IDs",
                manifest.digest,
                layers.len(),
                diff_ids.len()
            ),
            _ => Ok(()),
        }
    }
}

/// The ids of an image's v1 chain, base first and top last. An image without layers has one v1 image, whose
/// layer is empty.
pub fn chain(config: Digest, diff_ids: &[Digest]) -> Vec<V1Id> {
    let mut ids = Vec::with_capacity(diff_ids.len().max(1));
    let mut chain_id: Option<Digest> = None;
    for diff_id in diff_ids.iter().take(diff_ids.len().saturating_sub(1)) {
        let next = chain_id.map_or(*diff_id, |below| chain_id_of(below, *diff_id));
        ids.push(V1Id(next));
        chain_id = Some(next);
    }
    ids.push(V1Id(config));
    ids
}

/// See OCI image-spec `config.md`, "Layer `ChainID`".
fn chain_id_of(below: Digest, diff_id: Digest) -> Digest {
    Digest::of(format!("{below} {diff_id}").as_bytes())
}

/// The JSON of a v1 image below the top.
pub fn dependency_json(id: V1Id, parent: Option<V1Id>) -> Vec<u8> {
    let parent = parent.map_or(String::new(), |parent| format!(",\"parent\":\"{parent}\""));
    format!("{{\"id\":\"{id}\"{parent}}}").into_bytes()
}

/// The JSON of the top v1 image: the config without the fields that v1 does not know. All other values keep
/// their text.
///
/// A `parent` in the config is dropped: it is not in the ancestry, and Docker 1.x fails if it cannot pull a
/// parent.
pub fn top_json(config: &[u8], id: V1Id, parent: Option<V1Id>) -> anyhow::Result<Vec<u8>> {
    let object = RawObject::parse(config)?;
    let id = format!("\"{id}\"");
    let parent = parent.map(|parent| format!("\"{parent}\""));
    let unknown_to_v1 = [
        "rootfs",
        "history",
        "os.version",
        "os.features",
        "id",
        "parent",
    ];
    let kept = object
        .0
        .iter()
        .map(|(key, value)| (key.as_str(), value.get()));
    let kept = kept.filter(|(key, _)| !unknown_to_v1.contains(key));
    let own =
        std::iter::once(("id", id.as_str())).chain(parent.as_deref().map(|raw| ("parent", raw)));
    Ok(go_map(kept.chain(own)))
}

/// The content of an `ancestry` file: an array of `ids`, the image itself first and the base last.
pub fn ancestry_json(ids: &[V1Id]) -> Vec<u8> {
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!("[{}]", quoted.join(",")).into_bytes()
}

/// Starts the v1 checksum `sha256(json + "\n" + layer)`; the caller passes the layer to the returned hasher.
/// Source: docker-registry (Python), `checksums.py`, `compute_simple`.
pub fn checksum(json: &[u8]) -> Hasher {
    let mut hasher = Hasher::default();
    hasher.update(json);
    hasher.update(b"\n");
    hasher
}

/// Whether `container_config.Cmd` of an image is a string. Docker up to 1.6 refuses it (observed with 1.4.1 and 1.6.2).
pub fn has_text_command(json: &[u8]) -> bool {
    let command = || {
        let image = RawObject::parse(json).ok()?;
        let config = RawObject::parse(image.get("container_config")?.as_bytes()).ok()?;
        config.get("Cmd").map(|command| command.starts_with('"'))
    };
    command().unwrap_or(false)
}

/// The position of a v1 image in its chain, read from its JSON.
#[derive(Debug, PartialEq)]
pub struct ChainLink {
    pub id: V1Id,
    /// The image below it.
    pub parent: Option<V1Id>,
}

impl ChainLink {
    /// Reads the JSON of a v1 image. An empty `parent` counts as none.
    pub fn parse(json: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Fields {
            id: String,
            #[serde(default)]
            parent: String,
        }
        let Fields { id, parent } = go_json::parse(json)?;
        let parent = Some(parent).filter(|parent| !parent.is_empty());
        Ok(Self {
            id: id.parse()?,
            parent: parent.map(|parent| parent.parse()).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: char) -> Digest {
        Digest::from_hex(&String::from(byte).repeat(64)).unwrap()
    }

    #[test]
    fn ids_are_chain_ids_and_the_config_digest() {
        let ids = chain(digest('c'), &[digest('a'), digest('b'), digest('d')]);
        let hex: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(hex[0], "a".repeat(64));
        assert_eq!(
            hex[1],
            Digest::of(format!("{} {}", digest('a'), digest('b')).as_bytes()).hex()
        );
        assert_eq!(hex[2], "c".repeat(64));
        assert_eq!(chain(digest('c'), &[]).len(), 1);
        assert_eq!(chain(digest('c'), &[digest('a')]), vec![V1Id(digest('c'))]);
    }

    #[test]
    fn the_top_json_keeps_raw_values() {
        let config = br#"{"os":"linux","rootfs":{},"history":[],"parent":"x","b" : {"y":1, "x":"<"},"os.version":"1","a":1e400}"#;
        let id = V1Id(digest('1'));
        let one = "1".repeat(64);
        assert_eq!(
            String::from_utf8(top_json(config, id, None).unwrap()).unwrap(),
            format!(r#"{{"a":1e400,"b":{{"y":1,"x":"\u003c"}},"id":"{one}","os":"linux"}}"#)
        );
        let with_parent =
            String::from_utf8(top_json(config, id, Some(V1Id(digest('2')))).unwrap()).unwrap();
        assert!(with_parent.ends_with(&format!(r#""os":"linux","parent":"{}"}}"#, "2".repeat(64))));
    }

    #[test]
    fn places_are_read_strictly() {
        let one = "1".repeat(64);
        let parse = |text: &str| ChainLink::parse(text.replace("ID", &one).as_bytes());
        assert_eq!(parse(r#"{"id":"ID"}"#).unwrap().parent, None);
        assert_eq!(parse(r#"{"id":"ID","parent":""}"#).unwrap().parent, None);
        assert_eq!(
            parse(r#"{"id":"ID","parent":"ID"}"#).unwrap().parent,
            Some(V1Id(digest('1')))
        );
        for text in [
            "[]",
            "{}",
            r#"{"id":1}"#,
            r#"{"id":"x"}"#,
            r#"{"id":"ID","parent":"../x"}"#,
            r#"{"id":"ID","parent":{}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
