//! `docker-archive:` what `docker save` wrote before Docker 1.10: v1 images by id.
//! ```text
//! repositories                        {"name":{"tag":"<id>"}}; missing when an id was saved
//! <id>/VERSION  <id>/json  <id>/layer.tar
//! ```
//! Ids and JSON are the truth and are kept byte for byte; config and manifest are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;

use crate::bail_bad;
use crate::draft::{Config, Draft, ManifestId, Planned, Root, Rules, StoredV1};
use crate::error::shown;
use crate::source::archive::Archive;
use crate::source::docker_archive::{add_layer, select};
use crate::source::{Format, Opened};
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::v1::{Place, V1Id};

/// An archive of v1 images.
#[derive(Debug)]
pub struct Legacy;

impl Format for Legacy {
    fn prefix(&self) -> &'static str {
        "docker-archive"
    }

    fn about(&self) -> &'static str {
        "what `docker save` wrote before Docker 1.10"
    }

    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        Ok(opened.archive().is_some_and(|archive| {
            !archive.has("manifest.json")
                && !archive.has("index.json")
                && ids(archive).next().is_some()
        }))
    }

    fn load(&self, opened: &Opened, selected: Option<&str>, rules: Rules) -> anyhow::Result<Draft> {
        let archive = opened.archive().context("it is no archive")?;
        let mut loading = Loading {
            archive,
            rules,
            draft: Draft::new(archive.origin()),
            images: BTreeMap::new(),
            tops: BTreeMap::new(),
        };
        loading.load()?;
        let mut draft = loading.draft;
        if let Some(name) = selected {
            select(&mut draft, name)?;
        }
        Ok(draft)
    }
}

fn ids(archive: &Archive) -> impl Iterator<Item = V1Id> {
    archive
        .names()
        .filter_map(|name| name.strip_suffix("/json")?.parse().ok())
}

struct Loading<'a> {
    archive: &'a Archive,
    rules: Rules,
    draft: Draft,
    images: BTreeMap<V1Id, StoredV1>,
    tops: BTreeMap<V1Id, ManifestId>,
}

impl Loading<'_> {
    fn load(&mut self) -> anyhow::Result<()> {
        let repositories: Option<BTreeMap<String, BTreeMap<String, String>>> =
            self.archive.json("repositories")?;
        let Some(repositories) = repositories else {
            return self.load_heads();
        };
        for (name, tags) in repositories {
            for (tag, id) in tags {
                let id: V1Id = id
                    .parse()
                    .with_context(|| format!("`repositories` of {}", self.archive.origin()))?;
                let reference = Reference::in_source(&name)?;
                self.add_root(
                    id,
                    Some(reference.repository),
                    Some(tag.parse()?),
                    &format!("{name}:{tag}"),
                )?;
            }
        }
        Ok(())
    }

    /// Without names, the images are those that are below no other.
    fn load_heads(&mut self) -> anyhow::Result<()> {
        let all: BTreeSet<V1Id> = ids(self.archive).collect();
        let mut heads = all.clone();
        for id in all {
            if let Some(parent) = self.image(id)?.parent {
                heads.remove(&parent);
            }
        }
        heads
            .into_iter()
            .try_for_each(|id| self.add_root(id, None, None, &id.to_string()))
    }

    fn add_root(
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
        self.draft.roots.push(Root {
            repository,
            tag,
            manifest,
            v1,
            called: format!("`{}`", shown(called)),
        });
        Ok(())
    }

    fn add_chain(&mut self, top: V1Id) -> anyhow::Result<ManifestId> {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(top);
        while let Some(id) = next {
            if !seen.insert(id) {
                bail_bad!(
                    "the parents of the image {top} in {} form a cycle",
                    self.archive.origin()
                );
            }
            let image = self.image(id)?;
            next = image.parent;
            chain.push((id, image));
        }
        chain.reverse();
        let layers = chain.iter().map(|(_, image)| image.layer).collect();
        let json = chain
            .iter()
            .map(|(_, image)| Arc::clone(&image.json))
            .collect();
        if self.rules.v1 {
            self.draft.v1.extend(chain);
        }
        self.draft.manifests.push(Planned::Made {
            config: Config::Legacy(json),
            layers,
        });
        Ok(self.draft.manifests.len() - 1)
    }

    fn image(&mut self, id: V1Id) -> anyhow::Result<StoredV1> {
        if let Some(image) = self.images.get(&id) {
            return Ok(image.clone());
        }
        let content = self.archive.required(&format!("{id}/json"))?;
        let json = content.read(MAX_JSON)?;
        let place = Place::parse(&json)
            .map_err(|error| error.context(format!("cannot read {}", content.origin())))?;
        if place.id != id {
            bail_bad!("{} has the id {}", content.origin(), place.id);
        }
        let layer = add_layer(
            &mut self.draft,
            self.archive,
            &format!("{id}/layer.tar"),
            None,
            self.rules,
        )?;
        let image = StoredV1 {
            json,
            parent: place.parent,
            layer,
        };
        self.images.insert(id, image.clone());
        Ok(image)
    }
}
