//! What pages say of images. It is kept in files, so that nobody has to read the configs again that it comes from: a
//! publisher has those of its own images alone, and a build those of the repositories that it touches.
//! ```text
//! _pages/<name>/images.json   {"images":{"sha256:..":{"tags":[..],"created":..,"platforms":[..],"size":..,"description":..}}}
//! _pages/_search.json         {"repositories":[{"name":..,"tags":..,"updated":..,"description":..}]}
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::images::Images;
use crate::pages::order::newest_first;
use crate::pages::{has_pages, known::Known};
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::image_config;
use crate::spec::manifest::Manifest;
use crate::spec::name::{Repository, Tag};

/// The longest description in a list, in characters.
const MAX_DESCRIPTION: usize = 200;

/// What pages say of an image, an index or an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// When it was created (RFC 3339, in whole seconds); of an index, its newest image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    pub platforms: Vec<String>,
    /// The manifest and everything that it leads to, each counted once, in bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What lists say of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of its tags, without those that attach something to an image.
    pub tags: u64,
    /// When the newest of the tagged images was created (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// That of the newest of these images that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Facts {
    /// Those that a manifest and its config alone say. `None` if these are not there, or the lengths of its layers.
    pub fn of_one(images: &Images, manifest: &Manifest) -> Option<Self> {
        let config = images.image_config(manifest).ok()?;
        if manifest.is_image() && config.is_none() {
            return None;
        }
        let has_length = |blob: &crate::spec::manifest::Blob| {
            blob.size.is_some() || images.blobs.contains_key(&blob.digest)
        };
        if !manifest.blobs().iter().all(has_length) {
            return None;
        }
        let mut facts = Self::annotated(manifest);
        facts.size = images.size(&manifest.digest);
        if let Some((platform, config)) = config {
            let created = config.created.and_then(whole_seconds);
            facts.created = created.or(facts.created);
            facts.platforms = vec![platform.to_string()];
            let label = || config.labels.get(DESCRIPTION).and_then(|text| short(text));
            facts.description = facts.description.or_else(label);
        }
        Some(facts)
    }

    /// Those that the annotations of a manifest say.
    pub fn annotated(manifest: &Manifest) -> Self {
        let annotations = manifest.annotations().unwrap_or_default();
        let said = |key: &str| annotations.get(key).map(String::as_str);
        let created = said("org.opencontainers.image.created").and_then(image_config::time);
        Self {
            created: created.and_then(whole_seconds),
            description: said(DESCRIPTION).and_then(short),
            ..Self::default()
        }
    }
}

const DESCRIPTION: &str = "org.opencontainers.image.description";

/// Without fractions of a second, so that texts are in the order of times.
fn whole_seconds(time: Timestamp) -> Option<String> {
    Some(Timestamp::from_second(time.as_second()).ok()?.to_string())
}

fn short(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut text = words.join(" ");
    if let Some((end, _)) = text.char_indices().nth(MAX_DESCRIPTION) {
        text.truncate(end);
        text.push('…');
    }
    (!text.is_empty()).then_some(text)
}

impl Summary {
    /// It depends on nothing but what the catalogue says and the files of pages keep.
    pub fn of(repo: &Repo, facts: &BTreeMap<Digest, Facts>) -> Self {
        let tagged = || repo.tags.iter().filter(|(tag, _)| is_of_image(repo, tag));
        let mut newest: Vec<_> = tagged()
            .filter_map(|(_, to)| facts.get_key_value(to))
            .collect();
        newest.sort_by(|(a, of_a), (b, of_b)| of_b.created.cmp(&of_a.created).then(a.cmp(b)));
        let mut described = newest.iter().map(|(_, facts)| &facts.description);
        Self {
            tags: tagged().count() as u64,
            updated: newest.first().and_then(|(_, facts)| facts.created.clone()),
            description: described.find_map(Clone::clone),
        }
    }
}

/// Whether a tag does not just attach something to another manifest of the repository.
pub(super) fn is_of_image(repo: &Repo, tag: &Tag) -> bool {
    let to = tag.attached_to();
    to.is_none_or(|to| !repo.manifests.contains_key(&to))
}

/// The tags of each image, the newest version first.
pub(super) fn tags(repo: &Repo) -> BTreeMap<Digest, Vec<&str>> {
    let mut tags: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
    for (tag, digest) in repo.tags.iter().filter(|(tag, _)| is_of_image(repo, tag)) {
        tags.entry(*digest).or_default().push(tag.as_str());
    }
    for tags in tags.values_mut() {
        tags.sort_by(|a, b| newest_first(a, b));
    }
    tags
}

/// The file of the images of a repository.
#[derive(Serialize)]
struct ImagesFile<'a> {
    images: BTreeMap<&'a Digest, Tagged<'a>>,
}

#[derive(Serialize)]
struct Tagged<'a> {
    tags: &'a [&'a str],
    #[serde(flatten)]
    facts: &'a Facts,
}

/// The file of the images of a repository.
pub fn images_file(repo: &Repo, known: &Known) -> anyhow::Result<String> {
    let tags = tags(repo);
    let tagged = |(digest, facts)| {
        let tags = tags.get(digest).map_or(&[][..], Vec::as_slice);
        (digest, Tagged { tags, facts })
    };
    let images = known.facts.iter().map(tagged).collect();
    Ok(serde_json::to_string(&ImagesFile { images })?)
}

/// What such a file says; nothing if the bytes are none.
pub fn parse_images(bytes: &[u8]) -> BTreeMap<Digest, Facts> {
    #[derive(Default, Deserialize)]
    struct File {
        images: BTreeMap<Digest, Facts>,
    }
    let file: File = serde_json::from_slice(bytes).unwrap_or_default();
    file.images
}

#[derive(Default, Serialize, Deserialize)]
struct SearchFile {
    repositories: Vec<Listed>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    has_page: Option<bool>,
    #[serde(flatten)]
    summary: Summary,
}

/// The file of all repositories.
pub fn search_file<'a>(
    all: impl Iterator<Item = (&'a Repository, &'a Summary)>,
) -> anyhow::Result<String> {
    let listed = |(name, summary): (&Repository, &Summary)| Listed {
        name: name.to_string(),
        has_page: (!has_pages(name)).then_some(false),
        summary: summary.clone(),
    };
    let repositories = all.map(listed).collect();
    Ok(serde_json::to_string(&SearchFile { repositories })?)
}

/// What such a file says; nothing if the bytes are none.
pub fn parse_search(bytes: &[u8]) -> BTreeMap<Repository, Summary> {
    let file: SearchFile = serde_json::from_slice(bytes).unwrap_or_default();
    let listed = file.repositories.into_iter();
    listed
        .filter_map(|Listed { name, summary, .. }| Some((name.parse().ok()?, summary)))
        .collect()
}
