//! What can be told of an image from its manifests and configs.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::images::Images;
use crate::images::damage::is_lost;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::image_config::ImageConfig;
use crate::spec::manifest::Manifest;

/// An image, or an index with all that it leads to.
#[derive(Debug, Default)]
pub struct Measured {
    /// In bytes. What is there twice counts once.
    pub size: u64,
    /// The runnable images, in the order of the index.
    pub images: Vec<RunnableImage>,
}

#[derive(Debug)]
pub struct RunnableImage {
    pub manifest: Arc<Manifest>,
    pub platform: Platform,
    pub config: ImageConfig,
}

impl Measured {
    pub fn platforms(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let names = self.images.iter().map(|image| image.platform.to_string());
        names.filter(|name| seen.insert(name.clone())).collect()
    }

    /// When the newest image was created.
    pub fn created(&self) -> Option<Timestamp> {
        self.images
            .iter()
            .filter_map(|image| image.config.created)
            .max()
    }
}

impl Images {
    /// Whether all configs are there of the images that a manifest leads to.
    pub fn has_configs(&self, digest: &Digest) -> bool {
        let has_config = |manifest: &Manifest| {
            let config = manifest.config().filter(|_| manifest.is_image());
            !is_lost(manifest) && config.is_none_or(|config| self.held(config).is_some())
        };
        let all = self.with_children(digest);
        !all.is_empty() && all.into_iter().all(has_config)
    }

    /// Measures a manifest and all that it points to. Configs that are lost are left out.
    ///
    /// # Errors
    /// When a config cannot be read.
    pub fn measure(&self, digest: &Digest) -> anyhow::Result<Measured> {
        let mut measured = Measured::default();
        let mut seen = BTreeSet::from([*digest]);
        let mut next: Vec<&Arc<Manifest>> = self.manifests.get(digest).into_iter().collect();
        while let Some(manifest) = next.pop() {
            measured.size += manifest.bytes.len() as u64;
            for blob in manifest.blobs() {
                let stored = self.blobs.get(&blob.digest).map(|stored| stored.size);
                if let Some(size) = stored.or(blob.size).filter(|_| seen.insert(blob.digest)) {
                    measured.size += size;
                }
            }
            if let Some(config) = manifest.config()
                && manifest.is_image()
                && !self.damage.has(config)
            {
                let (bytes, parsed) = self.config(config)?;
                measured.images.push(RunnableImage {
                    manifest: manifest.clone(),
                    platform: parsed.platform,
                    config: ImageConfig::parse(&bytes),
                });
            }
            let children = manifest.children().iter().rev();
            for child in children.filter_map(|child| self.manifests.get(&child.digest)) {
                if seen.insert(child.digest) {
                    next.push(child);
                }
            }
        }
        Ok(measured)
    }
}
