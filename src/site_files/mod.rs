//! Reads the files of a site. Needs no lock, and works on a read-only mount.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::Content;
use crate::error::invalid_input;
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Tag;
use crate::spec::v1::{self, ChainLink, V1Id};
use crate::{bail_invalid, fsx};

pub mod catalogue;
mod entry;
pub mod places;

/// The files of a site. A site that arrives as an archive is laid over the one that it adds to.
#[derive(Clone, Debug)]
pub struct SiteFiles {
    root: PathBuf,
    carried: Option<Arc<Carried>>,
}

/// What an archive carries of a site.
#[derive(Debug)]
pub struct Carried {
    /// The name of the archive in messages, in backticks.
    pub origin: String,
    /// By path relative to the root.
    pub files: BTreeMap<String, Content>,
    /// The blobs that the layers of v1 images are.
    pub v1_layers: BTreeMap<V1Id, Digest>,
}

/// A v1 image of a site.
#[derive(Clone, Debug)]
pub struct V1File {
    pub json: Arc<[u8]>,
    pub parent: Option<V1Id>,
    pub layer: Content,
}

/// The longest catalogue that is read, in bytes: enough for a million references.
pub const MAX_CATALOGUE: u64 = 512 << 20;

/// Files with fewer bytes are copied instead of linked, since a link would save nothing.
pub const LINK_FROM: u64 = 4096;
/// The folders of a site.
pub const FOLDERS: [&str; 5] = ["_pages", "blobs", "lookaside", "v1", "v2"];
/// The longest chain of v1 images that is read. Docker makes at most 127.
pub const MAX_CHAIN: usize = 1024;

impl SiteFiles {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            carried: None,
        }
    }

    /// The files of an archive, and for those that it does not carry the files of the site at `root`.
    pub fn carried(root: impl Into<PathBuf>, carried: Carried) -> Self {
        Self {
            root: root.into(),
            carried: Some(Arc::new(carried)),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The name of the site in messages, in backticks.
    pub fn origin(&self) -> String {
        match &self.carried {
            Some(carried) => carried.origin.clone(),
            None => format!("`{}`", fsx::escaped_path(&self.root)),
        }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A file; `None` if there is none.
    pub fn content(&self, relative: &str) -> anyhow::Result<Option<Content>> {
        if let Some(carried) = &self.carried {
            let found = carried.files.get(relative);
            // The files of a v1 image belong together.
            let folder = relative
                .strip_prefix("v1/images/")
                .and_then(|rest| rest.split('/').next());
            let has_image = |id: &str| carried.files.contains_key(&format!("v1/images/{id}/json"));
            if found.is_some() || folder.is_some_and(has_image) {
                return Ok(found.cloned());
            }
        }
        Content::file(self.path(relative))
    }

    /// Whether an archive carries part of the site.
    pub fn is_carried(&self) -> bool {
        self.carried.is_some()
    }

    /// Whether an archive has the file.
    pub fn carries(&self, relative: &str) -> bool {
        let carried = self.carried.as_ref();
        carried.is_some_and(|carried| carried.files.contains_key(relative))
    }

    /// The blob that is the layer of a v1 image, if an archive says so.
    pub fn v1_layer_digest(&self, id: V1Id) -> Option<Digest> {
        let carried = self.carried.as_ref()?;
        carried.v1_layers.get(&id).copied()
    }

    /// The bytes of `index.json`, if there is one.
    pub fn index(&self) -> anyhow::Result<Option<Vec<u8>>> {
        fsx::read(&self.path("index.json"), MAX_CATALOGUE)
    }

    pub fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        self.content(&blob_path(digest))
    }

    /// The v1 image that a tag names, under one of the names of its repository.
    pub fn v1_tag(&self, name: &str, tag: &Tag) -> anyhow::Result<Option<V1Id>> {
        let path = self.path(&format!("v1/repositories/{name}/tags/{tag}"));
        let bytes = fsx::read(&path, 1 << 10)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes)
            .trim_matches('"')
            .parse()
            .ok())
    }

    pub fn v1_json(&self, id: V1Id) -> anyhow::Result<Option<Arc<[u8]>>> {
        let content = self.content(&format!("v1/images/{id}/json"))?;
        content.map(|content| content.read(MAX_JSON)).transpose()
    }

    /// The `checksum` file of a v1 image. Only images whose JSON or layer cannot be derived have one.
    pub fn v1_checksum(&self, id: V1Id) -> anyhow::Result<Option<Digest>> {
        let Some(content) = self.content(&format!("v1/images/{id}/checksum"))? else {
            return Ok(None);
        };
        let bytes = content.read(1 << 10)?;
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end()
            .parse()
            .map(Some)
            .with_context(|| format!("cannot read {}", content.origin()))
    }

    pub fn v1_layer(&self, id: V1Id) -> anyhow::Result<Option<Content>> {
        match self.v1_layer_digest(id) {
            Some(digest) => self.blob(&digest),
            None => self.content(&format!("v1/images/{id}/layer")),
        }
    }

    /// A v1 image and all images below it, top first. Fails if one is missing or damaged, or if the parents
    /// form a cycle.
    pub fn v1_chain(&self, top: V1Id) -> anyhow::Result<Vec<(V1Id, V1File)>> {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(top);
        while let Some(id) = next {
            if !seen.insert(id) || seen.len() > MAX_CHAIN {
                bail_invalid!(
                    "the parents of the v1 image {top} in {} form a cycle",
                    self.origin()
                );
            }
            let image = self.v1_image(id)?.ok_or_else(|| {
                invalid_input(format!("the v1 image {id} is missing in {}", self.origin()))
            })?;
            next = image.parent;
            chain.push((id, image));
        }
        Ok(chain)
    }

    /// The path of the file to blame for a v1 image that is missing or damaged.
    pub fn v1_lost(&self, id: V1Id) -> String {
        let has_json = self.v1_json(id).is_ok_and(|json| json.is_some());
        let has_layer = self.v1_layer(id).is_ok_and(|layer| layer.is_some());
        let file = if has_json && !has_layer {
            "layer"
        } else {
            "json"
        };
        format!("v1/images/{id}/{file}")
    }

    /// The image below a v1 image whose JSON may be lost, by its own ancestry or that of an image above it.
    pub fn v1_below(&self, id: V1Id, above: V1Id) -> Option<V1Id> {
        let ancestry = |of: V1Id| -> Option<Vec<String>> {
            let path = self.path(&format!("v1/images/{of}/ancestry"));
            let bytes = fsx::read(&path, MAX_JSON).ok()??;
            serde_json::from_slice(&bytes).ok()
        };
        let below = |of: V1Id| {
            let mut ids = ancestry(of)?.into_iter();
            ids.find(|other| *other == id.to_string())?;
            ids.next()?.parse().ok()
        };
        below(id).or_else(|| below(above))
    }

    /// A v1 image and the images below it, as far as the site still says, top first.
    pub fn v1_ids(&self, top: V1Id) -> BTreeSet<V1Id> {
        let mut ids = BTreeSet::new();
        let mut next = Some(top);
        while let Some(id) = next.filter(|id| ids.insert(*id)) {
            next = match self.v1_image(id) {
                Ok(Some(image)) => image.parent,
                _ => self.v1_below(id, top),
            };
        }
        ids
    }

    /// A v1 image; `None` if its JSON or its layer is missing. Its checksum is not compared.
    pub fn v1_image(&self, id: V1Id) -> anyhow::Result<Option<V1File>> {
        let (Some(json), Some(layer)) = (self.v1_json(id)?, self.v1_layer(id)?) else {
            return Ok(None);
        };
        let place = ChainLink::parse(&json)
            .with_context(|| format!("in the v1 image {id} of {}", self.origin()))?;
        if place.id != id {
            bail_invalid!(
                "the v1 image {id} of {} has the id {}",
                self.origin(),
                place.id
            );
        }
        Ok(Some(V1File {
            json,
            parent: place.parent,
            layer,
        }))
    }
}

/// Relative to the root of a site.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The path of a signature of a manifest, relative to the root of a site.
pub fn signature_path(name: &str, signed: &Digest, number: usize) -> String {
    format!(
        "lookaside/{name}@sha256={}/signature-{number}",
        signed.hex()
    )
}

/// The files that a v1 image may have, relative to the root of a site.
pub(crate) fn v1_files(id: V1Id) -> [String; 4] {
    ["ancestry", "checksum", "json", "layer"].map(|name| format!("v1/images/{id}/{name}"))
}

/// The checksum of a v1 image; see [`v1::checksum`].
pub fn checksum(json: &[u8], layer: &Content) -> anyhow::Result<Digest> {
    layer.hash(v1::checksum(json))
}
