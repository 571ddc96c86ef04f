//! Manifests and indexes: their exact bytes, and the few fields in use.
//!
//! Sources: OCI image-spec `manifest.md`, `image-index.md`, `descriptor.md`; distribution
//! `docs/spec/manifest-v2-2.md` and `manifest-v2-1.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::bail_invalid;
use crate::error::{escaped, invalid_input};
use crate::spec::descriptor::{Children, Descriptor};
use crate::spec::digest::Digest;
use crate::spec::go_json;
use crate::spec::media_type::{
    self, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_UNSIGNED, LayerKind,
    OCI_INDEX, OCI_MANIFEST,
};
use crate::spec::schema1::{self, Signature};

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
        /// Only an artifact may have none.
        config: Option<Box<Descriptor>>,
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Box<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Children>,
    subject: Option<Descriptor>,
    #[expect(
        dead_code,
        reason = "checked here, read where a list of referrers needs it"
    )]
    annotations: Option<BTreeMap<String, String>>,
    fs_layers: Option<Vec<FsLayer>>,
    signatures: Option<Vec<Signature>>,
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
        // Clients know signed schema 1 by the digest of what is signed.
        let digest = match &fields.signatures {
            Some(signatures) if fields.fs_layers.is_some() => {
                Digest::of(&schema1::payload(&bytes, signatures)?)
            }
            _ => Digest::of(&bytes),
        };
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
            (config, layers, None, None) if config.is_some() || layers.is_some() => {
                ManifestKind::Image {
                    config,
                    layers: layers.unwrap_or_default(),
                }
            }
            _ => bail_invalid!("not a manifest: neither an image nor an index"),
        };
        let said = fields.artifact_type.filter(|text| !text.is_empty());
        let artifact_type = said.or_else(|| match &kind {
            ManifestKind::Image { config, .. } => {
                config.as_ref().map(|config| config.media_type.clone())
            }
            _ => None,
        });
        Ok(Self {
            digest,
            bytes,
            media_type,
            kind,
            unsupported,
            subject: fields.subject.map(|subject| subject.digest),
            artifact_type,
        })
    }

    /// The descriptor of the manifest itself, without annotations.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type, self.digest, self.bytes.len() as u64)
    }

    /// The descriptor for a list of referrers (OCI distribution-spec, "Listing Referrers").
    pub fn referrer(&self) -> Descriptor {
        Descriptor {
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations(),
            ..self.descriptor()
        }
    }

    /// The annotations of the manifest itself. They are read anew each time, since few need them.
    pub fn annotations(&self) -> Option<BTreeMap<String, String>> {
        #[derive(Default, Deserialize)]
        struct Annotated {
            annotations: Option<BTreeMap<String, String>>,
        }
        let annotated: Annotated = go_json::parse(&self.bytes).unwrap_or_default();
        annotated.annotations
    }

    /// The digest of the config.
    pub fn config(&self) -> Option<&Digest> {
        match &self.kind {
            ManifestKind::Image { config, .. } => config.as_ref().map(|config| &config.digest),
            _ => None,
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
            ManifestKind::Image { layers, .. } => {
                let is_tar = |layer: &Descriptor| {
                    media_type::layer_kind(&layer.media_type) != LayerKind::Other
                };
                self.has_image_config() && layers.iter().all(is_tar)
            }
            _ => false,
        }
    }

    /// Whether its config is that of an image rather than an artifact.
    pub fn has_image_config(&self) -> bool {
        let ManifestKind::Image {
            config: Some(config),
            ..
        } = &self.kind
        else {
            return false;
        };
        media_type::is_image_config(&config.media_type)
            || self.media_type == DOCKER_MANIFEST
                && DOCKER_1_10_CONFIGS.contains(&&*config.media_type)
    }

    /// The foreign layers that clients get from their URLs, which a registry may serve too. Without URLs nobody else has
    /// them.
    pub fn optional(&self) -> impl Iterator<Item = &Descriptor> {
        let layers: &[Descriptor] = match &self.kind {
            ManifestKind::Image { layers, .. } => layers,
            _ => &[],
        };
        layers.iter().filter(|layer| is_optional(layer))
    }

    /// The blobs that a registry must serve with it, config first, without those that are [optional](Self::optional).
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
                let served = layers.iter().filter(|layer| !is_optional(layer));
                let config = config.as_ref().map(|config| blob(config, None));
                config
                    .into_iter()
                    .chain(served.map(|layer| blob(layer, Some(kind(layer)))))
                    .collect()
            }
        }
    }
}

fn is_optional(layer: &Descriptor) -> bool {
    media_type::layer_kind(&layer.media_type) == LayerKind::Foreign && !layer.urls.is_empty()
}

/// Docker 1.10 and 1.11 pushed images whose configs have these types (moby `distribution/registry.go`,
/// `defaultImageTypes`).
const DOCKER_1_10_CONFIGS: [&str; 4] = [
    "application/octet-stream",
    "application/json",
    "text/html",
    "",
];

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
            OCI_MANIFEST => self.config.is_some() || self.layers.is_some(),
            _ => self.config.is_some(),
        };
        if !fits {
            bail_invalid!("required fields of a manifest of type `{media_type}` are missing");
        }
        Ok(media_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
