//! What pages say of images. Only what comes from configs is kept in files, so that nobody has to read these again: a
//! publisher has the configs of its own images alone, and a build those of the repositories that it touches.
//! ```text
//! _pages/<name>/images.json   {"images":{"sha256:..":{"created":..,"platforms":[..],"size":..,"description":..}}}
//! _pages/_search.json         {"repositories":[{"name":..,"tags":..,"updated":..,"description":..}]}
//! ```

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::images::Images;
use crate::images::measure::Measured;
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::{Repository, Tag};

/// The longest description in a list, in characters.
const MAX_DESCRIPTION: usize = 200;
const DESCRIPTION: &str = "org.opencontainers.image.description";

/// What pages say of an image, an index or an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// When it was created (RFC 3339); of an index, its newest image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub platforms: Vec<String>,
    /// The manifest and everything that it leads to, each counted once, in bytes.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What lists say of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of its tags, without those that attach something to an image.
    pub tags: u64,
    /// When its newest image was created (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The file of the images of a repository.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ImagesFile {
    pub images: BTreeMap<Digest, Facts>,
}

/// The file of all repositories.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SearchFile {
    repositories: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    name: String,
    #[serde(flatten)]
    summary: Summary,
}

impl ImagesFile {
    /// What bytes say; nothing where they are not such a file.
    pub fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }
}

impl SearchFile {
    pub fn new<'a>(all: impl Iterator<Item = (&'a Repository, &'a Summary)>) -> Self {
        let listed = |(name, summary): (&Repository, &Summary)| Listed {
            name: name.to_string(),
            summary: summary.clone(),
        };
        Self {
            repositories: all.map(listed).collect(),
        }
    }

    /// What bytes say; nothing where they are not such a file.
    pub fn summaries(bytes: &[u8]) -> BTreeMap<Repository, Summary> {
        let file: Self = serde_json::from_slice(bytes).unwrap_or_default();
        let listed = file.repositories.into_iter();
        listed
            .filter_map(|Listed { name, summary }| Some((name.parse().ok()?, summary)))
            .collect()
    }
}

impl Facts {
    /// `None` unless all manifests and configs are there.
    fn of(images: &Images, digest: &Digest) -> Option<Self> {
        let manifest = images.manifests.get(digest)?;
        if !images.has_configs(digest) {
            return None;
        }
        let measured = images.measure(digest).ok()?;
        let annotations = manifest.annotations().unwrap_or_default();
        let created = annotations.get("org.opencontainers.image.created");
        let created = created.and_then(|text| crate::spec::image_config::time(text));
        Some(Self {
            created: measured.created().or(created).and_then(whole_seconds),
            platforms: measured.platforms(),
            size: measured.size,
            description: description(&annotations, &measured),
        })
    }
}

/// Without fractions of a second, so that texts are in the order of times.
fn whole_seconds(time: Timestamp) -> Option<String> {
    Some(Timestamp::from_second(time.as_second()).ok()?.to_string())
}

/// The description in the annotations of a manifest, or in the labels of its first image.
fn description(annotations: &BTreeMap<String, String>, measured: &Measured) -> Option<String> {
    let labels = measured.images.first().map(|image| &image.config.labels);
    let said = annotations.get(DESCRIPTION).or(labels?.get(DESCRIPTION))?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let mut text = words.join(" ");
    if let Some((end, _)) = text.char_indices().nth(MAX_DESCRIPTION) {
        text.truncate(end);
        text.push('…');
    }
    (!text.is_empty()).then_some(text)
}

/// What is known of the images of a repository.
#[derive(Debug)]
pub struct Known {
    /// The images that its page lists: those with tags, and those to which nothing leads.
    pub roots: BTreeSet<Digest>,
    pub facts: BTreeMap<Digest, Facts>,
    /// The images of which all manifests and configs are there, so that their pages can be made.
    pub here: BTreeSet<Digest>,
    /// Whether manifests or configs are lost. The pages stay as they are then.
    pub is_damaged: bool,
}

impl Known {
    /// `before` is what is known of images whose configs are elsewhere.
    pub fn of(images: &Images, repo: &Repo, before: Option<&BTreeMap<Digest, Facts>>) -> Self {
        let roots = roots(images, repo);
        let found = |digest: &Digest| Some((*digest, Facts::of(images, digest)?));
        let mut facts: BTreeMap<Digest, Facts> = roots.iter().filter_map(found).collect();
        let here = facts.keys().copied().collect();
        for digest in &roots {
            if let Some(known) = before.and_then(|before| before.get(digest)) {
                facts.entry(*digest).or_insert_with(|| known.clone());
            }
        }
        Self {
            facts,
            here,
            is_damaged: roots.iter().any(|digest| is_damaged(images, digest)),
            roots,
        }
    }

    pub fn summary(&self, repo: &Repo) -> Summary {
        let newest = self.facts.values().max_by_key(|facts| &facts.created);
        let mut described: Vec<&Facts> = self.facts.values().collect();
        described.sort_by(|a, b| b.created.cmp(&a.created));
        Summary {
            tags: repo
                .tags
                .keys()
                .filter(|tag| is_of_image(repo, tag))
                .count() as u64,
            updated: newest.and_then(|facts| facts.created.clone()),
            description: described
                .into_iter()
                .find_map(|facts| facts.description.clone()),
        }
    }
}

/// Whether a tag does not just attach something to another manifest of the repository.
pub fn is_of_image(repo: &Repo, tag: &Tag) -> bool {
    tag.attached_to()
        .is_none_or(|to| !repo.manifests.contains_key(&to))
}

fn roots(images: &Images, repo: &Repo) -> BTreeSet<Digest> {
    let tagged = repo.tags.iter().filter(|(tag, _)| is_of_image(repo, tag));
    let mut roots: BTreeSet<Digest> = tagged.map(|(_, digest)| *digest).collect();
    let attached = |digest: &Digest| {
        let subject = images.manifests[digest].subject;
        subject.is_some_and(|subject| repo.manifests.contains_key(&subject))
    };
    let untagged = images.untagged(repo).into_iter();
    roots.extend(untagged.filter(|digest| !attached(digest)));
    roots
}

fn is_damaged(images: &Images, digest: &Digest) -> bool {
    let lost = |manifest: &Manifest| {
        let config = manifest.config();
        images.damage.has(&manifest.digest)
            || config.is_some_and(|config| images.damage.has(config))
    };
    !images.damage.is_none() && images.with_children(digest).into_iter().any(lost)
}
