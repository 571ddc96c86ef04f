//! Which v1 images a site has: for each tag the chain of an image's layers, with ids that came with
//! the source or that `docker push` gave it.
//!
//! An id is never given other content, since clients cache it for ever. Where several images claim
//! one id, what the site has stays; else the derived form goes before a stored one, a blob before
//! a layer encoded anew, and the lower digest first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;

use crate::bail_bad;
use crate::catalogue::Repo;
use crate::error::bad;
use crate::images::{Images, V1Form};
use crate::ingest::Stored;
use crate::layer::Packing;
use crate::site_files::{MAX_CHAIN, SiteFiles};
use crate::spec::digest::Digest;
use crate::spec::manifest::{Body, Manifest};
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::{self, Place, V1Id};

/// The v1 images of some repositories.
#[derive(Debug, Default)]
pub struct V1Images {
    /// The images by id.
    pub images: BTreeMap<V1Id, V1Image>,
    /// The top of each tag.
    pub tags: BTreeMap<Repository, BTreeMap<Tag, V1Id>>,
    /// References without a v1 form, with the reason, and conflicts that were decided.
    pub notes: BTreeSet<String>,
}

/// A v1 image.
#[derive(Debug)]
pub struct V1Image {
    /// The image below.
    pub parent: Option<V1Id>,
    /// Where its JSON comes from.
    pub form: Form,
    /// Where its layer comes from.
    pub layer: Layer,
    /// All blobs that could be its layer, the best first.
    pub candidates: Vec<Digest>,
}

/// Where the JSON of a v1 image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// It only says id and parent.
    Dependency,
    /// It is derived from this config.
    Top(Digest),
    /// It came with a source.
    Stored(Arc<[u8]>),
    /// The site has it, and keeps it.
    InSite,
}

/// Where the layer of a v1 image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A blob that v2 serves too.
    Blob(Digest),
    /// A file of its own.
    Own(Digest),
    /// The site has it, and keeps it.
    InSite,
}

type Claims = BTreeMap<V1Id, Claim>;

/// An image that could get an id; its layers with whether they are packed with zstd, which v1
/// clients cannot read, the best first.
struct Claim {
    parent: Option<V1Id>,
    form: Form,
    layers: BTreeSet<(bool, Digest)>,
}

impl V1Images {
    /// Finds the v1 images of all tags. What `site` has stays; `encode` turns a layer that v1
    /// clients cannot read into one that they can.
    ///
    /// # Errors
    /// When a config or the site cannot be read.
    pub fn find(
        images: &mut Images,
        site: Option<&SiteFiles>,
        encode: &dyn Fn(&Stored) -> anyhow::Result<Stored>,
    ) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let derived = derived_claims(images)?;
        let mut wanted = BTreeSet::new();
        for (repository, repo) in &images.repositories {
            for (tag, digest) in &repo.tags {
                match top_of(images, repo, digest)? {
                    Ok(top) => {
                        wanted.insert(top);
                        found
                            .tags
                            .entry(repository.clone())
                            .or_default()
                            .insert(tag.clone(), top);
                    }
                    Err(reason) => {
                        found
                            .notes
                            .insert(format!("{repository}:{tag} has no v1 form: {reason}"));
                    }
                }
            }
        }
        let claims = found.claims(images, site, derived, wanted)?;
        let blobs = images.registry_blobs();
        for (id, claim) in claims {
            let candidates = claim.candidates();
            if let Some(json) = site.map_or(Ok(None), |site| site.v1_json(id))? {
                found.keep(images, id, &claim, &json, candidates)?;
            } else {
                let layer = claim.layer(images, &blobs, encode)?;
                found.images.insert(
                    id,
                    V1Image {
                        parent: claim.parent,
                        form: claim.form,
                        layer,
                        candidates,
                    },
                );
            }
        }
        found.add_below(site)?;
        Ok(found)
    }

    /// The claims that count: of the tops and all below them, derived before stored.
    fn claims(
        &mut self,
        images: &Images,
        site: Option<&SiteFiles>,
        mut derived: Claims,
        tops: BTreeSet<V1Id>,
    ) -> anyhow::Result<Claims> {
        let mut claims = Claims::new();
        for top in tops {
            let mut next = Some(top);
            let mut length = 0;
            while let Some(id) = next {
                length += 1;
                if length > MAX_CHAIN {
                    bail_bad!("the parents of the v1 image {top} form a cycle");
                }
                if let Some(claim) = claims.get(&id) {
                    next = claim.parent;
                    continue;
                }
                let claim = match derived.remove(&id) {
                    Some(claim) => {
                        if images.v1.contains_key(&id) {
                            self.notes.insert(format!(
                                "v1 image {id}: the derived form is served, not the one of a source"
                            ));
                        }
                        claim
                    }
                    None => stored_claim(images, site, id)?,
                };
                next = claim.parent;
                claims.insert(id, claim);
            }
        }
        Ok(claims)
    }

    /// Keeps an image that the site has.
    fn keep(
        &mut self,
        images: &Images,
        id: V1Id,
        claim: &Claim,
        json: &[u8],
        candidates: Vec<Digest>,
    ) -> anyhow::Result<()> {
        let same = match &claim.form {
            Form::Dependency => json == v1::dependency_json(id, claim.parent),
            Form::Top(config) => json == v1::top_json(&images.config(config)?.0, id, claim.parent)?,
            Form::Stored(stored) => json == &**stored,
            Form::InSite => true,
        };
        if !same {
            self.notes.insert(format!(
                "v1 image {id}: the site has other content under this id and keeps it"
            ));
        }
        let parent = Place::parse(json)?.parent;
        self.images.insert(
            id,
            V1Image {
                parent,
                form: Form::InSite,
                layer: Layer::InSite,
                candidates,
            },
        );
        Ok(())
    }

    /// Adds what the site has below its images, for ancestries.
    fn add_below(&mut self, site: Option<&SiteFiles>) -> anyhow::Result<()> {
        let Some(site) = site else { return Ok(()) };
        let parents: Vec<V1Id> = self
            .images
            .values()
            .filter_map(|image| image.parent)
            .collect();
        for mut id in parents {
            while !self.images.contains_key(&id) {
                let Some(json) = site.v1_json(id)? else { break };
                let parent = Place::parse(&json)?.parent;
                self.images.insert(
                    id,
                    V1Image {
                        parent,
                        form: Form::InSite,
                        layer: Layer::InSite,
                        candidates: Vec::new(),
                    },
                );
                let Some(below) = parent else { break };
                id = below;
            }
        }
        Ok(())
    }

    /// An image and all below it, the base last.
    ///
    /// # Errors
    /// When one is missing, or the parents form a cycle.
    pub fn ancestry(&self, top: V1Id) -> anyhow::Result<Vec<V1Id>> {
        let mut ids = Vec::new();
        let mut next = Some(top);
        while let Some(id) = next {
            if ids.len() > MAX_CHAIN {
                bail_bad!("the parents of the v1 image {top} form a cycle");
            }
            ids.push(id);
            let image = self
                .images
                .get(&id)
                .with_context(|| format!("the v1 image {id}, below {top}, is missing"))?;
            next = image.parent;
        }
        Ok(ids)
    }
}

/// A claim for an image that a source or the site has.
fn stored_claim(images: &Images, site: Option<&SiteFiles>, id: V1Id) -> anyhow::Result<Claim> {
    if let Some(V1Form {
        json,
        parent,
        layer,
    }) = images.v1.get(&id)
    {
        let layers = layer.iter().map(|layer| (false, *layer)).collect();
        return Ok(Claim {
            parent: *parent,
            form: Form::Stored(json.clone()),
            layers,
        });
    }
    let json = site.map_or(Ok(None), |site| site.v1_json(id))?;
    let json = json.ok_or_else(|| bad(format!("the v1 image {id} is missing")))?;
    Ok(Claim {
        parent: Place::parse(&json)?.parent,
        form: Form::InSite,
        layers: BTreeSet::new(),
    })
}

impl Claim {
    fn candidates(&self) -> Vec<Digest> {
        self.layers
            .iter()
            .filter(|(zstd, _)| !zstd)
            .map(|(_, digest)| *digest)
            .collect()
    }

    fn layer(
        &self,
        images: &mut Images,
        blobs: &BTreeSet<Digest>,
        encode: &dyn Fn(&Stored) -> anyhow::Result<Stored>,
    ) -> anyhow::Result<Layer> {
        let own = match self.layers.first() {
            Some((false, digest)) if blobs.contains(digest) => return Ok(Layer::Blob(*digest)),
            Some((false, digest)) => return Ok(Layer::Own(*digest)),
            Some((true, digest)) => encode(&images.blobs[digest])?,
            None if matches!(self.form, Form::Stored(_)) => return Ok(Layer::InSite),
            // Docker pushes an image without layers as one v1 image with an empty tar.
            None => crate::images::memory_blob(vec![0; 1024]),
        };
        let digest = own.digest;
        images.blobs.entry(digest).or_insert(own);
        Ok(Layer::Own(digest))
    }
}

/// What `docker push` would give each image, with or without a tag: an image that lost its tag
/// still is where a layer in the site may have come from.
fn derived_claims(images: &Images) -> anyhow::Result<Claims> {
    let mut claims = Claims::new();
    for manifest in images.manifests.values() {
        let Ok(config) = v1_config(manifest) else {
            continue;
        };
        let blobs = manifest.blobs();
        let mut parent = None;
        let ids = v1::chain(config, &images.config(&config)?.1.diff_ids);
        for (index, id) in ids.iter().enumerate() {
            let form = if index + 1 == ids.len() {
                Form::Top(config)
            } else {
                Form::Dependency
            };
            let claim = claims.entry(*id).or_insert_with(|| Claim {
                parent,
                form,
                layers: BTreeSet::new(),
            });
            if let Some(layer) = blobs.get(index + 1) {
                let zstd = images.blobs[&layer.digest].packing == Packing::Zstd;
                claim.layers.insert((zstd, layer.digest));
            }
            parent = Some(*id);
        }
    }
    Ok(claims)
}

/// The config of a manifest that has a v1 form, or why it has none.
fn v1_config(manifest: &Manifest) -> Result<Digest, &'static str> {
    let Body::Image { config, layers } = &manifest.body else {
        return Err("it is no image");
    };
    if !manifest.is_image() {
        return Err("it is no image");
    }
    if manifest.blobs().len() != layers.len() + 1 {
        return Err("some of its layers must not be distributed");
    }
    Ok(config.digest)
}

/// The top v1 image of a manifest or index, or why there is none.
fn top_of(
    images: &Images,
    repo: &Repo,
    digest: &Digest,
) -> anyhow::Result<Result<V1Id, &'static str>> {
    if let Some(top) = repo.manifests.get(digest).and_then(|entry| entry.v1) {
        return Ok(Ok(top));
    }
    let Some(manifest) = choose(images, digest)? else {
        return Ok(Err("it is no image"));
    };
    let config = match v1_config(&manifest) {
        Ok(config) => config,
        Err(reason) => return Ok(Err(reason)),
    };
    let ids = v1::chain(config, &images.config(&config)?.1.diff_ids);
    Ok(ids.last().copied().ok_or("it is no image"))
}

/// The image that v1 clients get: of an index linux/amd64, else the first one listed.
fn choose(images: &Images, digest: &Digest) -> anyhow::Result<Option<Arc<Manifest>>> {
    let mut leaves = Vec::new();
    collect_images(images, digest, &mut BTreeSet::new(), &mut leaves);
    for manifest in &leaves {
        if let Body::Image { config, .. } = &manifest.body {
            let platform = images.config(&config.digest)?.1.platform;
            if leaves.len() == 1 || (platform.os == "linux" && platform.architecture == "amd64") {
                return Ok(Some(manifest.clone()));
            }
        }
    }
    Ok(leaves.into_iter().next())
}

fn collect_images(
    images: &Images,
    digest: &Digest,
    seen: &mut BTreeSet<Digest>,
    leaves: &mut Vec<Arc<Manifest>>,
) {
    let Some(manifest) = images
        .manifests
        .get(digest)
        .filter(|_| seen.insert(*digest))
    else {
        return;
    };
    if manifest.is_image() {
        leaves.push(manifest.clone());
    }
    for child in manifest.children() {
        if child
            .platform
            .as_ref()
            .is_none_or(|platform| !platform.is_unknown())
        {
            collect_images(images, &child.digest, seen, leaves);
        }
    }
}
