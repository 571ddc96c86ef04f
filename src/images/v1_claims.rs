//! Which images claim a v1 id: those whose id is derived, those that came with it, and those in the site.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::invalid_input;
use crate::images::v1_choice::choose;
use crate::images::{Images, V1Form, memory_blob};
use crate::import::ingest::Stored;
use crate::layer::{self, Compression};
use crate::site_files::catalogue::Repo;
use crate::site_files::{LINK_FROM, SiteFiles, checksum};
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::v1::{self, ChainLink, V1Id};

/// Where the JSON of a v1 image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonSource {
    /// Derived: it has only an id and a parent.
    Dependency,
    /// Derived from this config.
    Top(Digest),
    /// Came with a source.
    Stored(Arc<[u8]>),
    /// In the site, which keeps it.
    InSite,
}

/// Where the layer of a v1 image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerSource {
    /// A blob that manifests list too.
    Blob(Digest),
    /// A separate file, by [`Stored::digest`].
    Own(Digest),
    /// In the site, which keeps it.
    InSite,
}

/// A layer that v1 clients cannot use.
#[derive(Debug)]
pub struct Unfit {
    /// The layers below, base first.
    pub below: Vec<Digest>,
    pub layer: Digest,
    /// The JSON of the image, for its checksum.
    pub json: Vec<u8>,
}

/// A layer that was made for v1 clients.
#[derive(Debug)]
pub struct Made {
    pub stored: Stored,
    /// The checksum of the image; see [`v1::checksum`].
    pub checksum: Option<Digest>,
}

/// Makes layers that v1 clients can use, in the same order.
pub type Encode<'a> = dyn Fn(&Images, &[Unfit]) -> anyhow::Result<Vec<Made>> + 'a;

/// Leaves layers as they are, for a site that is only read: it has those that were made.
pub fn leave(images: &Images, unfit: &[Unfit]) -> anyhow::Result<Vec<Made>> {
    let left = |unfit: &Unfit| Made {
        stored: images.blobs[&unfit.layer].clone(),
        checksum: None,
    };
    Ok(unfit.iter().map(left).collect())
}

pub(super) type Claims = BTreeMap<V1Id, Claim>;

/// An image that could get a v1 id.
pub(super) struct Claim {
    pub(super) parent: Option<V1Id>,
    pub(super) form: JsonSource,
    /// Blobs that could be the layer, best first. `true` means that v1 clients cannot use the blob as it is.
    layers: BTreeSet<(bool, Digest)>,
}

/// The state of a layer in the site, compared with the claim for its id.
pub(super) enum SiteLayer {
    /// One of the layers that the image may have.
    Candidate,
    /// Another compression of the same tar, with the checksum that the site must store for it.
    Older(Digest),
    /// Missing, or different content.
    Damaged,
}

/// The claim of an image that came with a source or is in the site.
pub(super) fn stored_claim(
    images: &Images,
    site: Option<&SiteFiles>,
    id: V1Id,
) -> anyhow::Result<Claim> {
    if let Some(V1Form {
        json,
        parent,
        layer,
        ..
    }) = images.v1.get(&id)
    {
        let is_zstd = |layer| images.blobs[layer].compression == Compression::Zstd;
        let layers = layer.iter().map(|layer| (is_zstd(layer), *layer)).collect();
        return Ok(Claim {
            parent: *parent,
            form: JsonSource::Stored(json.clone()),
            layers,
        });
    }
    let json = site.map_or(Ok(None), |site| site.v1_json(id))?;
    let json = json.ok_or_else(|| invalid_input(format!("the v1 image {id} is missing")))?;
    Ok(Claim {
        parent: ChainLink::parse(&json)?.parent,
        form: JsonSource::InSite,
        layers: BTreeSet::new(),
    })
}

impl Claim {
    pub(super) fn has_json(&self, images: &Images, id: V1Id, json: &[u8]) -> anyhow::Result<bool> {
        Ok(match &self.form {
            JsonSource::Dependency => json == v1::dependency_json(id, self.parent),
            JsonSource::Top(config) => {
                json == v1::top_json(&images.config(config)?.0, id, self.parent)?
            }
            JsonSource::Stored(stored) => json == &**stored,
            JsonSource::InSite => true,
        })
    }

    /// Whether `layer` is one of the claim's layers, or `None`.
    pub(super) fn has_layer(&self, layer: Option<Digest>) -> bool {
        layer.is_none_or(|layer| self.layers.iter().any(|(_, digest)| *digest == layer))
    }

    /// The checksum that came with the image from its source, if its layer is that of the source too.
    pub(super) fn checksum(&self, images: &Images, id: V1Id, layer: LayerSource) -> Option<Digest> {
        let form = images.v1.get(&id)?;
        let is_stored = matches!(&self.form, JsonSource::Stored(json) if *json == form.json);
        let (LayerSource::Blob(digest) | LayerSource::Own(digest)) = layer else {
            return None;
        };
        form.checksum
            .filter(|_| is_stored && form.layer == Some(digest))
    }

    /// See [`v1::has_text_command`]; `false` for an image of the site.
    pub(super) fn has_text_command(&self, images: &Images) -> anyhow::Result<bool> {
        Ok(match &self.form {
            JsonSource::Top(config) => v1::has_text_command(&images.config(config)?.0),
            JsonSource::Stored(json) => v1::has_text_command(json),
            JsonSource::Dependency | JsonSource::InSite => false,
        })
    }

    /// Whether v1 clients can use none of its blobs, so that a layer is made for them.
    pub(super) fn needs_own_layer(&self) -> bool {
        self.layers.first().is_some_and(|(is_unfit, _)| *is_unfit)
    }

    /// Whether all blobs that could be its layer are lost.
    pub(super) fn is_lost(&self, images: &Images) -> bool {
        let mut layers = self.layers.iter();
        !self.layers.is_empty() && layers.all(|(_, digest)| images.damage.has(digest))
    }

    /// The blobs that v1 clients can use, best first.
    pub(super) fn candidates(&self) -> Vec<Digest> {
        self.layers
            .iter()
            .filter(|(unfit, _)| !unfit)
            .map(|(_, digest)| *digest)
            .collect()
    }

    /// One of the blobs that have the tar of its layer.
    pub(super) fn tar(&self) -> Option<Digest> {
        self.layers.first().map(|(_, digest)| *digest)
    }

    /// Compares the layer in the site with the claim.
    pub(super) fn kept_layer(
        &self,
        images: &Images,
        site: &SiteFiles,
        id: V1Id,
        json: &[u8],
    ) -> anyhow::Result<SiteLayer> {
        let Some(layer) = site.v1_layer(id)? else {
            return Ok(SiteLayer::Damaged);
        };
        if self.layers.is_empty() || site.v1_checksum(id).is_ok_and(|it| it.is_some()) {
            return Ok(SiteLayer::Candidate);
        }
        let is_lost = |(_, digest): &(bool, Digest)| images.damage.has(digest);
        // Nothing is left to compare it with.
        if self.layers.iter().any(is_lost) {
            return Ok(SiteLayer::Candidate);
        }
        // It came with a source, so it needs a checksum, which is lost. The source still has the image.
        if matches!(&self.form, JsonSource::Stored(stored) if **stored == *json) {
            return Ok(SiteLayer::Damaged);
        }
        let stored = self.layers.iter().map(|(_, digest)| &images.blobs[digest]);
        let mut of_length = stored
            .clone()
            .filter(|stored| stored.size == layer.len())
            .peekable();
        // A long layer of equal length is taken for a link or copy of the blob; `verify` compares them.
        if of_length.peek().is_some() {
            let digest = if layer.len() < LINK_FROM {
                Some(Digest::of(&layer.read(LINK_FROM)?))
            } else {
                None
            };
            if digest.is_none_or(|digest| of_length.any(|stored| stored.digest == digest)) {
                return Ok(SiteLayer::Candidate);
            }
        }
        let Some(expected) = stored.clone().next() else {
            return Ok(SiteLayer::Candidate);
        };
        let expected = expected
            .tar
            .map_or_else(|| layer::tar(&expected.content), Ok)?;
        Ok(match layer::tar(&layer) {
            Ok(tar) if tar.diff_id == expected.diff_id => SiteLayer::Older(checksum(json, &layer)?),
            _ => SiteLayer::Damaged,
        })
    }

    /// Chooses the layer. If v1 clients cannot use any of the blobs, one has to be made from this one above those below,
    /// base first.
    pub(super) fn layer(
        &self,
        images: &mut Images,
        blobs: &BTreeSet<Digest>,
        claims: &Claims,
    ) -> Result<LayerSource, (Vec<Digest>, Digest)> {
        let is_left = |layer: &&(bool, Digest)| !images.damage.has(&layer.1);
        let below = self.below(claims);
        let own = match self.layers.iter().find(is_left) {
            None if self.is_lost(images) => return Ok(LayerSource::InSite),
            Some((true, _)) if below.iter().any(|digest| images.damage.has(digest)) => {
                return Ok(LayerSource::InSite);
            }
            Some((false, digest)) if blobs.contains(digest) => {
                return Ok(LayerSource::Blob(*digest));
            }
            Some((false, digest)) => return Ok(LayerSource::Own(*digest)),
            Some((true, digest)) => {
                return Err((below, *digest));
            }
            None if matches!(self.form, JsonSource::Stored(_)) => return Ok(LayerSource::InSite),
            // Docker pushes an image without layers as one v1 image with an empty tar.
            None => memory_blob(vec![0; 1024]),
        };
        let digest = own.digest;
        images.blobs.entry(digest).or_insert(own);
        Ok(LayerSource::Own(digest))
    }

    /// The layers below, base first.
    fn below(&self, claims: &Claims) -> Vec<Digest> {
        let mut below = Vec::new();
        let mut next = self.parent;
        while let Some(claim) = next.and_then(|id| claims.get(&id)) {
            below.extend(claim.layers.first().map(|(_, digest)| *digest));
            next = claim.parent;
        }
        below.reverse();
        below
    }
}

/// The v1 ids that `docker push` would derive for all images. Untagged images are included, since layers of
/// v1 images in the site may come from them.
pub(super) fn derived_claims(images: &Images) -> anyhow::Result<Claims> {
    let mut claims = Claims::new();
    // Images that came with a v1 form have only that one.
    let entries = images
        .repositories
        .values()
        .flat_map(|repo| &repo.manifests);
    let without_own: BTreeSet<&Digest> = entries
        .filter(|(_, entry)| entry.v1.is_none())
        .map(|(digest, _)| digest)
        .collect();
    for manifest in without_own
        .into_iter()
        .map(|digest| &images.manifests[digest])
    {
        let Ok((config, ids)) = v1_chain(images, manifest)? else {
            continue;
        };
        let blobs = manifest.blobs();
        let mut parent = None;
        for (index, id) in ids.iter().enumerate() {
            let form = if index + 1 == ids.len() {
                JsonSource::Top(config)
            } else {
                JsonSource::Dependency
            };
            let claim = claims.entry(*id).or_insert_with(|| Claim {
                parent,
                form,
                layers: BTreeSet::new(),
            });
            if let Some(layer) = blobs.get(index + 1) {
                let stored = &images.blobs[&layer.digest];
                let unfit = stored.compression == Compression::Zstd
                    || stored.tar.is_some_and(|tar| tar.incomplete_for_v1);
                claim.layers.insert((unfit, layer.digest));
            }
            parent = Some(*id);
        }
    }
    Ok(claims)
}

/// The config of a manifest that has a v1 form, or why it has none.
fn v1_config(manifest: &Manifest) -> Result<Digest, &'static str> {
    let (config, layers) = match &manifest.kind {
        ManifestKind::Image {
            config: Some(config),
            layers,
        } => (config, layers),
        ManifestKind::Schema1(_) => return Err("it has a schema 1 manifest"),
        ManifestKind::Lost => return Err("its manifest is lost"),
        ManifestKind::Index(_) | ManifestKind::Image { .. } => return Err("it is not an image"),
    };
    if !manifest.is_image() {
        return Err("it is not an image");
    }
    if manifest.blobs().len() != layers.len() + 1 {
        return Err("some of its layers are foreign");
    }
    Ok(config.digest)
}

/// The config and the derived v1 chain of a manifest, or why it has no v1 form.
fn v1_chain(
    images: &Images,
    manifest: &Manifest,
) -> anyhow::Result<Result<(Digest, Vec<V1Id>), &'static str>> {
    let config = match v1_config(manifest) {
        Ok(config) => config,
        Err(reason) => return Ok(Err(reason)),
    };
    if images.damage.has(&config) {
        return Ok(Err("its config is lost"));
    }
    let diff_ids = images.config(&config)?.1.diff_ids;
    let chain = diff_ids.map(|diff_ids| (config, v1::chain(config, &diff_ids)));
    Ok(chain.ok_or("its config has no `rootfs`"))
}

/// The top v1 image of a manifest or index, or why there is none.
pub(super) fn top_of(
    images: &Images,
    repo: &Repo,
    digest: &Digest,
    platform: Option<&Platform>,
) -> anyhow::Result<Result<V1Id, &'static str>> {
    if let Some(top) = repo.manifests.get(digest).and_then(|entry| entry.v1) {
        return Ok(Ok(top));
    }
    if let Some(top) = images.damage.tops.get(digest) {
        return Ok(Ok(*top));
    }
    if images.hides_v1(digest) {
        return Ok(Err("part of it is lost"));
    }
    let Some(manifest) = choose(images, digest, platform)? else {
        let has_config = images.manifests[digest].has_image_config();
        return Ok(Err(if has_config {
            "its layers are not all tars"
        } else {
            "it is not an image"
        }));
    };
    Ok(v1_chain(images, &manifest)?
        .and_then(|(_, ids)| ids.last().copied().ok_or("it is not an image")))
}
