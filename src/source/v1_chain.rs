//! Images from before Docker 1.10: v1 images by id, each with its parent. Ids and JSON are kept byte for
//! byte; config and manifest are made from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::escaped;
use crate::import::draft::{
    ConfigSource, Draft, ImportOptions, JobId, ManifestId, ManifestSource, RootManifest, StoredV1,
    parse_config,
};
use crate::site_files::MAX_CHAIN;
use crate::spec::go_v1_image::History;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::{ChainLink, V1Id};

pub trait V1Store {
    fn json(&self, id: V1Id) -> anyhow::Result<Content>;

    /// Adds the layer of an image. Returns the job of the blob for v2 and of the layer for v1, in this order.
    fn add_layer(&self, draft: &mut Draft, id: V1Id, json: &[u8])
    -> anyhow::Result<(JobId, JobId)>;
}

/// Turns the chains of a store into a draft.
pub struct V1Chains<'a> {
    store: &'a dyn V1Store,
    rules: &'a ImportOptions,
    pub draft: Draft,
    images: BTreeMap<V1Id, (StoredV1, JobId)>,
    tops: BTreeMap<V1Id, ManifestId>,
}

impl<'a> V1Chains<'a> {
    pub fn new(store: &'a dyn V1Store, rules: &'a ImportOptions, draft: Draft) -> Self {
        Self {
            store,
            rules,
            draft,
            images: BTreeMap::new(),
            tops: BTreeMap::new(),
        }
    }

    /// Adds the image `top` with all its ancestors.
    ///
    /// # Errors
    /// If an image is missing or damaged, or the parents form a cycle.
    pub fn add_root(
        &mut self,
        top: V1Id,
        repository: Option<Repository>,
        tag: Option<Tag>,
        called: &str,
    ) -> anyhow::Result<()> {
        let manifest = match self.tops.get(&top) {
            Some(manifest) => *manifest,
            None => self.add_chain(top)?,
        };
        self.tops.insert(top, manifest);
        let v1 = self.rules.v1.then_some(top);
        self.draft.roots.push(RootManifest {
            repository,
            tag,
            v1,
            ..RootManifest::nameless(manifest, format!("`{}`", escaped(called)))
        });
        Ok(())
    }

    fn add_chain(&mut self, top: V1Id) -> anyhow::Result<ManifestId> {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(top);
        while let Some(id) = next {
            if !seen.insert(id) {
                bail_invalid!(
                    "the parents of the image {top} in {} form a cycle",
                    self.draft.origin
                );
            }
            if seen.len() > MAX_CHAIN {
                bail_invalid!(
                    "the image {top} in {} has more than {MAX_CHAIN} layers",
                    self.draft.origin
                );
            }
            let (image, blob) = self.image(id)?;
            next = image.parent;
            chain.push((id, image, blob));
        }
        chain.reverse();
        let layers = chain.iter().map(|(_, _, blob)| *blob).collect();
        let json = chain
            .iter()
            .map(|(_, image, _)| Arc::clone(&image.json))
            .collect();
        if self.rules.v1 {
            self.draft
                .v1
                .extend(chain.into_iter().map(|(id, image, _)| (id, image)));
        }
        self.draft.manifests.push(ManifestSource::Made {
            config: ConfigSource::Legacy(json),
            layers,
        });
        Ok(self.draft.manifests.len() - 1)
    }

    pub fn parent(&mut self, id: V1Id) -> anyhow::Result<Option<V1Id>> {
        Ok(self.image(id)?.0.parent)
    }

    fn image(&mut self, id: V1Id) -> anyhow::Result<(StoredV1, JobId)> {
        if let Some(image) = self.images.get(&id) {
            return Ok(image.clone());
        }
        let content = self.store.json(id)?;
        let json = self.draft.read_json(&content)?;
        let link = parse_config(&json)
            .and_then(|_| History::parse(&json))
            .and_then(|_| ChainLink::parse(&json))
            .map_err(|error| error.context(format!("cannot read {}", content.origin())))?;
        if link.id != id {
            bail_invalid!("{} has the id {}", content.origin(), link.id);
        }
        let (blob, layer) = self.store.add_layer(&mut self.draft, id, &json)?;
        let image = (
            StoredV1 {
                json,
                parent: link.parent,
                layer,
            },
            blob,
        );
        self.images.insert(id, image.clone());
        Ok(image)
    }
}
