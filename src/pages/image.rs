//! The page of an image, index or artifact. It says nothing that may change while its digest stays.

use askama::Template;

use crate::images::measure::{Measured, RunnableImage};
use crate::pages::attached::{self, Attached};
use crate::pages::{COMMANDS, Command, Page, Shown, root};
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
    media_type: &'a str,
    description: Option<String>,
    commands: &'static [Command],
    created: Option<String>,
    size: String,
    platforms: Vec<String>,
    /// The platforms of children that the site lacks.
    absent: Vec<String>,
    attestations: Vec<Attached>,
    annotations: Vec<(String, String)>,
    /// The runnable images.
    sections: Vec<Section>,
    /// The blobs of an artifact.
    files: Vec<Blob>,
}

struct Section {
    platform: String,
    digest: Digest,
    settings: Vec<(&'static str, String)>,
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
    pub(super) fn new(
        shown: &Shown<'a>,
        name: &'a Repository,
        digest: &'a Digest,
    ) -> anyhow::Result<Self> {
        let (Some(manifest), Some(facts)) = (
            shown.images.manifests.get(digest),
            shown
                .pages
                .of(name)
                .and_then(|known| known.facts.get(digest)),
        ) else {
            anyhow::bail!("`{name}@{digest}` is not loaded");
        };
        let Measured { images, .. } = shown.images.measure(digest)?;
        let absent = manifest.children().iter();
        let absent = absent.filter(|child| !shown.images.manifests.contains_key(&child.digest));
        let page = Page::Image(name.clone(), *digest);
        Ok(Self {
            root: root(&page),
            name,
            digest,
            short: digest
                .to_string()
                .chars()
                .take("sha256:".len() + 12)
                .collect(),
            media_type: manifest.media_type,
            description: facts.description.clone(),
            commands: if shown.catalogue.apis.v2 {
                &COMMANDS
            } else {
                &[]
            },
            created: facts.created.clone(),
            size: bytes(facts.size),
            platforms: facts.platforms.clone(),
            absent: absent
                .filter_map(|child| child.platform.as_ref())
                .map(ToString::to_string)
                .collect(),
            attestations: attestations(shown, name, manifest),
            annotations: manifest
                .annotations()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            files: if images.is_empty() {
                files(manifest)
            } else {
                Vec::new()
            },
            sections: images.into_iter().map(section).collect(),
        })
    }
}

/// Those that are part of an index.
fn attestations(shown: &Shown<'_>, name: &Repository, manifest: &Manifest) -> Vec<Attached> {
    let children = manifest.children().iter();
    let children = children.filter(|child| attached::is_attestation(child));
    let present = children.filter_map(|child| shown.images.manifests.get(&child.digest));
    present
        .map(|manifest| attached::attached(name, manifest))
        .collect()
}

fn files(manifest: &Manifest) -> Vec<Blob> {
    let ManifestKind::Image { layers, .. } = &manifest.kind else {
        return Vec::new();
    };
    let blob = |layer: &crate::spec::descriptor::Descriptor| Blob {
        name: layer
            .annotation("org.opencontainers.image.title")
            .unwrap_or(&layer.media_type)
            .to_owned(),
        digest: layer.digest,
        size: bytes(layer.size),
    };
    layers.iter().map(blob).collect()
}

fn section(image: RunnableImage) -> Section {
    let RunnableImage {
        manifest,
        platform,
        config,
    } = image;
    let words = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
    let settings = [
        ("User", config.user.clone()),
        ("Directory", config.working_dir.clone()),
        ("Ports", config.ports.join(" ")),
        ("Entrypoint", words(&config.entrypoint)),
        ("Command", words(&config.cmd)),
    ];
    let settings = settings.into_iter();
    Section {
        platform: platform.to_string(),
        digest: manifest.digest,
        settings: settings
            .filter(|(_, text)| !text.is_empty() && text != "[]")
            .collect(),
        layers: layers(&manifest, &config),
        labels: config.labels.into_iter().collect(),
    }
}

/// The layers, base first, with the steps of the history that made them; the layers alone if these do not match.
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
    let mut sizes = layers.iter().map(|layer| layer.size);
    let layer = |size: Option<u64>, command: String| Layer {
        command,
        size: size.map(bytes),
        percent: size.map_or(0, |size| size.saturating_mul(100) / largest),
    };
    let steps = config.history.iter();
    if steps.clone().filter(|step| !step.empty_layer).count() != layers.len() {
        return sizes.map(|size| layer(Some(size), String::new())).collect();
    }
    steps
        .map(|step| {
            let size = if step.empty_layer { None } else { sizes.next() };
            layer(size, instruction(&step.created_by))
        })
        .collect()
}
