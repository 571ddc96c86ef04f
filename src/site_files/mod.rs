//! Reads the files of a site. Needs no lock, and works on a read-only mount.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::Content;
use crate::error::invalid_input;
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::v1::{self, ChainLink, V1Id};
use crate::{bail_invalid, fsx};

pub mod catalogue;

#[derive(Clone, Debug)]
pub struct SiteFiles(PathBuf);

/// A v1 image of a site.
#[derive(Clone, Debug)]
pub struct V1File {
    pub json: Arc<[u8]>,
    pub parent: Option<V1Id>,
    pub layer: Content,
}

/// The longest catalogue that is read, in bytes: enough for a million references.
const MAX_CATALOGUE: u64 = 512 << 20;

/// Files with fewer bytes are copied instead of linked, since a link would save nothing.
pub const LINK_FROM: u64 = 4096;
/// The longest chain of v1 images that is read. Docker makes at most 127.
pub const MAX_CHAIN: usize = 1024;

impl SiteFiles {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The name of the site in messages, in backticks.
    pub fn origin(&self) -> String {
        format!("`{}`", fsx::escaped_path(&self.0))
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    /// The bytes of `index.json`, if there is one.
    pub fn index(&self) -> anyhow::Result<Option<Vec<u8>>> {
        fsx::read(&self.path("index.json"), MAX_CATALOGUE)
    }

    pub fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        Content::file(self.path(&blob_path(digest)))
    }

    pub fn v1_json(&self, id: V1Id) -> anyhow::Result<Option<Arc<[u8]>>> {
        let content = Content::file(self.path(&format!("v1/images/{id}/json")))?;
        content.map(|content| content.read(MAX_JSON)).transpose()
    }

    /// The `checksum` file of a v1 image. Only images whose JSON or layer cannot be derived have one.
    pub fn v1_checksum(&self, id: V1Id) -> anyhow::Result<Option<Digest>> {
        let path = self.path(&format!("v1/images/{id}/checksum"));
        let Some(bytes) = fsx::read(&path, 1 << 10)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end()
            .parse()
            .map(Some)
            .with_context(|| format!("cannot read `{}`", fsx::escaped_path(&path)))
    }

    pub fn v1_layer(&self, id: V1Id) -> anyhow::Result<Option<Content>> {
        Content::file(self.path(&format!("v1/images/{id}/layer")))
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
            let image = self.v1_image(id)?;
            next = image.parent;
            chain.push((id, image));
        }
        Ok(chain)
    }

    /// The first image of a chain that is missing or damaged; the top image if there is none.
    pub fn v1_broken(&self, top: V1Id) -> V1Id {
        let mut id = top;
        for _ in 0..MAX_CHAIN {
            match self.v1_image(id) {
                Ok(V1File {
                    parent: Some(parent),
                    ..
                }) => id = parent,
                Ok(_) => return top,
                Err(_) => return id,
            }
        }
        top
    }

    fn v1_image(&self, id: V1Id) -> anyhow::Result<V1File> {
        let missing =
            || invalid_input(format!("the v1 image {id} is missing in {}", self.origin()));
        let json = self.v1_json(id)?.ok_or_else(missing)?;
        let layer = self.v1_layer(id)?.ok_or_else(missing)?;
        let place = ChainLink::parse(&json)
            .with_context(|| format!("in the v1 image {id} of {}", self.origin()))?;
        if place.id != id {
            bail_invalid!(
                "the v1 image {id} of {} has the id {}",
                self.origin(),
                place.id
            );
        }
        if let Some(expected) = self.v1_checksum(id)?
            && expected != checksum(&json, &layer)?
        {
            bail_invalid!(
                "the v1 image {id} of {} does not match its checksum",
                self.origin()
            );
        }
        Ok(V1File {
            json,
            parent: place.parent,
            layer,
        })
    }
}

/// Relative to the root of a site.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The files that a v1 image may have, relative to the root of a site.
pub(crate) fn v1_files(id: V1Id) -> [String; 4] {
    ["ancestry", "checksum", "json", "layer"].map(|name| format!("v1/images/{id}/{name}"))
}

/// The checksum of a v1 image; see [`v1::checksum`].
pub fn checksum(json: &[u8], layer: &Content) -> anyhow::Result<Digest> {
    layer.hash(v1::checksum(json))
}
