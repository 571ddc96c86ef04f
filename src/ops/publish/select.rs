//! The part of a site that is published.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::WithHint as _;
use crate::images::Images;
use crate::import::selection::Selection;
use crate::ops::edit::reachable;
use crate::ops::view::View;
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};

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

/// Leaves of images the manifests that a catalogue lists.
pub(super) fn keep_listed(images: &mut Images, repositories: &BTreeMap<Repository, Repo>) {
    let all = repositories.values().flat_map(|repo| repo.manifests.keys());
    let kept: BTreeSet<Digest> = all.copied().collect();
    images.repositories.clone_from(repositories);
    images.manifests.retain(|digest, _| kept.contains(digest));
}

/// Leaves of the images of a site what its catalogue lists.
fn drop_unlisted(view: &mut View) -> anyhow::Result<()> {
    let repositories = &view.catalogue.repositories;
    keep_listed(&mut view.images, repositories);
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
