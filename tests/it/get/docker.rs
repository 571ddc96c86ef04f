//! Archives for Docker without manifests, by a model of how it loads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::{get, members, site, tags};
use crate::support::files::{decompressed, digest};
use crate::support::site::json;

/// What Docker up to 1.9 makes of an archive (`graph/load.go`): every folder at its top is an image, parents come before
/// their children, and `repositories` gives the tags. The ids of all images, each with its parent, and the tags.
fn load_as_docker_1(tar: &[u8]) -> (BTreeMap<String, Option<String>>, BTreeMap<String, String>) {
    let members: BTreeMap<String, Vec<u8>> = members(tar).into_iter().collect();
    let mut images = BTreeMap::new();
    for folder in members.keys().filter_map(|path| path.strip_suffix('/')) {
        assert!(!folder.contains('/'), "{folder}");
        let is_id = folder.len() == 64 && folder.bytes().all(|c| c.is_ascii_hexdigit());
        assert!(is_id, "it would take `{folder}` for an image");
        let json: Value = serde_json::from_slice(&members[&format!("{folder}/json")]).unwrap();
        assert_eq!(json["id"], folder);
        let layer = &members[&format!("{folder}/layer.tar")];
        assert!(decompressed(layer).unwrap().len().is_multiple_of(512));
        assert_eq!(members[&format!("{folder}/VERSION")], b"1.0");
        let parent = json["parent"].as_str().map(str::to_owned);
        images.insert(folder.to_owned(), parent);
    }
    for parent in images.values().flatten() {
        assert!(images.contains_key(parent), "{parent} is missing");
    }
    let repositories: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&members["repositories"]).unwrap();
    let tags = repositories.into_iter().flat_map(|(name, tags)| {
        tags.into_iter()
            .map(move |(tag, id)| (format!("{name}:{tag}"), id))
    });
    let tags: BTreeMap<String, String> = tags.collect();
    assert!(tags.values().all(|id| images.contains_key(id)));
    (images, tags)
}

#[test]
fn docker_1_loads_what_it_would_pull() {
    let site = site();
    let mut count = 0;
    for (name, _) in tags(site.path()) {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let path = format!("v1/repositories/{repository}/tags/{tag}");
        if !site.path().join(&path).exists() {
            continue;
        }
        count += 1;
        let top = json(site.path().join(path)).as_str().unwrap().to_owned();
        let ancestry = json(site.path().join(format!("v1/images/{top}/ancestry")));
        let ids: BTreeSet<String> = serde_json::from_value(ancestry).unwrap();
        for format in ["docker", "docker-1"] {
            let out = get(site.path(), &[&name, "--format", format]);
            let (images, tags) = load_as_docker_1(&out.stdout);
            assert_eq!(
                images.into_keys().collect::<BTreeSet<_>>(),
                ids,
                "{format} {name}"
            );
            assert_eq!(tags, BTreeMap::from([(name.clone(), top.clone())]));
            let members: BTreeMap<_, _> = members(&out.stdout).into_iter().collect();
            for id in &ids {
                for (file, of_site) in [("json", "json"), ("layer.tar", "layer")] {
                    let expected = fs::read(site.path().join(format!("v1/images/{id}/{of_site}")));
                    assert_eq!(
                        members[&format!("{id}/{file}")],
                        expected.unwrap(),
                        "{format} {name}"
                    );
                }
            }
        }
    }
    assert!(count > 8, "{count}");
}

/// The layers that `manifest.json` names are those of the config, whatever v1 clients get.
#[test]
fn docker_gets_layers_with_their_diff_ids() {
    let site = site();
    for (name, _) in tags(site.path()) {
        let out = get(site.path(), &[&name, "--format", "docker"]);
        let members: BTreeMap<_, _> = members(&out.stdout).into_iter().collect();
        let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
        let config = &members[manifest[0]["Config"].as_str().unwrap()];
        let config: Value = serde_json::from_slice(config).unwrap();
        let layers = manifest[0]["Layers"].as_array().unwrap().iter();
        let diff_ids: Vec<String> = layers
            .map(|path| digest(&decompressed(&members[path.as_str().unwrap()]).unwrap()))
            .collect();
        assert_eq!(
            config["rootfs"]["diff_ids"],
            serde_json::json!(diff_ids),
            "{name}"
        );
    }
}
