//! The site and the bucket, merged as `build` merges sources into a folder.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::WithHint as _;
use crate::images::Images;
use crate::images::v1_images::{V1Image, V1Images};
use crate::import::selection::Selection;
use crate::ops::edit::reachable;
use crate::ops::publish::remote::{Compared, Remote};
use crate::ops::view::View;
use crate::plan::Plan;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::spec::digest::Digest;
use crate::spec::name::{self, Repository, Tag};

/// What the bucket is to list.
pub(super) struct Merged {
    pub(super) catalogue: Catalogue,
    /// The repositories whose pointers are compared.
    images: Images,
    v1: V1Images,
    /// Keys of pointers that are dropped.
    pub(super) dropped: Vec<String>,
}

impl Merged {
    pub(super) fn plan(&self) -> Plan<'_> {
        Plan {
            catalogue: &self.catalogue,
            images: &self.images,
            v1: &self.v1,
        }
    }
}

/// Leaves of a site what is selected, with what belongs to it.
pub(super) fn select(view: &mut View, selection: &Selection) -> anyhow::Result<()> {
    if !selection.is_any() {
        return Ok(());
    }
    let repositories = &mut view.catalogue.repositories;
    for (repository, repo) in &mut *repositories {
        select_in(&view.images, repository, repo, selection);
    }
    repositories.retain(|_, repo| !repo.manifests.is_empty());
    if repositories.is_empty() {
        return Err(anyhow::anyhow!(
            "`--only` and `--exclude` leave no repository"
        ))
        .hint(format!("the site has {}", selection.some_seen()));
    }
    drop_unlisted(view)
}

fn select_in(images: &Images, repository: &Repository, repo: &mut Repo, selection: &Selection) {
    let names = repo.tags.keys().filter(|tag| tag.attached_to().is_none());
    let (wanted, left): (BTreeSet<Tag>, BTreeSet<Tag>) = names
        .cloned()
        .partition(|tag| selection.wants(repository, Some(tag)));
    let roots: Vec<Digest> = if left.is_empty() && selection.wants(repository, None) {
        repo.manifests.keys().copied().collect()
    } else {
        with_attached(images, repo, wanted.iter().map(|tag| repo.tags[tag]))
    };
    let reached = reachable(images, repo, roots);
    repo.tags.retain(|tag, digest| {
        let is_attached = tag.attached_to().is_some() && reached.contains(digest);
        wanted.contains(tag) || (is_attached && !selection.excludes(repository, Some(tag)))
    });
    repo.manifests.retain(|digest, _| reached.contains(digest));
}

/// Leaves of the images of a site what its catalogue lists.
fn drop_unlisted(view: &mut View) -> anyhow::Result<()> {
    let repositories = &view.catalogue.repositories;
    let all = repositories.values().flat_map(|repo| repo.manifests.keys());
    let kept: BTreeSet<Digest> = all.copied().collect();
    view.images.repositories.clone_from(repositories);
    let manifests = &mut view.images.manifests;
    manifests.retain(|digest, _| kept.contains(digest));
    for (repository, tags) in &mut view.v1.tags {
        let repo = repositories.get(repository);
        tags.retain(|tag, _| repo.is_some_and(|repo| repo.tags.contains_key(tag)));
    }
    let tops = view.v1.tags.values().flat_map(BTreeMap::values);
    let mut ids = BTreeSet::new();
    for top in tops {
        ids.extend(view.v1.ancestry(*top)?);
    }
    view.v1.images.retain(|id, _| ids.contains(id));
    Ok(())
}

/// Manifests, and those of the tags that attach something to them or to what they lead to.
fn with_attached(images: &Images, repo: &Repo, roots: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut roots: Vec<Digest> = roots.collect();
    loop {
        let reached = reachable(images, repo, roots.iter().copied());
        let is_new = |(tag, digest): &(&Tag, &Digest)| {
            !reached.contains(*digest)
                && tag
                    .attached_to()
                    .is_some_and(|subject| reached.contains(&subject))
        };
        let more: Vec<Digest> = repo
            .tags
            .iter()
            .filter(is_new)
            .map(|(_, digest)| *digest)
            .collect();
        if more.is_empty() {
            return roots;
        }
        roots.extend(more);
    }
}

/// Merges a site into a bucket. With `mirror` the bucket lists only what the site does.
pub(super) fn merge(local: &View, remote: &Remote<'_>, mirror: bool) -> anyhow::Result<Merged> {
    let mut catalogue = merged_settings(&local.catalogue, remote.catalogue.as_ref())?;
    let before = remote.repositories();
    catalogue.repositories = if mirror {
        BTreeMap::new()
    } else {
        before.clone()
    };
    for (repository, repo) in &local.catalogue.repositories {
        let merged = catalogue
            .repositories
            .entry(repository.clone())
            .or_default();
        merged.tags.extend(repo.tags.clone());
        for (digest, entry) in &repo.manifests {
            let known = merged
                .manifests
                .entry(*digest)
                .or_insert_with(|| entry.clone());
            known.v1 = known.v1.or(entry.v1);
        }
    }
    name::check_shadowing(catalogue.repositories.keys(), |repository| {
        let is_local = local.catalogue.repositories.contains_key(repository);
        if is_local {
            " in the site"
        } else {
            " in the bucket"
        }
        .to_owned()
    })?;
    let (mut images, mut v1) = (Images::default(), V1Images::default());
    for (repository, repo) in &catalogue.repositories {
        let ours = local.catalogue.repositories.get(repository);
        // Pointers of other repositories, and of those that have more in the bucket and get nothing new, stay.
        let is_more = ours != Some(repo) && before.get(repository) == Some(repo);
        if ours.is_none() || (is_more && has_list(remote, repository, repo)?) {
            continue;
        }
        for (digest, entry) in &repo.manifests {
            let manifest = match local.images.manifests.get(digest) {
                Some(manifest) => manifest.clone(),
                None => remote.manifest(repository, digest, entry)?,
            };
            images.add_manifest(repository, manifest, entry.v1);
        }
        images.repositories.insert(repository.clone(), repo.clone());
        if catalogue.apis.v1 {
            add_v1(local, remote, repository, repo, &mut v1)?;
        }
    }
    let dropped = dropped(before, &catalogue.repositories);
    Ok(Merged {
        catalogue,
        images,
        v1,
        dropped,
    })
}

/// Whether the list of tags is that of the catalogue: a publisher that was killed may have left another.
fn has_list(remote: &Remote<'_>, repository: &Repository, repo: &Repo) -> anyhow::Result<bool> {
    for name in repository.aliases() {
        let list = crate::plan::v2::tag_list(repo, &name)?;
        let key = format!("v2/{name}/tags/list");
        if !matches!(remote.compare(&key, &list)?, Compared::Same) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The settings of the bucket's catalogue: those of its site, if it has one.
fn merged_settings(local: &Catalogue, remote: Option<&Catalogue>) -> anyhow::Result<Catalogue> {
    let settings = |catalogue: &Catalogue| Catalogue {
        servers: BTreeSet::new(),
        repositories: BTreeMap::new(),
        format: catalogue.format,
        apis: catalogue.apis,
        full_names: catalogue.full_names,
        v1_platform: catalogue.v1_platform.clone(),
    };
    let (ours, Some(theirs)) = (settings(local), remote.map(settings)) else {
        return Ok(settings(local));
    };
    if ours != theirs {
        return Err(crate::error::invalid_input(
            "the site and the bucket differ in their format, APIs, `--full-names` or `--v1-platform`",
        ))
        .hint("build the site with the options of that in the bucket, or publish to another prefix");
    }
    Ok(ours)
}

/// Adds the v1 images of the tags of a repository.
fn add_v1(
    local: &View,
    remote: &Remote<'_>,
    repository: &Repository,
    repo: &Repo,
    v1: &mut V1Images,
) -> anyhow::Result<()> {
    let mut tags = local.v1.tags.get(repository).cloned().unwrap_or_default();
    let ours = local.catalogue.repositories.get(repository);
    let is_ours = |tag: &Tag| ours.is_some_and(|ours| ours.tags.contains_key(tag));
    if repo.tags.keys().any(|tag| !is_ours(tag)) {
        let theirs = remote.v1_tags(repository)?;
        tags.extend(
            theirs
                .into_iter()
                .filter(|(tag, _)| repo.tags.contains_key(tag) && !is_ours(tag)),
        );
    }
    for top in tags.values() {
        if local.v1.images.contains_key(top) {
            for id in local.v1.ancestry(*top)? {
                let parent = local.v1.images[&id].parent;
                let image = V1Image::in_site(parent);
                v1.images.entry(id).or_insert(image);
            }
        } else {
            remote.add_v1_chain(*top, v1)?;
        }
    }
    v1.tags.insert(repository.clone(), tags);
    Ok(())
}

/// The pointers of tags and repositories that are no longer listed.
fn dropped(before: &BTreeMap<Repository, Repo>, after: &BTreeMap<Repository, Repo>) -> Vec<String> {
    let mut keys = Vec::new();
    for (repository, repo) in before {
        let kept = after.get(repository);
        for name in repository.aliases() {
            let (v1, v2) = (format!("v1/repositories/{name}"), format!("v2/{name}"));
            let is_gone = |tag: &&Tag| kept.is_none_or(|kept| !kept.tags.contains_key(*tag));
            for tag in repo.tags.keys().filter(is_gone) {
                keys.extend([format!("{v2}/manifests/{tag}"), format!("{v1}/tags/{tag}")]);
            }
            if kept.is_none() {
                keys.extend([
                    format!("{v2}/tags/list"),
                    format!("{v1}/tags"),
                    format!("{v1}/images"),
                ]);
            }
        }
    }
    keys
}
