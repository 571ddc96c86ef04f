//! `docker-archive:` the format of `docker save` before Docker 1.10.
//! ```text
//! repositories                        {"name":{"tag":"<id>"}}; missing when an id was saved
//! <id>/VERSION  <id>/json  <id>/layer.tar
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::escaped;
use crate::import::draft::{Draft, ImportOptions, JobId};
use crate::import::request::Request;
use crate::source::archive::Archive;
use crate::source::docker_archive::add_layer;
use crate::source::v1_chain::{V1Chains, V1Store};
use crate::source::{Format, Input};
use crate::spec::name::{Reference, Tag};
use crate::spec::v1::V1Id;

pub const FORMAT: Format = Format {
    prefix: "docker-archive",
    about: "an archive of `docker save` before Docker 1.10",
    reads: Input::Archive { detect, load },
    has_folders: false,
};

fn detect(archive: &Archive) -> bool {
    !archive.has("manifest.json") && !archive.has("index.json") && ids(archive).next().is_some()
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let rules = request.rules;
    let store = Store { archive, rules };
    let mut chains = V1Chains::new(&store, rules, Draft::new(archive.origin()));
    let repositories: Option<BTreeMap<String, BTreeMap<String, String>>> =
        archive.json("repositories")?;
    match repositories {
        Some(repositories) => add_named(&mut chains, &repositories, archive, request)?,
        None if request.takes(None, None, None, None) => add_heads(&mut chains, archive)?,
        None => {}
    }
    Ok(vec![chains.draft])
}

fn ids(archive: &Archive) -> impl Iterator<Item = V1Id> {
    archive
        .names()
        .filter_map(|name| name.strip_suffix("/json")?.parse().ok())
}

fn add_named(
    chains: &mut V1Chains<'_>,
    repositories: &BTreeMap<String, BTreeMap<String, String>>,
    archive: &Archive,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    for (name, tags) in repositories {
        let about = || {
            format!(
                "`repositories` of {} has the name `{}`",
                archive.origin(),
                escaped(name)
            )
        };
        let Some(reference) = request.reference(name).with_context(about)? else {
            continue;
        };
        let Reference {
            repository,
            tag: None,
            digest: None,
        } = reference
        else {
            bail_invalid!(
                "`repositories` of {} has the name `{}`, which is not a repository name",
                archive.origin(),
                escaped(name)
            );
        };
        for (tag, id) in tags {
            let called = format!("{name}:{tag}");
            let parsed: Tag = match tag.parse() {
                Ok(tag) => tag,
                Err(_) if request.is_by_name() => continue,
                Err(error) => return Err(error).with_context(about),
            };
            if !request.takes(Some(&called), Some(&repository), Some(&parsed), None) {
                continue;
            }
            let id: V1Id = id
                .parse()
                .with_context(|| format!("`repositories` of {}", archive.origin()))?;
            chains.add_root(id, Some(repository.clone()), Some(parsed), &called)?;
        }
    }
    Ok(())
}

/// Without `repositories`, every image that is not the parent of another is added.
fn add_heads(chains: &mut V1Chains<'_>, archive: &Archive) -> anyhow::Result<()> {
    let all: BTreeSet<V1Id> = ids(archive).collect();
    let mut heads = all.clone();
    for id in all {
        if let Some(parent) = chains.parent(id)? {
            heads.remove(&parent);
        }
    }
    // If every image is a parent, they form a cycle, which `add_root` reports for the first one.
    let first = heads.is_empty().then(|| ids(archive).next()).flatten();
    heads
        .into_iter()
        .chain(first)
        .try_for_each(|id| chains.add_root(id, None, None, &id.to_string()))
}

struct Store<'a> {
    archive: &'a Archive,
    rules: &'a ImportOptions,
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
