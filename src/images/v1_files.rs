//! The JSON and checksum files of v1 images, made when they are written.

use anyhow::Context as _;

use crate::content::Content;
use crate::images::Images;
use crate::images::v1_claims::{JsonSource, LayerSource};
use crate::images::v1_images::{V1Image, V1Images};
use crate::site_files;
use crate::spec::digest::Digest;
use crate::spec::v1::{self, V1Id};

impl V1Image {
    /// Whether the image can be made again from the catalogue and the blobs.
    pub fn is_derived(&self) -> bool {
        !matches!(self.form, JsonSource::Stored(_)) && !matches!(self.layer, LayerSource::Own(_))
    }

    /// An image that is there, so that its files need no planning.
    pub fn in_site(parent: Option<V1Id>) -> Self {
        Self {
            parent,
            form: JsonSource::InSite,
            layer: LayerSource::InSite,
            candidates: Vec::new(),
            tar: None,
            checksum: None,
        }
    }
}

impl V1Images {
    /// The JSON of an image. Fails if the image is [in the site](JsonSource::InSite).
    pub fn json(&self, images: &Images, id: V1Id) -> anyhow::Result<Vec<u8>> {
        let image = &self.images[&id];
        match &image.form {
            JsonSource::Dependency => Ok(v1::dependency_json(id, image.parent)),
            JsonSource::Top(config) => v1::top_json(&images.config(config)?.0, id, image.parent),
            JsonSource::Stored(json) => Ok(json.to_vec()),
            JsonSource::InSite => anyhow::bail!("the v1 image {id} is in the site already"),
        }
    }

    /// The checksum of an image; see [`v1::checksum`].
    pub fn checksum(&self, images: &Images, id: V1Id) -> anyhow::Result<Digest> {
        let image = &self.images[&id];
        if let Some(checksum) = image.checksum {
            return Ok(checksum);
        }
        site_files::checksum(&self.json(images, id)?, &layer(images, image)?)
    }
}

fn layer(images: &Images, image: &V1Image) -> anyhow::Result<Content> {
    let (LayerSource::Blob(digest) | LayerSource::Own(digest)) = &image.layer else {
        anyhow::bail!("the layer is in the site already");
    };
    let stored = images.blobs.get(digest);
    let stored = stored.with_context(|| format!("the layer {digest} is missing"))?;
    Ok(stored.content.clone())
}
