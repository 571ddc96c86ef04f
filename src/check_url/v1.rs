//! The v1 API: the lists of each repository under each of its names, then every image once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde_json::Value;

use crate::check_url::client::Ask;
use crate::check_url::offer::OfferedRepo;
use crate::check_url::v2::{Layers, hash, there};
use crate::check_url::{MAX_LIST, Probe, kinds};
use crate::error::escaped;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Repository;
use crate::spec::v1::{self, ChainLink, V1Id};

/// The shortest layer, in bytes: Docker 1.4 reads this much to detect the compression.
const SHORTEST_LAYER: u64 = 10;

/// Images, each with the ids of its ancestors, the parent first.
type Images = BTreeMap<V1Id, Vec<V1Id>>;

pub(super) fn all(probe: &Probe<'_>, layers: &Layers) {
    ping(probe);
    let repositories: Vec<_> = probe.offer.repositories.iter().collect();
    let tops: BTreeSet<V1Id> = repositories
        .par_iter()
        .flat_map_iter(|(repository, repo)| self::repository(probe, repository, repo))
        .collect();
    let images: Mutex<Images> = Mutex::default();
    tops.par_iter().for_each(|top| {
        let Some(chain) = ancestry(probe, *top) else {
            return;
        };
        let mut images = images.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, id) in chain.iter().enumerate() {
            images
                .entry(*id)
                .or_insert_with(|| chain[at + 1..].to_vec());
        }
    });
    let images = images.into_inner().unwrap_or_else(PoisonError::into_inner);
    images
        .par_iter()
        .for_each(|(id, below)| image(probe, *id, below, !tops.contains(id), layers));
}

fn ping(probe: &Probe<'_>) {
    let path = "/v1/_ping";
    let Some(answer) = probe.get(path) else {
        return;
    };
    if answer.header("X-Docker-Registry-Version").is_none() {
        probe.add(
            &kinds::NO_VERSION,
            path,
            "there is no X-Docker-Registry-Version",
        );
    }
    if let Some(bytes) = probe.body(path, answer, MAX_JSON)
        && serde_json::from_slice::<Value>(&bytes).is_err()
    {
        probe.add(&kinds::WRONG_CONTENT, path, "it is not JSON");
    }
}

/// Checks the lists of a repository, and returns the ids of its tags.
fn repository(probe: &Probe<'_>, repository: &Repository, repo: &OfferedRepo) -> Vec<V1Id> {
    let names = repository.aliases();
    let asked = if probe.options.fast { 1 } else { names.len() };
    let mut ids = BTreeSet::new();
    for name in &names[..asked] {
        let folder = format!("/v1/repositories/{name}");
        let path = format!("{folder}/images");
        if let Some(value) = probe.json(&path, MAX_LIST)
            && !value.is_array()
        {
            probe.add(&kinds::WRONG_CONTENT, &path, "it is not a list of images");
        }
        let path = format!("{folder}/tags");
        let tags = tags(probe, &path, repo);
        let one = if probe.options.fast { 1 } else { usize::MAX };
        let tags: Vec<_> = tags.into_iter().take(one).collect();
        tags.par_iter().for_each(|(tag, id)| {
            let path = format!("{path}/{tag}");
            if let Some(value) = probe.short_json(&path)
                && value.as_str() != Some(id.to_string().as_str())
            {
                let what = "it names another image than the list of tags does";
                probe.add(&kinds::LISTS, &path, what);
            }
        });
        ids.extend(tags.into_iter().map(|(_, id)| id));
    }
    ids.into_iter().collect()
}

/// The tags of a list that the catalogue has too; any difference is a finding.
fn tags(probe: &Probe<'_>, path: &str, repo: &OfferedRepo) -> BTreeMap<String, V1Id> {
    let Some(value) = probe.json(path, MAX_LIST) else {
        return BTreeMap::new();
    };
    let wrong = |what: String| probe.add(&kinds::LISTS, path, what);
    let Some(map) = value.as_object() else {
        wrong("it is not an object with tags".into());
        return BTreeMap::new();
    };
    let mut tags = BTreeMap::new();
    for (tag, id) in map {
        match id.as_str().unwrap_or_default().parse() {
            Ok(id) if repo.tags.contains_key(tag) => {
                tags.insert(tag.clone(), id);
            }
            Ok(_) => wrong(format!(
                "the tag `{}` is not in the catalogue",
                escaped(tag)
            )),
            Err(_) => wrong(format!(
                "the tag `{}` does not name an image id",
                escaped(tag)
            )),
        }
    }
    for (tag, digest) in &repo.tags {
        let entry = digest.and_then(|digest| repo.manifests.get(&digest));
        if let Some(id) = entry.and_then(|entry| entry.v1)
            && tags.get(tag) != Some(&id)
        {
            wrong(format!(
                "the tag `{}` does not name the image {id}",
                escaped(tag)
            ));
        }
    }
    tags
}

/// The ids of an image and its ancestors.
fn ancestry(probe: &Probe<'_>, id: V1Id) -> Option<Vec<V1Id>> {
    let path = format!("/v1/images/{id}/ancestry");
    let value = probe.short_json(&path)?;
    let wrong = |what: &str| {
        probe.add(&kinds::ANCESTRY, &path, what);
        None
    };
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: Option<Vec<V1Id>> = items
        .iter()
        .map(|item| item.as_str()?.parse().ok())
        .collect();
    let Some(ids) = ids else {
        return wrong("it is not a list of ids");
    };
    if ids.first() != Some(&id) {
        return wrong("it does not begin with the image itself");
    }
    if ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
        return wrong("it lists an id twice");
    }
    Some(ids)
}

fn image(probe: &Probe<'_>, id: V1Id, below: &[V1Id], ask_ancestry: bool, layers: &Layers) {
    let folder = format!("/v1/images/{id}");
    if ask_ancestry
        && let Some(ids) = ancestry(probe, id)
        && &ids[1..] != below
    {
        let path = format!("{folder}/ancestry");
        probe.add(
            &kinds::ANCESTRY,
            &path,
            "it does not match the ancestry of an image above",
        );
    }
    let path = format!("{folder}/json");
    let json = probe.get(&path).and_then(|answer| {
        let size = answer.header("X-Docker-Size");
        Some((probe.body(&path, answer, MAX_JSON)?, size))
    });
    if let Some((json, _)) = &json {
        match ChainLink::parse(json) {
            Ok(place) if place.id != id => {
                probe.add(
                    &kinds::WRONG_CONTENT,
                    &path,
                    "it is the JSON of another image",
                );
            }
            Ok(place) if place.parent.as_ref() != below.first() => {
                probe.add(
                    &kinds::ANCESTRY,
                    &path,
                    "its parent is not the next id of the ancestry",
                );
            }
            Ok(_) => {}
            Err(error) => probe.add(&kinds::WRONG_CONTENT, &path, format!("{error:#}")),
        }
    }
    let (json, size) = json.unzip();
    layer(probe, &folder, size.flatten(), json.as_deref(), layers);
}

fn layer(
    probe: &Probe<'_>,
    folder: &str,
    size_by_json: Option<String>,
    json: Option<&[u8]>,
    layers: &Layers,
) {
    let path = format!("{folder}/layer");
    let Some(answer) = there(probe, &path) else {
        return;
    };
    let length = answer.length();
    if let Some(length) = length.filter(|length| *length < SHORTEST_LAYER) {
        let what = format!("it has {length} bytes, too few for a layer");
        probe.add(&kinds::WRONG_LENGTH, &path, what);
    }
    let said = answer.header("X-Docker-Size");
    for (path, said) in [
        (format!("{folder}/json"), size_by_json),
        (path.clone(), said.clone()),
    ] {
        if let (Some(said), Some(length)) = (said, length)
            && said != length.to_string()
        {
            let what = format!("X-Docker-Size is `{said}`, but the layer has {length} bytes");
            probe.add(&kinds::DOCKER_SIZE, &path, what);
        }
    }
    if said.is_none() {
        probe.add(&kinds::NO_DOCKER_SIZE, &path, "there is no X-Docker-Size");
    }
    if let (true, Some(json)) = (probe.options.deep, json) {
        deep(probe, folder, json, length, layers);
    }
}

/// Downloads a layer. It must match the checksum of the image, or without one be a layer of a manifest.
fn deep(probe: &Probe<'_>, folder: &str, json: &[u8], length: Option<u64>, layers: &Layers) {
    let path = format!("{folder}/layer");
    let checksum = format!("{folder}/checksum");
    let answer = probe.ask(Ask::get(&checksum));
    let answer = answer.filter(|answer| answer.status == 200);
    let vouched = answer.and_then(|answer| probe.body(&checksum, answer, MAX_JSON));
    let vouched = vouched.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().parse::<Digest>());
    match vouched {
        Some(Err(_)) => probe.add(&kinds::WRONG_CONTENT, &checksum, "it is not a digest"),
        Some(Ok(expected)) => {
            if hash(probe, &path, v1::checksum(json), length).is_some_and(|found| found != expected)
            {
                probe.add(
                    &kinds::WRONG_CONTENT,
                    &path,
                    "JSON and layer do not match the checksum",
                );
            }
        }
        // The layers are known only if every manifest was read.
        None if !probe.offer.v2 || !probe.offer.exact || probe.options.fast => {}
        None => {
            let found = hash(probe, &path, Hasher::default(), length);
            if let Some(found) = found.filter(|found| !layers.holds(found)) {
                let what = format!("no manifest has a layer with its digest {found}");
                probe.add(&kinds::WRONG_CONTENT, &path, what);
            }
        }
    }
}
