//! What can be told of an image from its manifests and configs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::images::Images;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::image_config::ImageConfig;
use crate::spec::manifest::Manifest;

/// An image, or an index with all that it leads to.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// In bytes. What is there twice counts once.
    pub size: u64,
    /// In the order of the index.
    pub platforms: Vec<String>,
    /// When the newest image was created.
    pub created: Option<Timestamp>,
}

impl Images {
    /// Measures a manifest and all that it points to. Configs that are lost are left out.
    ///
    /// # Errors
    /// When a config cannot be read.
    pub fn measure(&self, digest: &Digest) -> anyhow::Result<Measured> {
        let mut measured = Measured {
            size: self.size(digest),
            ..Measured::default()
        };
        for manifest in self.with_children(digest) {
            if let Some((platform, config)) = self.image_config(manifest)? {
                let platform = platform.to_string();
                if !measured.platforms.contains(&platform) {
                    measured.platforms.push(platform);
                }
                measured.created = measured.created.max(config.created);
            }
        }
        Ok(measured)
    }

    /// The length in bytes of a manifest and all that it points to, each counted once.
    pub fn size(&self, digest: &Digest) -> u64 {
        let (mut size, mut seen) = (0, BTreeSet::from([*digest]));
        for manifest in self.with_children(digest) {
            size += manifest.bytes.len() as u64;
            for blob in manifest.blobs() {
                let stored = || self.blobs.get(&blob.digest).map(|stored| stored.size);
                if let Some(length) = blob.size.or_else(stored)
                    && seen.insert(blob.digest)
                {
                    size += length;
                }
            }
        }
        size
    }

    /// The platform and the config of a runnable image; `None` for anything else, and if its config is lost.
    ///
    /// # Errors
    /// When the config cannot be read.
    pub fn image_config(
        &self,
        manifest: &Manifest,
    ) -> anyhow::Result<Option<(Platform, ImageConfig)>> {
        let config = manifest.config().filter(|_| manifest.is_image());
        let Some(digest) = config.filter(|config| !self.damage.has(config)) else {
            return Ok(None);
        };
        let (bytes, config) = self.config(digest)?;
        Ok(Some((config.platform, ImageConfig::parse(&bytes))))
    }
}
