//! The part of a site that is published.

use std::collections::{BTreeMap, BTreeSet};

use crate::images::Images;
use crate::import::selection::Selection;
use crate::ops::select;
use crate::ops::view::View;
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;

/// Leaves of a site what is selected, with what belongs to it.
pub(super) fn select(view: &mut View, selection: &Selection) -> anyhow::Result<()> {
    if !selection.is_any() {
        return Ok(());
    }
    select::select(&view.images, &mut view.catalogue.repositories, selection)?;
    drop_unlisted(view)
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
