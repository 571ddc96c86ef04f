//! What an image of an archive holds, and how its config and manifest are made from that.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use tar::EntryType;

use super::{Archive, gzip, zstd};
use crate::support::files::digest;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How the layers of a manifest are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pack {
    Plain,
    Gzip,
    Zstd,
}

type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// An image, or an index of images.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) names: Vec<String>,
    /// The plain tar of each layer, base first.
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) platform: Value,
    /// The images of an index; an image has none.
    pub(crate) children: Vec<Self>,
    pack: Pack,
    is_index: bool,
    edits: Vec<(Part, Edit)>,
    config_bytes: Option<Vec<u8>>,
    manifest_bytes: Option<Vec<u8>>,
    child_annotations: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Config,
    Manifest,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({:?})", self.names)
    }
}

impl Image {
    /// A linux/amd64 image without layers, under any number of names. In an OCI layout a name is
    /// what `org.opencontainers.image.ref.name` says.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(ToString::to_string).collect(),
            layers: Vec::new(),
            platform: json!({"architecture": "amd64", "os": "linux"}),
            children: Vec::new(),
            pack: Pack::Gzip,
            is_index: false,
            edits: Vec::new(),
            config_bytes: None,
            manifest_bytes: None,
            child_annotations: Value::Null,
        }
    }

    /// An index; only for formats that have them.
    pub(crate) fn index(names: &[&str], children: Vec<Self>) -> Self {
        let mut index = Self::new(names);
        index.is_index = true;
        index.children = children;
        index
    }

    /// Adds a layer with one file.
    pub(crate) fn layer(self, path: &str, text: &str) -> Self {
        self.layer_tar(one_file_tar(path, text))
    }

    /// Adds a layer of these bytes.
    pub(crate) fn layer_tar(mut self, tar: Vec<u8>) -> Self {
        self.layers.push(tar);
        self
    }

    pub(crate) fn platform(mut self, os: &str, architecture: &str) -> Self {
        self.platform = json!({"architecture": architecture, "os": os});
        self
    }

    /// How the layers, and those of all children, are packed where the format keeps them as a
    /// registry has them.
    pub(crate) fn packed(mut self, pack: Pack) -> Self {
        self.pack = pack;
        self.children = self
            .children
            .into_iter()
            .map(|child| child.packed(pack))
            .collect();
        self
    }

    /// Changes the config before its digest is taken.
    pub(crate) fn config(self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edited(Part::Config, edit)
    }

    /// Changes the manifest or index before its digest is taken.
    pub(crate) fn manifest(self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edited(Part::Manifest, edit)
    }

    fn edited(mut self, part: Part, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edits.push((part, Arc::new(edit)));
        self
    }

    /// A config that is no JSON that `serde_json` could make.
    pub(crate) fn config_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.config_bytes = Some(bytes.into());
        self
    }

    /// A manifest that is no JSON that `serde_json` could make.
    pub(crate) fn manifest_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.manifest_bytes = Some(bytes.into());
        self
    }

    /// Adds to the last child of an index what buildkit attaches to it: a manifest with an in-toto
    /// statement, for the platform unknown/unknown.
    pub(crate) fn attested(mut self) -> Self {
        let child = self.children.last().expect("an index with a child");
        let about = child.manifest_digest();
        let statement = json!({"_type": "https://in-toto.io/Statement/v0.1"}).to_string();
        let layer = json!({"mediaType": "application/vnd.in-toto+json",
            "digest": digest(statement.as_bytes()), "size": statement.len()});
        let mut attestation = Self::new(&[])
            .platform("unknown", "unknown")
            .config(|config| {
                config["rootfs"]["diff_ids"] = json!(["sha256:".to_owned() + &"0".repeat(64)]);
            })
            .manifest(move |manifest| manifest["layers"] = json!([layer]));
        attestation.layers.push(statement.into_bytes());
        attestation.pack = Pack::Plain;
        attestation.child_annotations = json!({"vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": about});
        self.children.push(attestation);
        self
    }

    /// The bytes of the config.
    pub(crate) fn config_json(&self) -> Vec<u8> {
        if let Some(bytes) = &self.config_bytes {
            return bytes.clone();
        }
        let diff_ids: Vec<String> = self.layers.iter().map(|tar| digest(tar)).collect();
        let mut config = json!({
            "created": "2020-01-02T03:04:05Z",
            "config": {"Cmd": ["/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        config["architecture"] = self.platform["architecture"].clone();
        config["os"] = self.platform["os"].clone();
        self.apply(Part::Config, &mut config);
        config.to_string().into_bytes()
    }

    /// `sha256:<hex>` of the manifest or index.
    pub(crate) fn manifest_digest(&self) -> String {
        let descriptor = self.seal(&mut Archive::default());
        descriptor["digest"].as_str().unwrap().to_owned()
    }

    /// Adds all its blobs to a layout; gives the descriptor of the manifest or index.
    pub(crate) fn seal(&self, archive: &mut Archive) -> Value {
        let (media_type, mut manifest) = if self.is_index {
            let children: Vec<Value> = self
                .children
                .iter()
                .map(|child| child.as_child(archive))
                .collect();
            (
                OCI_INDEX,
                json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}),
            )
        } else {
            let layers: Vec<Value> = self
                .layers
                .iter()
                .map(|tar| self.layer_blob(archive, tar))
                .collect();
            let config = archive.blob(OCI_CONFIG, &self.config_json());
            (
                OCI_MANIFEST,
                json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}),
            )
        };
        self.apply(Part::Manifest, &mut manifest);
        let made = manifest.to_string().into_bytes();
        archive.blob(media_type, self.manifest_bytes.as_ref().unwrap_or(&made))
    }

    fn as_child(&self, archive: &mut Archive) -> Value {
        let mut descriptor = self.seal(archive);
        if !self.is_index {
            descriptor["platform"] = self.platform.clone();
        }
        if !self.child_annotations.is_null() {
            descriptor["annotations"] = self.child_annotations.clone();
        }
        descriptor
    }

    fn layer_blob(&self, archive: &mut Archive, tar: &[u8]) -> Value {
        match self.pack {
            Pack::Plain => archive.blob(OCI_LAYER, tar),
            Pack::Gzip => archive.blob(&format!("{OCI_LAYER}+gzip"), &gzip(tar)),
            Pack::Zstd => archive.blob(&format!("{OCI_LAYER}+zstd"), &zstd(tar)),
        }
    }

    fn apply(&self, part: Part, value: &mut Value) {
        let edits = self.edits.iter().filter(|(about, _)| *about == part);
        edits.for_each(|(_, edit)| edit(value));
    }
}

/// A tar with one file.
pub(crate) fn one_file_tar(path: &str, text: &str) -> Vec<u8> {
    let mut tar = super::header(path.as_bytes(), EntryType::Regular, text.len() as u64);
    tar.extend(text.as_bytes());
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}
