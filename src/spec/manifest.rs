//! Manifests and indexes: their exact bytes, and the few fields in use.
//!
//! Sources: OCI image-spec `manifest.md`, `image-index.md`, `descriptor.md`; distribution
//! `docs/spec/manifest-v2-2.md` and `manifest-v2-1.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::bail_invalid;
use crate::error::{escaped, invalid_input};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::go_json;
use crate::spec::media_type::{
    self, DOCKER_LIST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_UNSIGNED, LayerKind, OCI_INDEX, OCI_MANIFEST,
};

/// The size limit for a manifest, config or v1 JSON, in bytes. Registries accept manifests up to 4 MiB
/// (distribution `registry/handlers`).
pub const MAX_JSON: u64 = 4 << 20;

/// Images with more layers are refused. Clients do not support more than a few hundred.
pub const MAX_LAYERS: usize = 1024;

/// The content that a manifest points to.
#[derive(Clone, Debug)]
pub enum ManifestKind {
    /// An image or artifact.
    Image {
        config: Descriptor,
        /// Base first.
        layers: Vec<Descriptor>,
    },
    /// An index or manifest list.
    Index(Vec<Descriptor>),
    /// A schema 1 manifest: the digests of its layers, base last, possibly repeated.
    Schema1(Vec<Digest>),
    /// A stand-in for a manifest that a site has lost.
    Lost,
}

/// A parsed manifest, with its exact bytes.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub bytes: Arc<[u8]>,
    /// The digest that clients know it by; for signed schema 1 that of the payload, not of `bytes`.
    pub digest: Digest,
    pub media_type: &'static str,
    pub kind: ManifestKind,
    /// The children of an index whose digests are not sha256, by these digests.
    pub unsupported: Vec<String>,
    /// The manifest that it refers to (OCI image-spec `manifest.md`, `subject`).
    pub subject: Option<Digest>,
    /// The artifact type in a list of referrers: its `artifactType`, or the media type of its config if it
    /// has none (OCI distribution-spec, "Listing Referrers").
    pub artifact_type: Option<String>,
    /// The annotations for a list of referrers. Not kept for images without a subject.
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Children>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
    fs_layers: Option<Vec<FsLayer>>,
    signatures: Option<Vec<Signature>>,
}

/// The children of an index. Those with a digest of another algorithm (image-spec `descriptor.md`, "Digests")
/// are set apart: no site can serve them.
#[derive(Debug, Default)]
pub struct Children {
    pub manifests: Vec<Descriptor>,
    /// The digests of the others.
    pub unsupported: Vec<String>,
}

impl<'de> Deserialize<'de> for Children {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Other {
            digest: String,
        }
        let mut children = Self::default();
        for raw in Vec::<Box<RawValue>>::deserialize(deserializer)? {
            match go_json::of_raw(&raw) {
                Ok(child) => children.manifests.push(child),
                Err(error) => match go_json::of_raw::<Other>(&raw) {
                    Ok(Other { digest }) if is_of_other_algorithm(&digest) => {
                        children.unsupported.push(digest);
                    }
                    _ => return Err(serde::de::Error::custom(error)),
                },
            }
        }
        Ok(children)
    }
}

/// Whether it is a digest by a registered algorithm other than sha256.
fn is_of_other_algorithm(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        matches!(algorithm, "sha512" | "blake3") && hex.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Digest,
}

impl Manifest {
    /// Parses a manifest. Its media type is its `mediaType`, or `described`, the media type in the descriptor
    /// that points to it, or is derived from its fields. For schema 1 the fields always decide.
    ///
    /// # Errors
    /// If it is not a manifest, does not match its media type, or is of an unsupported type.
    pub fn parse(bytes: Arc<[u8]>, described: Option<&str>) -> anyhow::Result<Self> {
        let fields: Fields =
            go_json::parse(&bytes).map_err(|error| error.context("not a manifest"))?;
        let media_type = fields.media_type(described)?;
        let digest = fields.digest(&bytes)?;
        let mut unsupported = Vec::new();
        let kind = match (
            fields.config,
            fields.layers,
            fields.manifests,
            fields.fs_layers,
        ) {
            (_, _, None, Some(layers)) => {
                ManifestKind::Schema1(layers.into_iter().map(|layer| layer.blob_sum).collect())
            }
            (None, None, Some(children), None) => {
                unsupported = children.unsupported;
                ManifestKind::Index(children.manifests)
            }
            (_, Some(layers), _, _) if layers.len() > MAX_LAYERS => {
                bail_invalid!("it has more than {MAX_LAYERS} layers")
            }
            (Some(config), layers, None, None) => ManifestKind::Image {
                config,
                layers: layers.unwrap_or_default(),
            },
            _ => bail_invalid!("not a manifest: neither an image nor an index"),
        };
        let artifact_type = fields.artifact_type.or_else(|| match &kind {
            ManifestKind::Image { config, .. } => Some(config.media_type.clone()),
            _ => None,
        });
        let is_image = matches!(&kind, ManifestKind::Image { config, .. } if media_type::is_image_config(&config.media_type));
        let is_attachment = fields.subject.is_some() || !is_image;
        Ok(Self {
            digest,
            bytes,
            media_type,
            kind,
            unsupported,
            annotations: fields.annotations.filter(|_| is_attachment),
            subject: fields.subject.map(|subject| subject.digest),
            artifact_type,
        })
    }

    /// The descriptor of the manifest itself, without annotations.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.into(),
            digest: self.digest,
            size: self.bytes.len() as u64,
            artifact_type: None,
            annotations: None,
            platform: None,
        }
    }

    /// The descriptor for a list of referrers (OCI distribution-spec, "Listing Referrers").
    pub fn referrer(&self) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
            ..self.descriptor()
        }
    }

    /// The children of an index; empty for anything else.
    pub fn children(&self) -> &[Descriptor] {
        if let ManifestKind::Index(children) = &self.kind {
            children
        } else {
            &[]
        }
    }

    /// Whether it is a runnable image, not an index or artifact. Artifacts may have an image config too
    /// (cosign, in-toto), but their layers are not file systems.
    pub fn is_image(&self) -> bool {
        match &self.kind {
            ManifestKind::Image { config, layers } => {
                let is_tar = |layer: &Descriptor| {
                    media_type::layer_kind(&layer.media_type) != LayerKind::Other
                };
                media_type::is_image_config(&config.media_type) && layers.iter().all(is_tar)
            }
            _ => false,
        }
    }

    /// The blobs that a registry must serve with it, config first, without the layers that must not be
    /// distributed.
    pub fn blobs(&self) -> Vec<Blob> {
        match &self.kind {
            ManifestKind::Index(_) | ManifestKind::Lost => Vec::new(),
            ManifestKind::Schema1(layers) => layers
                .iter()
                .map(|digest| Blob {
                    digest: *digest,
                    size: None,
                    kind: Some(LayerKind::Tar),
                })
                .collect(),
            ManifestKind::Image { config, layers } => {
                let blob = |descriptor: &Descriptor, kind| Blob {
                    digest: descriptor.digest,
                    size: Some(descriptor.size),
                    kind,
                };
                let kind = |layer: &Descriptor| media_type::layer_kind(&layer.media_type);
                let served = layers
                    .iter()
                    .filter(|layer| kind(layer) != LayerKind::Foreign);
                std::iter::once(blob(config, None))
                    .chain(served.map(|layer| blob(layer, Some(kind(layer)))))
                    .collect()
            }
        }
    }
}

/// A blob that a manifest points to.
#[derive(Clone, Copy, Debug)]
pub struct Blob {
    pub digest: Digest,
    /// Length in bytes; `None` in schema 1.
    pub size: Option<u64>,
    /// `None` for a config.
    pub kind: Option<LayerKind>,
}

impl Fields {
    fn media_type(&self, described: Option<&str>) -> anyhow::Result<&'static str> {
        let said = self
            .media_type
            .as_deref()
            .or(described)
            .filter(|text| !text.is_empty());
        let known = |text: &str| {
            media_type::MANIFEST_TYPES
                .iter()
                .map(|(name, _)| *name)
                .find(|name| *name == text)
        };
        let signed = self.signatures.is_some();
        let media_type = match said {
            // Schema 1 has no `mediaType`, and its descriptor may say JSON or the other schema 1 type.
            _ if self.fs_layers.is_some() && signed => DOCKER_SCHEMA1,
            _ if self.fs_layers.is_some() => DOCKER_SCHEMA1_UNSIGNED,
            Some(text) => known(text).ok_or_else(|| {
                invalid_input(format!(
                    "manifests of type `{}` are not supported",
                    escaped(text)
                ))
            })?,
            None if self.manifests.is_some() => OCI_INDEX,
            None => OCI_MANIFEST,
        };
        let fits = match media_type {
            OCI_INDEX | DOCKER_LIST => self.manifests.is_some(),
            DOCKER_SCHEMA1 | DOCKER_SCHEMA1_UNSIGNED => {
                self.schema_version == 1 && self.fs_layers.is_some()
            }
            _ => self.config.is_some(),
        };
        if !fits {
            bail_invalid!("required fields of a manifest of type `{media_type}` are missing");
        }
        Ok(media_type)
    }

    /// The digest that clients know the manifest by. For signed schema 1 it is the digest of the payload,
    /// which excludes the signatures: the first `formatLength` bytes, followed by `formatTail`, both from the
    /// first signature (libtrust `jsonsign.go`, `ParsePrettySignature`).
    fn digest(&self, bytes: &[u8]) -> anyhow::Result<Digest> {
        let Some(signature) = self
            .signatures
            .as_ref()
            .filter(|_| self.fs_layers.is_some())
        else {
            return Ok(Digest::of(bytes));
        };
        let broken = || invalid_input("the signature of the schema 1 manifest is broken");
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let protected =
            decode(&signature.first().ok_or_else(broken)?.protected).map_err(|_| broken())?;
        let format: Format = serde_json::from_slice(&protected).map_err(|_| broken())?;
        let mut payload = bytes
            .get(..format.format_length)
            .ok_or_else(broken)?
            .to_vec();
        payload.extend(decode(&format.format_tail).map_err(|_| broken())?);
        Ok(Digest::of(&payload))
    }
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    format_length: usize,
    format_tail: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::media_type::DOCKER_MANIFEST;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn media_type(text: &str, described: Option<&str>) -> Option<&'static str> {
        Manifest::parse(text.replace("DIGEST", D).into_bytes().into(), described)
            .ok()
            .map(|m| m.media_type)
    }

    #[test]
    fn the_type_is_said_described_or_structural() {
        let image = r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"DIGEST","size":0},"layers":[]}"#;
        assert_eq!(media_type(image, None), Some(OCI_MANIFEST));
        assert_eq!(
            media_type(image, Some(DOCKER_MANIFEST)),
            Some(DOCKER_MANIFEST)
        );
        assert_eq!(
            media_type(r#"{"schemaVersion":2,"manifests":[]}"#, None),
            Some(OCI_INDEX)
        );
        let said = r#"{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}"#;
        assert_eq!(media_type(said, Some(OCI_INDEX)), Some(DOCKER_LIST));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"config":"x"}"#,
            r#"{"manifests":{}}"#,
            r#"{"layers":[]}"#,
            r#"{"config":{"digest":"DIGEST","size":-1}}"#,
            r#"{"config":{"digest":"sha512:00","size":1}}"#,
            r#"{"config":{"digest":"DIGEST","size":1},"manifests":[]}"#,
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json","config":{"digest":"DIGEST","size":1}}"#,
            r#"{"mediaType":"text/plain","manifests":[]}"#,
            r#"{"mediaType":7,"manifests":[]}"#,
        ] {
            assert_eq!(media_type(text, None), None, "{text}");
        }
    }
}
