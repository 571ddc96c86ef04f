//! What is known of the images of a site when its pages are made.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::images::Images;
use crate::images::damage::is_lost;
use crate::pages::attached::is_attestation;
use crate::pages::facts::{Facts, Summary, is_of_image, parse_images, parse_search};
use crate::pages::{SEARCH, images_path};
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 512 << 20;

/// What is known of the images of a repository.
#[derive(Debug, Default)]
pub struct Known {
    /// The images that its page lists: those with tags, and those to which nothing leads.
    pub roots: BTreeSet<Digest>,
    /// The images that have pages: these, and the children of indexes.
    pub shown: BTreeSet<Digest>,
    /// Those of them whose pages can be made. The pages of others may lie in a bucket already.
    pub here: BTreeSet<Digest>,
    pub facts: BTreeMap<Digest, Facts>,
    /// Whether a manifest is lost, so that nobody knows how the others belong together. The page of the repository
    /// stays as it is then.
    pub is_damaged: bool,
}

impl Known {
    /// `before` is what was known of images whose configs are lost, or elsewhere.
    pub fn of(images: &Images, repo: &Repo, before: &BTreeMap<Digest, Facts>) -> Self {
        let is_lost = |digest| is_lost(&images.manifests[digest]);
        let mut known = Self {
            roots: roots(images, repo),
            is_damaged: repo.manifests.keys().any(is_lost),
            ..Self::default()
        };
        for root in known.roots.clone() {
            known.add(images, repo, before, root);
        }
        known
    }

    fn add(
        &mut self,
        images: &Images,
        repo: &Repo,
        before: &BTreeMap<Digest, Facts>,
        digest: Digest,
    ) {
        if !self.shown.insert(digest) {
            return;
        }
        let manifest = &images.manifests[&digest];
        let children = manifest.children().iter();
        let children = children.filter(|child| !is_attestation(child));
        let children = children.map(|child| child.digest);
        let present = children.filter(|child| repo.manifests.contains_key(child));
        let present: Vec<Digest> = present.collect();
        for child in &present {
            self.add(images, repo, before, *child);
        }
        let found = if is_lost(manifest) {
            None
        } else if manifest.children().is_empty() {
            let found = Facts::of_one(images, manifest);
            self.here.extend(found.is_some().then_some(digest));
            found
        } else {
            self.here.insert(digest);
            let mut all = images.with_children(&digest).into_iter();
            let of_children = present.iter().map(|child| self.facts.get(child));
            let of_children: Option<Vec<&Facts>> = of_children.collect();
            of_children
                .filter(|_| !all.any(is_lost))
                .map(|of_children| Facts {
                    size: images.size(&digest),
                    ..together(Facts::annotated(manifest), &of_children)
                })
        };
        let found = found.or_else(|| before.get(&digest).cloned());
        self.facts.extend(found.map(|facts| (digest, facts)));
    }

    /// Whether everything is known that pages say.
    pub fn is_complete(&self) -> bool {
        self.shown
            .iter()
            .all(|digest| self.facts.contains_key(digest))
    }

    /// Whether an image has a page.
    pub fn has_page(&self, digest: &Digest) -> bool {
        self.here.contains(digest) || self.facts.contains_key(digest)
    }
}

/// The facts of an index, with those of its children.
fn together(mut index: Facts, children: &[&Facts]) -> Facts {
    let newest = children.iter().map(|facts| &facts.created).max();
    index.created = newest.cloned().flatten().or(index.created);
    for platform in children.iter().flat_map(|facts| &facts.platforms) {
        if !index.platforms.contains(platform) {
            index.platforms.push(platform.clone());
        }
    }
    let mut described = children.iter().map(|facts| &facts.description);
    index.description = index
        .description
        .or_else(|| described.find_map(Clone::clone));
    index
}

fn roots(images: &Images, repo: &Repo) -> BTreeSet<Digest> {
    let tagged = repo.tags.iter().filter(|(tag, _)| is_of_image(repo, tag));
    let mut roots: BTreeSet<Digest> = tagged.map(|(_, digest)| *digest).collect();
    let is_attached = |digest: &Digest| {
        let subject = images.manifests[digest].subject;
        subject.is_some_and(|subject| repo.manifests.contains_key(&subject))
    };
    let untagged = images.untagged(repo).into_iter();
    roots.extend(untagged.filter(|digest| !is_attached(digest)));
    roots
}

/// All that pages are made of.
#[derive(Debug, Default)]
pub struct Pages {
    /// The repositories whose pages are planned.
    repositories: BTreeMap<Repository, Known>,
    /// The others.
    summaries: BTreeMap<Repository, Summary>,
}

impl Pages {
    /// Finds what pages say of the loaded repositories with `find`, and of the others in the files of pages, which `read`
    /// gives; `None` for one that is missing.
    ///
    /// # Errors
    /// When `read` or `find` fails.
    pub fn new(
        catalogue: &Catalogue,
        images: &Images,
        read: &(dyn Fn(&str) -> anyhow::Result<Option<Vec<u8>>> + Sync),
        find: impl Fn(&Repository, &Repo) -> anyhow::Result<Known> + Sync,
    ) -> anyhow::Result<Self> {
        if !catalogue.has_pages() {
            return Ok(Self::default());
        }
        let loaded = images.repositories.par_iter();
        let found = loaded.map(|(name, repo)| Ok((name.clone(), find(name, repo)?)));
        let repositories: BTreeMap<Repository, Known> = found.collect::<anyhow::Result<_>>()?;
        let others = catalogue.repositories.par_iter();
        let others = others.filter(|(name, _)| !repositories.contains_key(name));
        let mut summaries = BTreeMap::new();
        if repositories.len() < catalogue.repositories.len() {
            summaries = parse_search(&read(SEARCH)?.unwrap_or_default());
        }
        let lacking = others.filter(|(name, _)| !summaries.contains_key(name));
        let lacking = lacking.map(|(name, repo)| {
            let facts = read(&images_path(name))?.map(|bytes| parse_images(&bytes));
            Ok((name.clone(), facts.map(|facts| Summary::of(repo, &facts))))
        });
        let lacking: Vec<(Repository, Option<Summary>)> = lacking.collect::<anyhow::Result<_>>()?;
        summaries.extend(
            lacking
                .into_iter()
                .filter_map(|(name, found)| Some((name, found?))),
        );
        Ok(Self {
            repositories,
            summaries,
        })
    }

    /// Those of a site, some of whose repositories are loaded.
    ///
    /// # Errors
    /// When a file of the site cannot be read.
    pub fn of_site(
        catalogue: &Catalogue,
        images: &Images,
        files: &SiteFiles,
    ) -> anyhow::Result<Self> {
        let read = |path: &str| {
            let content = files.content(path)?;
            let bytes = content.map(|content| content.read(MAX_FILE)).transpose()?;
            Ok(bytes.map(|bytes| bytes.to_vec()))
        };
        Self::new(catalogue, images, &read, |name, repo| {
            let known = Known::of(images, repo, &BTreeMap::new());
            if known.is_complete() {
                return Ok(known);
            }
            let before = read(&images_path(name))?.unwrap_or_default();
            Ok(Known::of(images, repo, &parse_images(&before)))
        })
    }

    /// Those of images that are all loaded.
    pub fn of_images(catalogue: &Catalogue, images: &Images) -> Self {
        let find = |_: &Repository, repo: &Repo| Ok(Known::of(images, repo, &BTreeMap::new()));
        Self::new(catalogue, images, &|_| Ok(None), find).unwrap_or_default()
    }

    pub fn of(&self, name: &Repository) -> Option<&Known> {
        self.repositories.get(name)
    }

    /// What lists say of each repository, in the order of names; `None` of one without pages.
    pub(super) fn summaries(&self, catalogue: &Catalogue) -> Vec<(Repository, Option<Summary>)> {
        let summary = |(name, repo): (&Repository, &Repo)| {
            let known = self.repositories.get(name);
            let summary = match known {
                Some(known) => Some(Summary::of(repo, &known.facts)),
                None => self.summaries.get(name).cloned(),
            };
            (name.clone(), summary)
        };
        catalogue.repositories.iter().map(summary).collect()
    }
}
