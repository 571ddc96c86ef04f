//! Makes and checks the manifests of a draft once its content is imported.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bail_invalid;
use crate::images::{Finished, Images, Imported, memory_blob};
use crate::import::draft::{ConfigSource, Draft, JobId, ManifestId, ManifestSource};
use crate::import::ingest::Stored;
use crate::layer::Compression;
use crate::spec::digest::Digest;
use crate::spec::legacy;
use crate::spec::manifest::{MAX_JSON, Manifest, ManifestKind};
use crate::spec::remake::{self, MadeBlob};
use crate::spec::v1;

impl Images {
    /// Adds the blobs of a manifest. Returns the manifest as the site serves it.
    pub(super) fn finish(
        &mut self,
        draft: &Draft,
        id: ManifestId,
        finished: &Finished,
        imported: &Imported,
        diff_ids: bool,
    ) -> anyhow::Result<Arc<Manifest>> {
        match &draft.manifests[id] {
            ManifestSource::Made { config, layers } => {
                self.make(config, layers, imported).map(Arc::new)
            }
            ManifestSource::Kept {
                manifest,
                blobs,
                children,
                remade,
                ..
            } => {
                self.keep_blobs(blobs, imported);
                if manifest.is_image() && (diff_ids || *remade) {
                    let stored: Vec<&Stored> = blobs.iter().map(|job| &imported[job]).collect();
                    check_diff_ids(manifest, &stored)?;
                }
                match (remade, &manifest.kind) {
                    (false, _) => Ok(Arc::clone(manifest)),
                    (true, ManifestKind::Index(_)) => {
                        remake_index(manifest, children, draft, finished).map(Arc::new)
                    }
                    (true, _) => remake_image(manifest, blobs, imported).map(Arc::new),
                }
            }
        }
    }

    /// Compares the diff IDs of all images with their configs. The error names the first layer that differs.
    pub fn check_diff_ids(&self) -> anyhow::Result<()> {
        self.manifests
            .values()
            .try_for_each(|manifest| self.check_diff_ids_of(manifest))
    }

    /// Compares the diff IDs of an image with its config, for the layers that have been measured. Does
    /// nothing for a manifest that is not an image.
    pub fn check_diff_ids_of(&self, manifest: &Manifest) -> anyhow::Result<()> {
        if !manifest.is_image() {
            return Ok(());
        }
        let blobs = manifest.blobs();
        if blobs
            .first()
            .is_some_and(|config| self.damage.has(&config.digest))
        {
            return Ok(());
        }
        let blobs: Vec<&Stored> = blobs.iter().map(|blob| &self.blobs[&blob.digest]).collect();
        check_diff_ids(manifest, &blobs)
    }

    fn keep_blobs(&mut self, jobs: &[JobId], imported: &Imported) {
        for job in jobs {
            self.add_blob(imported[job].clone());
        }
    }

    fn make(
        &mut self,
        config: &ConfigSource,
        layers: &[JobId],
        imported: &Imported,
    ) -> anyhow::Result<Manifest> {
        self.keep_blobs(layers, imported);
        let config = match config {
            ConfigSource::Kept(job, diff_ids) => {
                for (layer, claimed) in layers.iter().zip(diff_ids) {
                    check_diff_id(&imported[layer], claimed)?;
                }
                imported[job].clone()
            }
            ConfigSource::Legacy(chain) => {
                let diff_ids: Vec<Digest> = layers
                    .iter()
                    .filter_map(|layer| imported[layer].tar.map(|tar| tar.diff_id))
                    .collect();
                memory_blob(checked(legacy::config(chain, &diff_ids)?, "config")?)
            }
        };
        let layers: Vec<MadeBlob> = layers.iter().map(|layer| made(&imported[layer])).collect();
        let bytes = remake::manifest(made(&config), &layers);
        self.add_blob(config);
        parse_made(bytes, None)
    }
}

/// Compares the diff IDs of an image with its config; `blobs` is the config, then the layers. If some layers
/// are foreign, the site may not have them, and only the number of layers is compared.
fn check_diff_ids(manifest: &Manifest, blobs: &[&Stored]) -> anyhow::Result<()> {
    let ManifestKind::Image { layers, .. } = &manifest.kind else {
        return Ok(());
    };
    let [config, blobs @ ..] = blobs else {
        return Ok(());
    };
    let config = v1::Config::parse(&config.content.read(MAX_JSON)?)
        .map_err(|error| error.context(format!("cannot read {}", config.content.origin())))?;
    config.check_layers(manifest)?;
    if let Some(claimed) = config.diff_ids
        && blobs.len() == layers.len()
    {
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
            bail_invalid!(
                "the layer {} has the diff ID {actual}, not {claimed} as its config says",
                layer.digest
            )
        }
        _ => Ok(()),
    }
}

fn made(stored: &Stored) -> MadeBlob {
    MadeBlob {
        digest: stored.digest,
        size: stored.size,
        zstd: stored.compression == Compression::Zstd,
    }
}

fn remake_image(
    manifest: &Manifest,
    blobs: &[JobId],
    imported: &Imported,
) -> anyhow::Result<Manifest> {
    let replaced = manifest
        .blobs()
        .iter()
        .zip(blobs)
        .map(|(old, job)| (old.digest, &imported[job]))
        .filter(|(old, stored)| *old != stored.digest)
        .map(|(old, stored)| (old, made(stored)))
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
        if let ManifestSource::Kept {
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

/// Parses a manifest that was made here. Refuses it if it is too long for a registry.
fn parse_made(bytes: Vec<u8>, media_type: Option<&str>) -> anyhow::Result<Manifest> {
    Manifest::parse(checked(bytes, "manifest")?.into(), media_type)
}

fn checked(bytes: Vec<u8>, what: &str) -> anyhow::Result<Vec<u8>> {
    if bytes.len() as u64 > MAX_JSON {
        bail_invalid!(
            "the new {what} would have {} bytes, more than the allowed {MAX_JSON}",
            bytes.len()
        );
    }
    Ok(bytes)
}
