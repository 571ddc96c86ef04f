//! The page of a repository: its images, each with its tags.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use askama::Template;

use crate::pages::attached::{Attached, Attachments};
use crate::pages::facts::{Facts, is_of_image};
use crate::pages::order::{is_version, newest_first};
use crate::pages::{COMMANDS, Command, Page, Shown, root};
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
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
    /// The page of the image, if it is there.
    href: Option<String>,
    facts: Option<&'a Facts>,
    size: String,
    /// What it is, if it is no image.
    artifact_type: Option<&'a str>,
    v1: BTreeSet<String>,
    attached: Vec<Attached>,
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
        let row = |digest: &Digest| {
            let facts = known.facts.get(digest);
            let tags = tags(repo, digest);
            let ids = tags.iter().filter_map(|tag| v1?.get(&tag.parse().ok()?));
            let manifest = &images.manifests[digest];
            let artifact_type = manifest.artifact_type.as_deref();
            Row {
                v1: ids.map(ToString::to_string).collect(),
                digest: *digest,
                href: facts.map(|_| format!("{}.html", digest.hex())),
                facts,
                size: facts.map_or_else(String::new, |facts| bytes(facts.size)),
                artifact_type: artifact_type.filter(|_| !manifest.is_image()),
                attached: attachments.of(digest),
                tags,
            }
        };
        let mut rows: Vec<Row<'_>> = known.roots.iter().map(row).collect();
        rows.sort_by(by_version);
        let mut by_date: Vec<usize> = (0..rows.len()).collect();
        by_date.sort_by_key(|place| Reverse(rows[*place].created()));
        let mut newest = by_date.iter().filter_map(|place| rows[*place].facts);
        let description = newest.find_map(|facts| facts.description.clone());
        let latest = rows.iter().find(|row| row.tags.contains(&"latest"));
        let pulled = latest.or(rows.first()).filter(|_| shown.catalogue.apis.v2);
        Ok(Self {
            root: root(&Page::Repository(name.clone())),
            name,
            description,
            commands: &COMMANDS,
            pulled: pulled.map(|row| match row.tags.first() {
                _ if row.tags.contains(&"latest") => (":", "latest".into()),
                Some(tag) => (":", (*tag).to_owned()),
                None => ("@", row.digest.to_string()),
            }),
            by_version: (0..rows.len()).collect(),
            by_date,
            rows,
        })
    }
}

/// The tags of an image, in the order of versions.
fn tags<'a>(repo: &'a Repo, digest: &Digest) -> Vec<&'a str> {
    let tags = repo.tags.iter();
    let tags = tags.filter(|(tag, to)| *to == digest && is_of_image(repo, tag));
    let mut tags: Vec<&str> = tags.map(|(tag, _)| tag.as_str()).collect();
    tags.sort_by(|a, b| newest_first(a, b));
    tags
}

impl Row<'_> {
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
