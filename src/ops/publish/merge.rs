//! The site and the bucket, merged as `build` merges sources into a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::error::WithHint as _;
use crate::images::Images;
use crate::images::v1_images::{V1Image, V1Images};
use crate::ops::publish::remote::{Compared, Remote};
use crate::ops::view::View;
use crate::pages::facts::{Facts, images_file, parse_images};
use crate::pages::{ASSETS, Known, Page, Pages, images_path, setting};
use crate::plan::Plan;
use crate::site_files::catalogue::{Catalogue, Entry, Repo};
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::{self, Repository, Tag};
use crate::spec::v1::V1Id;

/// What the bucket is to list.
pub(super) struct Merged {
    pub(super) catalogue: Catalogue,
    /// The repositories whose pointers are compared.
    pub(super) images: Images,
    pub(super) v1: V1Images,
    pub(super) pages: Pages,
    /// Keys of pointers that are dropped.
    pub(super) dropped: Vec<String>,
}

impl Merged {
    pub(super) fn plan(&self) -> Plan<'_> {
        Plan {
            catalogue: &self.catalogue,
            images: &self.images,
            v1: &self.v1,
            pages: &self.pages,
        }
    }
}

/// Merges a site into a bucket. With `mirror` the bucket lists only what the site does.
pub(super) fn merge(local: &View, remote: &Remote<'_>, mirror: bool) -> anyhow::Result<Merged> {
    let mut catalogue = merged_settings(&local.catalogue, remote.catalogue.as_ref(), mirror)?;
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
            let known = merged.manifests.entry(*digest);
            let known = known.or_insert_with(|| entry.clone());
            known.update(entry.clone());
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
    // Pointers of other repositories, and of those that have more in the bucket and get nothing new, stay.
    let mut compared = BTreeSet::new();
    for (repository, ours) in &local.catalogue.repositories {
        let repo = &catalogue.repositories[repository];
        let is_more = ours != repo && before.get(repository) == Some(repo);
        if !is_more || !has_pointers(local, remote, repository, repo)? {
            compared.insert(repository);
        }
    }
    let (images, v1) = load(Some((local, mirror)), remote, &catalogue, &compared)?;
    let dropped = dropped(remote, &catalogue);
    let pages = pages(remote, &catalogue, &images, !mirror)?;
    Ok(Merged {
        catalogue,
        images,
        v1,
        pages,
        dropped,
    })
}

/// The bucket as it is.
pub(super) fn of_bucket(remote: &Remote<'_>) -> anyhow::Result<Merged> {
    let catalogue = remote.catalogue.clone();
    let catalogue = catalogue.context("the bucket has no site")?;
    let all = catalogue.repositories.keys().collect();
    let (images, v1) = load(None, remote, &catalogue, &all)?;
    let pages = pages(remote, &catalogue, &images, false)?;
    Ok(Merged {
        catalogue,
        images,
        v1,
        pages,
        dropped: Vec::new(),
    })
}

/// What pages say of the images, and of other repositories of the bucket. What the site does not have is known from the
/// bucket's files of pages, so no config is read from there. With `keep`, so is what the catalogue does not list: another
/// publisher may be about to add it.
pub(super) fn pages(
    remote: &Remote<'_>,
    catalogue: &Catalogue,
    images: &Images,
    keep: bool,
) -> anyhow::Result<Pages> {
    Pages::new(catalogue, images, &|key| remote.get(key), |name, repo| {
        let known = Known::of(images, repo, &BTreeMap::new());
        let file = images_file(repo, &known)?;
        let key = images_path(name);
        if matches!(remote.compare(&key, file.as_bytes())?, Compared::Same) {
            return Ok(known);
        }
        let before = parse_images(&remote.get(&key)?.unwrap_or_default());
        let mut known = Known::of(images, repo, &before);
        let is_unlisted = |digest: &Digest| !repo.manifests.contains_key(digest);
        let unlisted = before.into_iter().filter(|(digest, _)| is_unlisted(digest));
        known.facts.extend(unlisted.filter(|_| keep));
        Ok(known)
    })
}

/// The images of repositories. What the site does not have comes from the bucket, of which a mirror keeps nothing
/// else.
fn load(
    local: Option<(&View, bool)>,
    remote: &Remote<'_>,
    catalogue: &Catalogue,
    wanted: &BTreeSet<&Repository>,
) -> anyhow::Result<(Images, V1Images)> {
    let (mut images, mut v1) = (Images::default(), V1Images::default());
    let of = |repository: &Repository| &catalogue.repositories[repository];
    let entries = wanted.iter().flat_map(|repository| {
        let manifests = of(repository).manifests.iter();
        manifests.map(move |(digest, entry)| (*repository, digest, entry))
    });
    let entries: Vec<(&Repository, &Digest, &Entry)> = entries.collect();
    let manifests: Vec<Arc<Manifest>> = entries
        .par_iter()
        .map(|(repository, digest, entry)| {
            let ours = local.and_then(|(local, _)| local.images.manifests.get(digest));
            ours.map_or_else(
                || remote.manifest(repository, digest, entry),
                |manifest| Ok(manifest.clone()),
            )
        })
        .collect::<anyhow::Result<_>>()?;
    for ((repository, _, entry), manifest) in entries.iter().zip(manifests) {
        let ours = local.map(|(local, _)| &local.images.blobs);
        let blobs = manifest.blobs().into_iter().map(|blob| blob.digest);
        let blobs = blobs.chain(entry.signatures.iter().copied());
        for stored in blobs.filter_map(|blob| ours?.get(&blob)) {
            images.add_blob(stored.clone());
        }
        images.add_manifest(repository, manifest, entry.v1);
    }
    for repository in wanted {
        let repo = of(repository).clone();
        images.repositories.insert((*repository).clone(), repo);
    }
    if catalogue.apis.v1 {
        let wanted: Vec<&Repository> = wanted.iter().copied().collect();
        v1.tags = wanted
            .par_iter()
            .map(|repository| {
                let tags = v1_tags(local, remote, repository, of(repository))?;
                Ok(((*repository).clone(), tags))
            })
            .collect::<anyhow::Result<_>>()?;
        add_v1_images(local.map(|(local, _)| local), remote, &mut v1)?;
    }
    Ok((images, v1))
}

/// Whether the pointers of what the site has are those of the catalogue: a publisher that was killed may have left
/// others.
fn has_pointers(
    local: &View,
    remote: &Remote<'_>,
    repository: &Repository,
    repo: &Repo,
) -> anyhow::Result<bool> {
    let is = |key: String, bytes: &[u8]| {
        let compared = remote.compare(&key, bytes)?;
        anyhow::Ok(matches!(compared, Compared::Same))
    };
    if local.catalogue.has_pages() {
        let listed = parse_images(&remote.get(&images_path(repository))?.unwrap_or_default());
        let ours = &local.catalogue.repositories[repository];
        let known = Known::of(&local.images, ours, &BTreeMap::new());
        let is_known = |(digest, facts): (&Digest, &Facts)| listed.get(digest) == Some(facts);
        let is_index = |digest: &Digest| !local.images.manifests[digest].children().is_empty();
        let of_images = known.facts.iter().filter(|(digest, _)| !is_index(digest));
        if !of_images.into_iter().all(is_known) {
            return Ok(false);
        }
    }
    let none = BTreeMap::new();
    let v1_tags = local.v1.tags.get(repository).unwrap_or(&none);
    for name in repository.aliases() {
        let list = crate::plan::v2::tag_list(repo, &name)?;
        if !is(format!("v2/{name}/tags/list"), &list)? {
            return Ok(false);
        }
        for (tag, digest) in &local.catalogue.repositories[repository].tags {
            let bytes = &local.images.manifests[digest].bytes;
            if !is(format!("v2/{name}/manifests/{tag}"), bytes)? {
                return Ok(false);
            }
        }
        if !v1_tags.is_empty() {
            let listed = remote.v1_tags(&name)?;
            let is_listed = |(tag, id): (&Tag, &V1Id)| listed.get(tag) == Some(id);
            if !v1_tags.iter().all(is_listed) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The settings of the bucket's catalogue: those of its site, if it has one.
/// Pages and their title are those of either; of a mirror, those of the site.
fn merged_settings(
    local: &Catalogue,
    remote: Option<&Catalogue>,
    mirror: bool,
) -> anyhow::Result<Catalogue> {
    let all = || std::iter::once(local).chain(remote.filter(|_| !mirror));
    let has_pages = all().any(Catalogue::has_pages);
    let pages = Some(setting(has_pages));
    let title = all().find_map(|catalogue| catalogue.title.clone());
    let settings = |catalogue: &Catalogue| Catalogue {
        servers: BTreeSet::new(),
        pages: pages.clone(),
        title: title.clone(),
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

/// The v1 images of the tags of a repository: those of the site, and for other tags those of the bucket. Tags that only
/// the bucket's list has stay: another publisher may be about to add them to the catalogue.
fn v1_tags(
    local: Option<(&View, bool)>,
    remote: &Remote<'_>,
    repository: &Repository,
    repo: &Repo,
) -> anyhow::Result<BTreeMap<Tag, V1Id>> {
    let ours = local.and_then(|(local, _)| local.catalogue.repositories.get(repository));
    let is_ours = |tag: &Tag| ours.is_some_and(|ours| ours.tags.contains_key(tag));
    let mut tags = local
        .and_then(|(local, _)| local.v1.tags.get(repository))
        .cloned()
        .unwrap_or_default();
    let is_merge = matches!(local, Some((_, false)));
    if repo.tags.keys().all(is_ours) {
        let key = format!("v1/repositories/{repository}/tags");
        let list = crate::plan::v1::tag_list(&tags)?;
        if !is_merge || matches!(remote.compare(&key, &list)?, Compared::Same) {
            return Ok(tags);
        }
    }
    let mut theirs = remote.v1_tags(repository.as_str())?;
    // A list that was written by one who did not know of a tag yet.
    for tag in repo.tags.keys().filter(|tag| !is_ours(tag)) {
        if !theirs.contains_key(tag)
            && let Some(id) = remote.v1_tag(repository.as_str(), tag)?
        {
            theirs.insert(tag.clone(), id);
        }
    }
    theirs.retain(|tag, _| !is_ours(tag) && (is_merge || repo.tags.contains_key(tag)));
    tags.extend(theirs);
    Ok(tags)
}

/// Adds the images of the tags, with all below them.
fn add_v1_images(
    local: Option<&View>,
    remote: &Remote<'_>,
    v1: &mut V1Images,
) -> anyhow::Result<()> {
    let tops: BTreeSet<V1Id> = v1
        .tags
        .values()
        .flat_map(BTreeMap::values)
        .copied()
        .collect();
    let tops: Vec<V1Id> = tops.into_iter().collect();
    let chains: Vec<Vec<V1Id>> = tops
        .par_iter()
        .map(|top| match local {
            Some(local) if local.v1.images.contains_key(top) => local.v1.ancestry(*top),
            _ => remote.v1_chain(*top),
        })
        .collect::<anyhow::Result<_>>()?;
    for chain in chains {
        for (at, id) in chain.iter().enumerate() {
            let parent = chain.get(at + 1).copied();
            v1.images
                .entry(*id)
                .or_insert_with(|| V1Image::in_site(parent));
        }
    }
    Ok(())
}

/// The pointers of tags, images and repositories that are no longer listed, and pages that are no longer wanted.
fn dropped(remote: &Remote<'_>, catalogue: &Catalogue) -> Vec<String> {
    let (after, has_pages) = (&catalogue.repositories, catalogue.has_pages());
    let mut pages: Vec<String> = Vec::new();
    let before = remote.catalogue.as_ref();
    if !has_pages && before.is_some_and(Catalogue::has_pages) {
        pages.extend(Page::LISTS.iter().map(Page::path));
        pages.extend(ASSETS.map(|(path, _)| path.to_owned()));
    }
    let mut keys = Vec::new();
    for (repository, repo) in remote.repositories() {
        let kept = after.get(repository);
        let with_pages = kept.filter(|_| has_pages);
        let is_gone =
            |digest: &&Digest| with_pages.is_none_or(|kept| !kept.manifests.contains_key(*digest));
        let images = repo.manifests.keys().filter(is_gone);
        pages.extend(images.map(|digest| Page::Image(repository.clone(), *digest).path()));
        if with_pages.is_none() {
            pages.extend(Page::of_repository(repository).iter().map(Page::path));
        }
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
    pages.retain(|key| remote.size(key).is_some());
    keys.append(&mut pages);
    keys
}
