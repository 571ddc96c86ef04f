//! The page of a repository: its images, each with its tags.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use askama::Template;

use crate::pages::attached::{Attached, Attachments, is_attestation};
use crate::pages::commands::{Command, commands};
use crate::pages::facts::{Facts, Summary, tags};
use crate::pages::order::{is_version, newest_first};
use crate::pages::{Known, Page, Shown, image_file, root};
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::Repository;
use crate::text::bytes;

#[derive(Template)]
#[template(path = "repository.html", config = "src/pages/askama.toml")]
pub(super) struct RepositoryPage<'a> {
    root: String,
    name: &'a Repository,
    description: Option<String>,
    commands: &'static [Command],
    /// The mark and the tag or digest of the image that the commands pull.
    pulled: Option<(&'static str, String)>,
    rows: Vec<Row<'a>>,
    /// Places in `rows`, each order with the newest first.
    by_version: Vec<usize>,
    by_date: Vec<usize>,
}

pub(super) struct Row<'a> {
    /// In the order of versions.
    tags: Vec<&'a str>,
    digest: Digest,
    /// The page of the image, if it has one.
    href: Option<String>,
    facts: Option<&'a Facts>,
    size: String,
    platforms: Vec<PlatformLink>,
    /// The platforms of the children of an index that the site lacks.
    absent: Vec<String>,
    /// What it is, if it is no image.
    artifact_type: Option<&'a str>,
    v1: BTreeSet<String>,
    attached: Vec<Attached>,
    /// Whether the commands on the page are those for it.
    is_pulled_alike: bool,
}

struct PlatformLink {
    name: String,
    /// The page of the child of an index.
    href: Option<String>,
}

impl<'a> RepositoryPage<'a> {
    pub(super) fn new(shown: &Shown<'a>, name: &'a Repository) -> anyhow::Result<Self> {
        let images = shown.images;
        let (Some(repo), Some(known)) = (images.repositories.get(name), shown.pages.of(name))
        else {
            anyhow::bail!("`{name}` is not loaded");
        };
        let attachments = Attachments::new(images, name, repo);
        let v1 = shown.v1.tags.get(name);
        let mut tags = tags(repo);
        let mut row = |digest: &Digest| {
            let facts = known.facts.get(digest);
            let tags = tags.remove(digest).unwrap_or_default();
            let ids = tags.iter().filter_map(|tag| v1?.get(&tag.parse().ok()?));
            let manifest = &images.manifests[digest];
            let artifact_type = manifest.artifact_type.as_deref();
            let (platforms, absent) = platforms(repo, known, manifest);
            Row {
                v1: ids.map(ToString::to_string).collect(),
                digest: *digest,
                href: page(known, digest),
                facts,
                size: facts.map_or_else(String::new, |facts| bytes(facts.size)),
                platforms,
                absent,
                artifact_type: artifact_type.filter(|_| !manifest.is_image()),
                attached: attachments.of(digest),
                is_pulled_alike: false,
                tags,
            }
        };
        let mut rows: Vec<Row<'_>> = known.roots.iter().map(&mut row).collect();
        rows.sort_by(by_version);
        let mut by_date: Vec<usize> = (0..rows.len()).collect();
        by_date.sort_by_key(|place| Reverse(rows[*place].created()));
        let description = Summary::of(repo, &known.facts).description;
        // Images before artifacts, and of these the one that clients pull by default.
        let is_latest = |row: &&Row<'_>| row.tags.contains(&"latest");
        let images = || rows.iter().filter(|row| row.artifact_type.is_none());
        let pulled = images().find(is_latest).or(images().next());
        let pulled = pulled.or(rows.iter().find(is_latest)).or(rows.first());
        let is_image = pulled.is_some_and(|row| row.artifact_type.is_none());
        let pulled = pulled
            .filter(|_| shown.catalogue.apis.v2)
            .map(Row::reference);
        for row in &mut rows {
            row.is_pulled_alike = pulled.is_some() && row.artifact_type.is_none() == is_image;
        }
        Ok(Self {
            root: root(&Page::Repository(name.clone())),
            name,
            description,
            commands: commands(is_image),
            pulled,
            by_version: (0..rows.len()).collect(),
            by_date,
            rows,
        })
    }
}

fn page(known: &Known, digest: &Digest) -> Option<String> {
    known.has_page(digest).then(|| image_file(digest))
}

/// The platforms of an image, or of the children that an index has, and of those that it lacks.
fn platforms(repo: &Repo, known: &Known, manifest: &Manifest) -> (Vec<PlatformLink>, Vec<String>) {
    let link = |name: &str, href| PlatformLink {
        name: name.to_owned(),
        href,
    };
    let of = |digest: &Digest| {
        known
            .facts
            .get(digest)
            .map_or(&[][..], |facts| &facts.platforms)
    };
    if manifest.children().is_empty() {
        let own = of(&manifest.digest).iter();
        return (own.map(|name| link(name, None)).collect(), Vec::new());
    }
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for child in manifest
        .children()
        .iter()
        .filter(|child| !is_attestation(child))
    {
        let said = child.platform.as_ref().map(ToString::to_string);
        if repo.manifests.contains_key(&child.digest) {
            let name = of(&child.digest).first().cloned().or(said);
            let name = name.unwrap_or_else(|| "unknown platform".into());
            present.push(link(&name, page(known, &child.digest)));
        } else {
            absent.extend(said);
        }
    }
    (present, absent)
}

impl Row<'_> {
    /// The mark and the tag or digest by which it is pulled.
    fn reference(&self) -> (&'static str, String) {
        match self.tags.first() {
            _ if self.tags.contains(&"latest") => (":", "latest".into()),
            Some(tag) => (":", (*tag).to_owned()),
            None => ("@", self.digest.to_string()),
        }
    }

    fn created(&self) -> Option<&str> {
        self.facts?.created.as_deref()
    }

    /// The most exact of its tags that is a version, or else its first one.
    fn version(&self) -> Option<&str> {
        let version = self.tags.iter().find(|tag| is_version(tag));
        version.or(self.tags.first()).copied()
    }
}

/// Images without tags come last.
fn by_version(a: &Row<'_>, b: &Row<'_>) -> Ordering {
    match (a.version(), b.version()) {
        (Some(a), Some(b)) => newest_first(a, b),
        (None, None) => b.created().cmp(&a.created()),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
