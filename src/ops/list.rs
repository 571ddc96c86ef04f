//! `list`: what a site serves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::images::Images;
use crate::images::measure::Measured;
use crate::ops::changes::{Named, named};
use crate::ops::view::View;
use crate::site::{self, load};
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;

#[derive(Debug, Serialize)]
pub struct ListedReference {
    #[serde(flatten)]
    pub name: Named,
    pub media_type: &'static str,
    /// The platform of an image; for an index, the platforms of the children that the site has.
    pub platforms: Vec<String>,
    /// The size in bytes of the manifest and everything that it points to, each counted once.
    pub size: u64,
    /// The artifact type, if it is not an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// What it lacks, if the site is damaged: a path relative to the site, and what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// Lists the references of a site. Children of an index are not listed.
pub fn list(root: &Path) -> anyhow::Result<Vec<ListedReference>> {
    let View { images, v1, .. } = View::load(root)?;
    let mut measured = BTreeMap::new();
    let mut listed = Vec::new();
    for (repository, repo) in &images.repositories {
        for (tag, digest) in &repo.tags {
            let top = v1
                .tags
                .get(repository)
                .and_then(|tags| tags.get(tag))
                .map(ToString::to_string);
            let name = Named {
                v1_id: top,
                ..named(repository, Some(tag), *digest)
            };
            listed.push(row(&images, name, &mut measured)?);
        }
        for digest in images.untagged(repo) {
            listed.push(row(
                &images,
                named(repository, None, digest),
                &mut measured,
            )?);
        }
    }
    Ok(listed)
}

/// What a repository takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RepositorySize {
    pub repository: Repository,
    /// The number of its tags.
    pub tags: u64,
    /// The bytes of content that no other repository refers to.
    pub own: u64,
    /// The bytes of content that others refer to too.
    pub shared: u64,
}

/// The sizes of the repositories of a site, and of the whole site, in which each content counts once. Layers that are made
/// for v1 do not count.
pub fn sizes(root: &Path) -> anyhow::Result<(Vec<RepositorySize>, u64)> {
    let (files, catalogue) = site::read(root)?;
    let images = load::all(&files, &catalogue);
    let contents = |repo: &Repo| -> BTreeMap<Digest, u64> {
        let mut sizes = BTreeMap::new();
        for (digest, entry) in &repo.manifests {
            sizes.insert(*digest, entry.size);
            let blobs = images.manifests[digest].blobs().into_iter();
            let blobs = blobs.map(|blob| blob.digest);
            for digest in blobs.chain(entry.others().copied()) {
                let stored = images.blobs.get(&digest);
                sizes.extend(stored.map(|stored| (digest, stored.size)));
            }
        }
        sizes
    };
    let mut users: BTreeMap<Digest, (u64, u64)> = BTreeMap::new();
    for repo in images.repositories.values() {
        for (digest, size) in contents(repo) {
            users.entry(digest).or_insert((size, 0)).1 += 1;
        }
    }
    let size = |(repository, repo): (&Repository, &Repo)| {
        let contents = contents(repo);
        let is_own = |(digest, _): &(&Digest, &u64)| users[*digest].1 == 1;
        let own = contents.iter().filter(is_own).map(|(_, size)| size).sum();
        RepositorySize {
            repository: repository.clone(),
            tags: repo.tags.len() as u64,
            own,
            shared: contents.values().sum::<u64>() - own,
        }
    };
    let sizes = images.repositories.iter().map(size).collect();
    Ok((sizes, users.values().map(|(size, _)| size).sum()))
}

/// The catalogue of a site, byte for byte.
pub fn index(root: &Path) -> anyhow::Result<Vec<u8>> {
    let files = site::recognise(root)?;
    let index = files.index()?;
    index.with_context(|| format!("the site {} is gone", files.origin()))
}

fn row(
    images: &Images,
    name: Named,
    measured: &mut BTreeMap<Digest, Measured>,
) -> anyhow::Result<ListedReference> {
    let manifest = &images.manifests[&name.digest];
    let Measured {
        platforms, size, ..
    } = match measured.entry(name.digest) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(place) => place.insert(images.measure(&name.digest)?).clone(),
    };
    let lost = images.damage_of(&name.repository, &name.digest);
    Ok(ListedReference {
        damage: lost
            .first()
            .map(|lost| format!("{}: {}", lost.path, lost.reason)),
        name,
        media_type: manifest.media_type,
        platforms,
        size,
        artifact_type: manifest
            .artifact_type
            .clone()
            .filter(|_| !manifest.is_image()),
        subject: manifest.subject,
    })
}
