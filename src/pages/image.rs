//! The page of an image, index or artifact. It is made of a manifest and its config alone, so it says the same as long as
//! the digest is the same: nothing of tags, of what is attached, or of which children of an index the site has.

use anyhow::Context as _;
use askama::Template;

use crate::pages::attached::is_attestation;
use crate::pages::commands::{Command, commands};
use crate::pages::facts::Facts;
use crate::pages::{Page, Shown, image_file, root};
use crate::spec::descriptor::{Descriptor, Platform};
use crate::spec::digest::Digest;
use crate::spec::image_config::{ImageConfig, instruction};
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::name::Repository;
use crate::text::bytes;

#[derive(Template)]
#[template(path = "image.html", config = "src/pages/askama.toml")]
pub(super) struct ImagePage<'a> {
    root: String,
    name: &'a Repository,
    digest: &'a Digest,
    short: String,
    /// What it is: an image, an index or an artifact.
    kind: &'static str,
    media_type: &'a str,
    artifact_type: Option<&'a str>,
    facts: Facts,
    size: String,
    commands: &'static [Command],
    annotations: Vec<(String, String)>,
    children: Vec<Child>,
    image: Option<Image>,
    /// The blobs of an artifact.
    files: Vec<Blob>,
}

struct Child {
    platform: String,
    digest: Digest,
    /// Relative to the page.
    href: String,
}

/// What the config of an image says.
struct Image {
    settings: Vec<(&'static str, String)>,
    env: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    layers: Vec<Layer>,
}

struct Layer {
    /// What made it.
    command: String,
    /// `None` for a step of the history without a layer.
    size: Option<String>,
    /// Its part of the largest layer.
    percent: u64,
}

struct Blob {
    name: String,
    digest: Digest,
    size: String,
}

impl<'a> ImagePage<'a> {
    /// # Errors
    /// If the manifest or its config is not there.
    pub(super) fn new(
        shown: &Shown<'a>,
        name: &'a Repository,
        digest: &'a Digest,
    ) -> anyhow::Result<Self> {
        let manifest = shown.images.manifests.get(digest);
        let manifest = manifest.with_context(|| format!("`{name}@{digest}` is not loaded"))?;
        let config = shown.images.image_config(manifest)?;
        let is_index = !manifest.children().is_empty();
        let (kind, facts) = match &config {
            _ if is_index => ("Index", Facts::annotated(manifest)),
            config => {
                let kind = if config.is_some() {
                    "Image"
                } else {
                    "Artifact"
                };
                let known = shown.pages.of(name);
                let facts = known.and_then(|known| known.facts.get(digest));
                (kind, facts.cloned().unwrap_or_default())
            }
        };
        let root = root(&Page::Image(name.clone(), *digest));
        let child = |child: &Descriptor| Child::new(child, &root, name);
        let size = if is_index {
            String::new()
        } else {
            bytes(facts.size)
        };
        Ok(Self {
            children: manifest.children().iter().map(child).collect(),
            root,
            name,
            digest,
            short: digest
                .to_string()
                .chars()
                .take("sha256:".len() + 12)
                .collect(),
            kind,
            media_type: manifest.media_type,
            artifact_type: manifest
                .artifact_type
                .as_deref()
                .filter(|_| kind == "Artifact"),
            facts,
            size,
            commands: if shown.catalogue.apis.v2 {
                commands(kind != "Artifact")
            } else {
                &[]
            },
            annotations: manifest
                .annotations()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            files: if kind == "Artifact" {
                files(manifest)
            } else {
                Vec::new()
            },
            image: config.map(|(_, config)| Image::new(manifest, config)),
        })
    }
}

impl Child {
    fn new(child: &Descriptor, root: &str, name: &Repository) -> Self {
        let platform = child.platform.as_ref().map(Platform::to_string);
        let platform = platform.unwrap_or_else(|| child.media_type.clone());
        let digest = child.digest;
        let (platform, href) = if is_attestation(child) {
            let href = format!("{root}v2/{name}/manifests/{digest}");
            ("attestation".into(), href)
        } else {
            (platform, image_file(&digest))
        };
        Self {
            platform,
            digest,
            href,
        }
    }
}

impl Image {
    fn new(manifest: &Manifest, config: ImageConfig) -> Self {
        let words = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
        let settings = [
            ("User", config.user.clone()),
            ("Directory", config.working_dir.clone()),
            ("Ports", config.ports.join(" ")),
            ("Entrypoint", words(&config.entrypoint)),
            ("Command", words(&config.cmd)),
        ];
        let settings = settings.into_iter();
        Self {
            settings: settings
                .filter(|(_, text)| !text.is_empty() && text != "[]")
                .collect(),
            layers: layers(manifest, &config),
            env: config.env.iter().map(|text| variable(text)).collect(),
            labels: config.labels.into_iter().collect(),
        }
    }
}

fn files(manifest: &Manifest) -> Vec<Blob> {
    let ManifestKind::Image { layers, .. } = &manifest.kind else {
        return Vec::new();
    };
    let blob = |layer: &Descriptor| Blob {
        name: layer
            .annotation("org.opencontainers.image.title")
            .unwrap_or(&layer.media_type)
            .to_owned(),
        digest: layer.digest,
        size: bytes(layer.size),
    };
    layers.iter().map(blob).collect()
}

fn variable(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// The layers, base first, with the steps of the history that made them; with their digests if these do not match.
fn layers(manifest: &Manifest, config: &ImageConfig) -> Vec<Layer> {
    let ManifestKind::Image { layers, .. } = &manifest.kind else {
        return Vec::new();
    };
    let largest = layers
        .iter()
        .map(|layer| layer.size)
        .max()
        .unwrap_or_default()
        .max(1);
    let mut layers_left = layers.iter().peekable();
    let layer = |size: Option<u64>, command: String| Layer {
        command,
        size: size.map(bytes),
        percent: size.map_or(0, |size| size.saturating_mul(100) / largest),
    };
    let steps = config.history.iter();
    if steps.clone().filter(|step| !step.empty_layer).count() != layers.len() {
        let digest = |layer: &Descriptor| layer.digest.to_string();
        return layers_left
            .map(|of| layer(Some(of.size), digest(of)))
            .collect();
    }
    steps
        .map(|step| {
            let of = layers_left.next_if(|_| !step.empty_layer);
            layer(of.map(|of| of.size), instruction(&step.created_by))
        })
        .collect()
}
