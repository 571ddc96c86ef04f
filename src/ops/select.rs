//! The part of a site that `publish` and `export` take.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::WithHint as _;
use crate::images::Images;
use crate::import::selection::Selection;
use crate::ops::edit::reachable;
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};

/// Leaves of the repositories of a site what is selected, with what belongs to it.
///
/// # Errors
/// If nothing is left.
pub(super) fn select(
    images: &Images,
    repositories: &mut BTreeMap<Repository, Repo>,
    selection: &Selection,
) -> anyhow::Result<()> {
    for (repository, repo) in &mut *repositories {
        select_in(images, repository, repo, selection);
    }
    repositories.retain(|_, repo| !repo.manifests.is_empty());
    if !repositories.is_empty() {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "`--only` and `--exclude` leave no repository"
    ))
    .hint(selection.left_out("the site has"))
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
