//! What every sample holds, by `fixtures/expected.json`, which an independent script has written;
//! the site that is made of all of them; the layers' bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::files::{Files, decompressed, digest};
use super::site::build;
use super::temp::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// Left out: what is known of it does not say which configs are made of its v1 images.
const LEFT_OUT: &str = "docker-registry-0.9.1";

/// The source that is published under the names in it; every other one under a name made of its own,
/// since most hold the same tags.
const KEEPS_NAMES: &str = "docker-20.10.tar";

/// What is special about a reference for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An image with a Docker schema 2 manifest, the source's or a made one.
    Schema2,
    /// An image with an OCI manifest.
    Oci,
    /// An index of images for several platforms.
    Index,
    /// An image of zstd layers.
    Zstd,
    /// A manifest of something else than layers.
    Artifact,
    /// A signed manifest of Docker schema 1.
    Schema1,
    /// An image from before Docker 1.10.
    Legacy,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Schema2,
        Self::Oci,
        Self::Index,
        Self::Zstd,
        Self::Artifact,
        Self::Schema1,
        Self::Legacy,
    ];

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Schema2 => "schema 2",
            Self::Oci => "OCI",
            Self::Index => "index",
            Self::Zstd => "zstd",
            Self::Artifact => "artifact",
            Self::Schema1 => "schema 1",
            Self::Legacy => "legacy",
        }
    }
}

/// One image: what a reference stands for, or one platform of it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Of a child of an index: `os/architecture[/variant]`.
    pub(crate) platform: Option<String>,
    /// Where the source has a manifest to keep.
    pub(crate) manifest_digest: Option<String>,
    pub(crate) config_digest: String,
    /// From the base to the top.
    pub(crate) diff_ids: Vec<String>,
    /// From the top to the base; none of an artifact.
    pub(crate) v1_ids: Vec<String>,
    /// Whether the v1 ids came with the source: a derived v1 form of the same id goes before it.
    pub(crate) legacy: bool,
    /// The blobs of the manifest, where the source has one.
    pub(crate) blobs: Vec<String>,
}

/// One reference of the site.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// The repository.
    pub(crate) name: String,
    /// None for what is pulled by digest only.
    pub(crate) tag: Option<String>,
    pub(crate) kind: Kind,
    /// Where the source has a manifest or an index to keep.
    pub(crate) manifest_digest: Option<String>,
    /// One, or one for each platform.
    pub(crate) images: Vec<Image>,
}

impl Image {
    /// The digests of the layers as they are served, where the source has them so.
    pub(crate) fn layer_digests(&self) -> Option<&[String]> {
        let (_config, layers) = self.blobs.split_last()?;
        (!layers.is_empty()).then_some(layers)
    }
}

impl Expected {
    /// `name:tag`, or `name@digest` of what has no tag.
    pub(crate) fn reference(&self) -> String {
        match (&self.tag, &self.manifest_digest) {
            (Some(tag), _) => format!("{}:{tag}", self.name),
            (None, Some(digest)) => format!("{}@{digest}", self.name),
            (None, None) => panic!("{} has neither tag nor digest", self.name),
        }
    }
}

/// Every reference of the site that [`build_site`] makes.
pub(crate) fn expected() -> Vec<Expected> {
    let mut all = Vec::new();
    for (source, references) in sources() {
        for (reference, facts) in references.as_object().unwrap() {
            // Names in brackets are other facts about the source.
            if !reference.starts_with('(') {
                all.extend(of_reference(&source, reference, facts));
            }
        }
    }
    all
}

/// Publishes every sample with `stillage build`, together, for every server.
pub(crate) fn build_site() -> TempDir {
    let site = TempDir::new("site");
    let arguments = sources().into_keys().map(|source| {
        if source == KEEPS_NAMES {
            format!("fixtures/{source}")
        } else {
            format!("fixtures/{source}={}", repository(&source))
        }
    });
    let more = ["--server", "apache"].map(str::to_owned);
    let arguments: Vec<_> = arguments.chain(more).collect();
    build(&arguments, site.path());
    site
}

/// Every layer of the samples, uncompressed, by its diff ID.
pub(crate) struct Layers(BTreeMap<String, Vec<u8>>);

impl Layers {
    /// Looks into every file and every member of every archive: no format need be understood.
    pub(crate) fn read() -> Self {
        let mut layers = BTreeMap::new();
        let mut add = |bytes: &[u8]| {
            // One of the samples is an upload that was cut off.
            if let Ok(plain) = decompressed(bytes) {
                layers.insert(digest(&plain), plain);
            }
        };
        for entry in walkdir::WalkDir::new(FIXTURES) {
            let entry = entry.unwrap();
            if !entry.file_type().is_file() {
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap();
            if entry.path().extension().is_some_and(|e| e == "tar") {
                for member in tar::Archive::new(&bytes[..]).entries().unwrap() {
                    let mut content = Vec::new();
                    member.unwrap().read_to_end(&mut content).unwrap();
                    add(&content);
                }
            } else {
                add(&bytes);
            }
        }
        Self(layers)
    }

    /// The uncompressed tar with this diff ID.
    pub(crate) fn plain(&self, diff_id: &str) -> &[u8] {
        let layer = self.0.get(diff_id);
        layer.unwrap_or_else(|| panic!("no layer {diff_id}"))
    }

    /// The merged tree of an image.
    pub(crate) fn files(&self, diff_ids: &[String]) -> Files {
        let layers = diff_ids.iter().map(|id| {
            let layer = self.0.get(id);
            layer.unwrap_or_else(|| panic!("no layer {id}")).as_slice()
        });
        Files::of_layers(layers).unwrap()
    }
}

/// The facts by source.
fn sources() -> BTreeMap<String, Value> {
    let text = fs::read(Path::new(FIXTURES).join("expected.json")).unwrap();
    let mut sources: BTreeMap<String, Value> = serde_json::from_slice(&text).unwrap();
    sources.remove(LEFT_OUT).expect("one of the samples");
    sources
}

/// The name that a source is published under.
fn repository(source: &str) -> String {
    format!("samples/{}", source.trim_end_matches(".tar"))
}

/// One reference; two where the repository has no namespace.
fn of_reference(source: &str, reference: &str, facts: &Value) -> Vec<Expected> {
    let (own_name, tag) = split(reference);
    let name = if source == KEEPS_NAMES {
        own_name.to_owned()
    } else {
        repository(source)
    };
    let kind = kind(facts);
    let tag = match tag {
        Some(tag) => Some(tag),
        // A lone image without a tag becomes `latest`.
        None if kind != Kind::Artifact => Some("latest"),
        None => None,
    };
    let images = match facts["children"].as_array() {
        Some(children) => children.iter().map(image).collect(),
        None => vec![image(facts)],
    };
    let expected = Expected {
        tag: tag.map(str::to_owned),
        kind,
        manifest_digest: kept_manifest(facts),
        images,
        name,
    };
    let mut all = vec![expected];
    if !all[0].name.contains('/') {
        let name = format!("library/{}", all[0].name);
        all.push(Expected {
            name,
            ..all[0].clone()
        });
    }
    all
}

/// Name and tag of `name:tag`, `host:port/name:tag`, `@digest` or nothing.
fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !reference.starts_with('@') => (name, Some(tag)),
        _ => ("", None),
    }
}

fn kind(facts: &Value) -> Kind {
    let layers = facts["layer_media_types"].as_array();
    let has = |part| {
        let mut types = layers.into_iter().flatten();
        types.any(|t| t.as_str().unwrap().contains(part))
    };
    match facts["kind"].as_str() {
        Some("index") => Kind::Index,
        Some("artifact (not an image)") => Kind::Artifact,
        Some("image") if has("+zstd") => Kind::Zstd,
        Some("image") if has("vnd.oci") => Kind::Oci,
        None if facts["docker_20_10_load_gives"].is_object() => Kind::Legacy,
        Some("image") | None => Kind::Schema2,
        Some(other) => panic!("an unknown kind {other}"),
    }
}

/// An archive of `docker save` has plain layers, so its manifests are no registry's: only others are kept.
fn kept_manifest(facts: &Value) -> Option<String> {
    facts["kind"].as_str()?;
    facts["manifest_digest"].as_str().map(str::to_owned)
}

fn image(facts: &Value) -> Image {
    let list = |key: &str| -> Vec<String> {
        let items = facts[key].as_array().into_iter().flatten();
        items.map(|i| i.as_str().unwrap().to_owned()).collect()
    };
    let loaded = &facts["docker_20_10_load_gives"];
    let legacy = loaded.is_object();
    let (config, diff_ids, v1_ids) = if legacy {
        assert_eq!(loaded["diff_ids_equal_layer_tars"], true);
        let keys = ["layer_tar_sha256_bottom_first", "v1_ids_in_file_top_first"];
        (&loaded["config_digest"], list(keys[0]), list(keys[1]))
    } else {
        let keys = ["diff_ids", "v1_push_ids_top_first"];
        (&facts["config_digest"], list(keys[0]), list(keys[1]))
    };
    let config_digest = config.as_str().unwrap().to_owned();
    let mut blobs = list("layer_digests");
    blobs.push(config_digest.clone());
    Image {
        platform: platform(&facts["platform"]),
        manifest_digest: kept_manifest(facts),
        config_digest,
        diff_ids,
        v1_ids,
        legacy,
        blobs,
    }
}

fn platform(facts: &Value) -> Option<String> {
    let parts = ["os", "architecture", "variant"];
    let parts = parts.iter().filter_map(|key| facts[key].as_str());
    let text = parts.collect::<Vec<_>>().join("/");
    (!text.is_empty()).then_some(text)
}
