//! The formats: which members an archive has for its images.

use serde_json::{Map, Value, json};

use super::{Archive, Image, OCI_INDEX, Pack};
use crate::support::files::digest;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Archive {
    /// `docker save` of Docker 1.0 to 1.9: a v1 image for each layer, base first. The ids depend on
    /// the first name and the place in the chain; see [`Archive::v1_id`].
    pub(crate) fn docker_1(images: &[Image]) -> Self {
        let mut archive = Self::default();
        for image in images {
            archive = archive.v1_chain(image);
        }
        let repositories = repositories(images, |image| {
            Self::v1_id(image, image.layers.len().saturating_sub(1))
        });
        archive.json("repositories", &repositories)
    }

    /// The id that [`Archive::docker_1`] and [`Archive::docker_20`] give to a layer of an image.
    pub(crate) fn v1_id(image: &Image, layer: usize) -> String {
        let first = image.names.first().map_or("", String::as_str);
        hex(format!("{first} {layer}").as_bytes())
    }

    fn v1_chain(mut self, image: &Image) -> Self {
        for (index, tar) in image.layers.iter().enumerate() {
            let id = Self::v1_id(image, index);
            let mut json = json!({"id": id, "created": "2014-01-02T03:04:05Z", "os": "linux",
                "architecture": "amd64", "docker_version": "1.8.3"});
            if index > 0 {
                json["parent"] = Self::v1_id(image, index - 1).into();
            }
            self = self
                .folder_member(format!("{id}/"))
                .file(format!("{id}/VERSION"), "1.0")
                .json(&format!("{id}/json"), &json)
                .file(format!("{id}/layer.tar"), tar.clone());
        }
        self
    }

    /// `docker save` of Docker 1.10 to 24.
    pub(crate) fn docker_20(images: &[Image]) -> Self {
        let mut archive = Self::default();
        let mut entries = Vec::new();
        for image in images {
            let layer = |index| format!("{}/layer.tar", Self::v1_id(image, index));
            let layers: Vec<String> = (0..image.layers.len()).map(layer).collect();
            let config = format!("{}.json", hex(&image.config_json()));
            archive = archive.v1_chain(image).file(&config, image.config_json());
            entries.push(entry(&config, image, &layers));
        }
        let tops = repositories(images, |image| {
            Self::v1_id(image, image.layers.len().saturating_sub(1))
        });
        archive
            .json("manifest.json", &entries.into())
            .json("repositories", &tops)
    }

    /// `docker save` of Docker 25 and later with the classic store: plain layers.
    pub(crate) fn docker_28(images: &[Image]) -> Self {
        let plain: Vec<Image> = images
            .iter()
            .map(|image| image.clone().packed(Pack::Plain))
            .collect();
        let archive = Self::docker_29(&plain);
        let tops = repositories(images, |image| {
            image.layers.last().map_or(String::new(), |tar| hex(tar))
        });
        archive.json("repositories", &tops)
    }

    /// `docker save` of Docker 25 and later with the store of containerd: an OCI layout with
    /// packed layers, and a `manifest.json` for the images that are no index.
    pub(crate) fn docker_29(images: &[Image]) -> Self {
        let mut entries = Vec::new();
        let mut blobs = Self::default();
        for image in images.iter().filter(|image| image.children.is_empty()) {
            let descriptor = image.seal(&mut blobs);
            let manifest = blobs.bytes(&path(&descriptor["digest"]));
            let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
            let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
            let layers: Vec<String> = layers.iter().map(|layer| path(&layer["digest"])).collect();
            let config = format!("blobs/sha256/{}", hex(&image.config_json()));
            entries.push(entry(&config, image, &layers));
        }
        Self::layout(images, |name| {
            let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            let whole = format!("docker.io/library/{name}");
            json!({"io.containerd.image.name": whole, REF_NAME: tag})
        })
        .json("manifest.json", &entries.into())
    }

    /// An OCI image layout: a folder as it is, an `oci-archive:` as a tar.
    pub(crate) fn oci(images: &[Image]) -> Self {
        Self::layout(images, |name| json!({REF_NAME: name}))
    }

    fn layout(images: &[Image], annotations: impl Fn(&str) -> Value) -> Self {
        let mut archive = Self::default();
        let mut manifests = Vec::new();
        for image in images {
            let descriptor = image.seal(&mut archive);
            if image.names.is_empty() {
                manifests.push(descriptor.clone());
            }
            for name in &image.names {
                let mut named = descriptor.clone();
                named["annotations"] = annotations(name);
                manifests.push(named);
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        archive
            .json("index.json", &index)
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    /// `skopeo copy .. dir:`; blobs have no folder, the children of an index another ending.
    pub(crate) fn dir(image: &Image) -> Self {
        let mut blobs = Self::default();
        let descriptor = image.seal(&mut blobs);
        let top = path(&descriptor["digest"]);
        let children: Vec<String> = image
            .children
            .iter()
            .map(|child| path(&child.manifest_digest().into()))
            .collect();
        let mut archive = Self::default().file("version", "Directory Transport Version: 1.1\n");
        for name in blobs.names("blobs/") {
            let hex = name.rsplit('/').next().unwrap();
            let as_dir = match () {
                () if name == top => "manifest.json".to_owned(),
                () if children.contains(&name) => format!("{hex}.manifest.json"),
                () => hex.to_owned(),
            };
            archive = archive.file(as_dir, blobs.bytes(&name));
        }
        archive
    }
}

fn entry(config: &str, image: &Image, layers: &[String]) -> Value {
    let names = (!image.names.is_empty()).then_some(&image.names);
    json!({"Config": config, "RepoTags": names, "Layers": layers})
}

/// `{"name":{"tag":"id"}}`
fn repositories(images: &[Image], top: impl Fn(&Image) -> String) -> Value {
    let mut repositories = Map::new();
    for image in images {
        for name in &image.names {
            let (name, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
            let tags = repositories.entry(name).or_insert(json!({}));
            tags[tag] = top(image).into();
        }
    }
    repositories.into()
}

fn path(digest: &Value) -> String {
    format!(
        "blobs/{}",
        digest.as_str().unwrap_or_default().replace(':', "/")
    )
}

fn hex(bytes: &[u8]) -> String {
    digest(bytes).split_off("sha256:".len())
}
