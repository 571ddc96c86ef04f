//! Making and checking the manifests of a draft, once its content is taken in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bail_bad;
use crate::images::{Finished, Images, Taken, memory_blob};
use crate::import::draft::{Config, Draft, JobId, ManifestId, Planned};
use crate::import::ingest::Stored;
use crate::layer::Packing;
use crate::spec::digest::Digest;
use crate::spec::legacy;
use crate::spec::manifest::{Body, MAX_JSON, Manifest};
use crate::spec::remake::{self, Made};
use crate::spec::v1;

impl Images {
    /// The manifest as the site serves it; its blobs are added.
    pub(super) fn finish(
        &mut self,
        draft: &Draft,
        id: ManifestId,
        finished: &Finished,
        taken: &Taken,
        diff_ids: bool,
    ) -> anyhow::Result<Arc<Manifest>> {
        match &draft.manifests[id] {
            Planned::Made { config, layers } => self.make(config, layers, taken).map(Arc::new),
            Planned::Kept {
                manifest,
                blobs,
                children,
                remade,
            } => {
                self.keep_blobs(blobs, taken);
                if manifest.is_image() && (diff_ids || *remade) {
                    let stored: Vec<&Stored> = blobs.iter().map(|job| &taken[job]).collect();
                    check_diff_ids(manifest, &stored)?;
                }
                match (remade, &manifest.body) {
                    (false, _) => Ok(Arc::clone(manifest)),
                    (true, Body::Index(_)) => {
                        remake_index(manifest, children, draft, finished).map(Arc::new)
                    }
                    (true, _) => remake_image(manifest, blobs, taken).map(Arc::new),
                }
            }
        }
    }

    /// Compares the layers of all images with their configs.
    ///
    /// # Errors
    /// Names a layer that is not what its config says.
    pub fn check_diff_ids(&self) -> anyhow::Result<()> {
        self.manifests
            .values()
            .try_for_each(|manifest| self.check_diff_ids_of(manifest))
    }

    /// Compares the layers of an image with its config, as far as they have been measured; what is
    /// no image has none.
    ///
    /// # Errors
    /// Names a layer that is not what its config says.
    pub fn check_diff_ids_of(&self, manifest: &Manifest) -> anyhow::Result<()> {
        if !manifest.is_image() {
            return Ok(());
        }
        let blobs = manifest.blobs();
        let blobs: Vec<&Stored> = blobs.iter().map(|blob| &self.blobs[&blob.digest]).collect();
        check_diff_ids(manifest, &blobs)
    }

    fn keep_blobs(&mut self, jobs: &[JobId], taken: &Taken) {
        for job in jobs {
            self.add_blob(taken[job].clone());
        }
    }

    fn make(
        &mut self,
        config: &Config,
        layers: &[JobId],
        taken: &Taken,
    ) -> anyhow::Result<Manifest> {
        self.keep_blobs(layers, taken);
        let made = |stored: &Stored| Made {
            digest: stored.digest,
            size: stored.size,
            zstd: stored.packing == Packing::Zstd,
        };
        let config = match config {
            Config::Kept(job, diff_ids) => {
                for (layer, claimed) in layers.iter().zip(diff_ids) {
                    check_diff_id(&taken[layer], claimed)?;
                }
                taken[job].clone()
            }
            Config::Legacy(chain) => {
                let diff_ids: Vec<Digest> = layers
                    .iter()
                    .filter_map(|layer| taken[layer].tar.map(|tar| tar.diff_id))
                    .collect();
                memory_blob(checked(legacy::config(chain, &diff_ids)?, "config")?)
            }
        };
        let layers: Vec<Made> = layers.iter().map(|layer| made(&taken[layer])).collect();
        let bytes = remake::manifest(made(&config), &layers);
        self.add_blob(config);
        parse_made(bytes, None)
    }
}

/// Compares the layers of an image with its config, given its config and layers. Layers that are not
/// in the site, which a registry must not distribute, cannot be compared.
fn check_diff_ids(manifest: &Manifest, blobs: &[&Stored]) -> anyhow::Result<()> {
    let Body::Image { layers, .. } = &manifest.body else {
        return Ok(());
    };
    let [config, blobs @ ..] = blobs else {
        return Ok(());
    };
    let claimed = v1::Config::parse(&config.content.read(MAX_JSON)?)
        .map_err(|error| error.context(format!("cannot read {}", config.content.origin())))?
        .diff_ids;
    if claimed.len() != layers.len() {
        bail_bad!(
            "the manifest {} has {} layers, its config {} diff IDs",
            manifest.digest,
            layers.len(),
            claimed.len()
        );
    }
    if blobs.len() == layers.len() {
        blobs
            .iter()
            .zip(&claimed)
            .try_for_each(|(blob, claimed)| check_diff_id(blob, claimed))?;
    }
    Ok(())
}

fn check_diff_id(layer: &Stored, claimed: &Digest) -> anyhow::Result<()> {
    match layer.tar.map(|tar| tar.diff_id) {
        Some(actual) if actual != *claimed => {
            bail_bad!(
                "the layer {} has the diff ID {actual}, not {claimed} as its config says",
                layer.digest
            )
        }
        _ => Ok(()),
    }
}

fn remake_image(manifest: &Manifest, blobs: &[JobId], taken: &Taken) -> anyhow::Result<Manifest> {
    let replaced = manifest
        .blobs()
        .iter()
        .zip(blobs)
        .map(|(old, job)| (old.digest, &taken[job]))
        .filter(|(old, stored)| *old != stored.digest)
        .map(|(old, stored)| {
            (
                old,
                Made {
                    digest: stored.digest,
                    size: stored.size,
                    zstd: false,
                },
            )
        })
        .collect();
    parse_made(
        remake::with_layers(&manifest.bytes, &replaced)?,
        Some(manifest.media_type),
    )
}

fn remake_index(
    manifest: &Manifest,
    children: &[ManifestId],
    draft: &Draft,
    finished: &Finished,
) -> anyhow::Result<Manifest> {
    let mut replaced = BTreeMap::new();
    for id in children {
        if let Planned::Kept {
            manifest: old,
            remade: true,
            ..
        } = &draft.manifests[*id]
        {
            let new = &finished[id];
            replaced.insert(old.digest, (new.digest, new.bytes.len() as u64));
        }
    }
    parse_made(
        remake::with_children(&manifest.bytes, &replaced)?,
        Some(manifest.media_type),
    )
}

/// Reads a manifest that was made. What is too long for a registry is refused before it is written.
fn parse_made(bytes: Vec<u8>, media_type: Option<&str>) -> anyhow::Result<Manifest> {
    Manifest::parse(checked(bytes, "manifest")?.into(), media_type)
}

fn checked(bytes: Vec<u8>, what: &str) -> anyhow::Result<Vec<u8>> {
    if bytes.len() as u64 > MAX_JSON {
        bail_bad!(
            "the {what} that has to be made has {} bytes, more than the {MAX_JSON} that are allowed",
            bytes.len()
        );
    }
    Ok(bytes)
}
