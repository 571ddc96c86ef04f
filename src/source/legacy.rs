//! `docker-archive:` what `docker save` wrote before Docker 1.10.
//! ```text
//! repositories                        {"name":{"tag":"<id>"}}; missing when an id was saved
//! <id>/VERSION  <id>/json  <id>/layer.tar
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::bail_bad;
use crate::content::Content;
use crate::draft::{Draft, JobId, Rules, naming};
use crate::error::shown;
use crate::source::archive::Archive;
use crate::source::docker_archive::add_layer;
use crate::source::v1_chain::{Chains, V1Store};
use crate::source::{Format, Opened};
use crate::spec::name::Reference;
use crate::spec::v1::V1Id;

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

    fn load(
        &self,
        opened: &Opened,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<Vec<Draft>> {
        let archive = opened.archive().context("it is no archive")?;
        let store = Store { archive, rules };
        let mut chains = Chains::new(&store, rules, Draft::new(archive.origin()));
        let repositories: Option<BTreeMap<String, BTreeMap<String, String>>> =
            archive.json("repositories")?;
        match repositories {
            Some(repositories) => add_named(&mut chains, &repositories, archive, rules)?,
            None => add_heads(&mut chains, archive)?,
        }
        let mut draft = chains.draft;
        if let Some(name) = selected {
            naming::select_one(&mut draft, name, rules)?;
        }
        Ok(vec![draft])
    }
}

fn ids(archive: &Archive) -> impl Iterator<Item = V1Id> {
    archive
        .names()
        .filter_map(|name| name.strip_suffix("/json")?.parse().ok())
}

fn add_named(
    chains: &mut Chains<'_>,
    repositories: &BTreeMap<String, BTreeMap<String, String>>,
    archive: &Archive,
    rules: &Rules,
) -> anyhow::Result<()> {
    for (name, tags) in repositories {
        let about = || {
            format!(
                "`repositories` of {} has the name `{}`",
                archive.origin(),
                shown(name)
            )
        };
        let Reference {
            repository,
            tag: None,
            digest: None,
        } = rules.reference(name).with_context(about)?
        else {
            bail_bad!(
                "`repositories` of {} has the name `{}`, which is no repository",
                archive.origin(),
                shown(name)
            );
        };
        for (tag, id) in tags {
            let id: V1Id = id
                .parse()
                .with_context(|| format!("`repositories` of {}", archive.origin()))?;
            chains.add_root(
                id,
                Some(repository.clone()),
                Some(tag.parse().with_context(about)?),
                &format!("{name}:{tag}"),
            )?;
        }
    }
    Ok(())
}

/// Without names, the images are those that are below no other.
fn add_heads(chains: &mut Chains<'_>, archive: &Archive) -> anyhow::Result<()> {
    let all: BTreeSet<V1Id> = ids(archive).collect();
    let mut heads = all.clone();
    for id in all {
        if let Some(parent) = chains.parent(id)? {
            heads.remove(&parent);
        }
    }
    // Where each is below another they form a cycle, which the first of them runs into.
    let first = heads.is_empty().then(|| ids(archive).next()).flatten();
    heads
        .into_iter()
        .chain(first)
        .try_for_each(|id| chains.add_root(id, None, None, &id.to_string()))
}

struct Store<'a> {
    archive: &'a Archive,
    rules: &'a Rules,
}

impl V1Store for Store<'_> {
    fn json(&self, id: V1Id) -> anyhow::Result<Content> {
        self.archive.required(&format!("{id}/json"))
    }

    fn add_layer(
        &self,
        draft: &mut Draft,
        id: V1Id,
        _json: &[u8],
    ) -> anyhow::Result<(JobId, JobId)> {
        let job = add_layer(
            draft,
            self.archive,
            &format!("{id}/layer.tar"),
            None,
            self.rules,
        )?;
        Ok((job, job))
    }
}
