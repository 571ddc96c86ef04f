//! `publish` into a bucket: what two publishers, interruptions and repetitions leave there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::json::conforming;
use crate::support::archive::{Archive, Image};
use crate::support::chance::Chance;
use crate::support::files::digest;
use crate::support::servers::bucket::Store;
use crate::support::site::{build, stderr, stillage};
use crate::support::temp::TempDir;

mod ci_files;
mod examples;
pub(crate) mod interrupted;
mod kept;
mod many;
mod pages;
mod pruned;

/// A site with an image for each text, which is in its layer, and its names.
pub(crate) fn site(folder: &TempDir, name: &str, images: &[(&str, &str)]) -> PathBuf {
    let images: Vec<Image> = images
        .iter()
        .map(|(names, text)| Image::new(&names.split(' ').collect::<Vec<_>>()).layer("file", text))
        .collect();
    site_of(folder, name, &images)
}

fn site_of(folder: &TempDir, name: &str, images: &[Image]) -> PathBuf {
    let source = folder.path().join(format!("{name}.tar"));
    std::fs::write(&source, Archive::docker_20(images).tar()).unwrap();
    let site = folder.path().join(name);
    build(&[source.to_str().unwrap()], &site);
    site
}

/// A site whose layer is sent in three parts.
pub(crate) fn large_site(folder: &TempDir) -> PathBuf {
    let mut chance = Chance(7);
    let noise: Vec<u8> = (0..9 << 20)
        .flat_map(|_| chance.next().to_le_bytes())
        .collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(noise.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "noise", &noise[..]).unwrap();
    let image = Image::new(&["o/large:1"]).layer_tar(tar.into_inner().unwrap());
    site_of(folder, "large", &[image])
}

/// Text that compression does not shorten below half.
pub(crate) fn noise(length: usize) -> String {
    let mut chance = Chance(7);
    let text = (0..length / 16).map(|_| format!("{:016x}", chance.next()));
    text.collect()
}

/// The references that the catalogue of the bucket lists. Each can be pulled.
pub(crate) fn listed(store: &Store) -> BTreeSet<String> {
    listed_below(store, "")
}

/// The same below a prefix: empty, or with a slash at its end.
fn listed_below(store: &Store, prefix: &str) -> BTreeSet<String> {
    if store.object(&format!("{prefix}index.json")).is_none() {
        return BTreeSet::new();
    }
    let mut names = in_catalogue(store, prefix);
    names.retain(|name| !name.contains('@'));
    for name in &names {
        let (repository, tag) = name.split_once(':').unwrap();
        can_be_pulled(store, prefix, repository, tag);
    }
    lists_are_of_pointers(store, prefix);
    names
}

/// The names in the catalogue, those of manifests without a tag too.
pub(crate) fn in_catalogue(store: &Store, prefix: &str) -> BTreeSet<String> {
    let catalogue = store.json(&format!("{prefix}index.json"));
    let entries = catalogue["manifests"].as_array().unwrap().iter();
    let name = |entry: &Value| {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().unwrap().to_owned()
    };
    entries.map(name).collect()
}

/// What lists of tags name can be asked for.
fn lists_are_of_pointers(store: &Store, prefix: &str) {
    let keys = store.list(prefix);
    for (key, folder, member) in keys.keys().filter_map(|key| {
        let v2 = key.strip_suffix("/tags/list");
        let v2 = v2.map(|name| (key, format!("{name}/manifests"), Some("tags")));
        v2.or_else(|| Some((key, key.strip_suffix("/tags")?.to_owned() + "/tags", None)))
    }) {
        // It may be deleted meanwhile.
        let Some(list) = store.object(&format!("{prefix}{key}")) else {
            continue;
        };
        let list: Value = serde_json::from_slice(&list.body).unwrap();
        let tags: Vec<&str> = match member {
            Some(member) => list[member]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect(),
            None => list
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect(),
        };
        for tag in tags {
            let key = format!("{prefix}{folder}/{tag}");
            assert!(store.object(&key).is_some(), "no {key}");
        }
    }
}

fn can_be_pulled(store: &Store, prefix: &str, repository: &str, tag: &str) {
    let manifest = store.json(&format!("{prefix}v2/{repository}/manifests/{tag}"));
    let layers = manifest["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let key = format!(
            "{prefix}v2/{repository}/blobs/{}",
            blob["digest"].as_str().unwrap()
        );
        let stored = store.object(&key).unwrap_or_else(|| panic!("no {key}"));
        assert_eq!(digest(&stored.body), blob["digest"], "{key}");
    }
    let id = store.json(&format!("{prefix}v1/repositories/{repository}/tags/{tag}"));
    for id in store
        .json(&format!(
            "{prefix}v1/images/{}/ancestry",
            id.as_str().unwrap()
        ))
        .as_array()
        .unwrap()
    {
        for file in ["json", "layer"] {
            let key = format!("{prefix}v1/images/{}/{file}", id.as_str().unwrap());
            assert!(store.object(&key).is_some(), "no {key}");
        }
    }
}

/// The tags of a repository that the bucket lists.
pub(crate) fn tags(store: &Store, repository: &str) -> Value {
    store.json(&format!("v2/{repository}/tags/list"))["tags"].clone()
}

fn puts(requests: &[String]) -> Vec<&String> {
    requests
        .iter()
        .filter(|request| request.contains("PUT "))
        .collect()
}

#[test]
fn a_bucket_is_a_site_into_which_sites_are_merged() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let first = site(&folder, "first", &[("app:1", "a"), ("other:1", "o")]);
    let second = site(&folder, "second", &[("app:2", "b"), ("more:1", "m")]);
    store.published(&first, &[]);
    store.published(&second, &[]);
    let all = ["app:1", "app:2", "more:1", "other:1"].map(str::to_owned);
    assert_eq!(listed(&store), BTreeSet::from(all));
    assert_eq!(tags(&store, "app"), json!(["1", "2"]));
    assert_eq!(tags(&store, "library/app"), json!(["1", "2"]));
    assert_eq!(
        store.json("v2/_catalog"),
        json!({"repositories": ["app", "more", "other"]})
    );
    let object = store.object("v2/app/manifests/1").unwrap();
    let digest = object
        .header("x-amz-meta-docker-content-digest")
        .unwrap()
        .to_owned();
    let by_digest = store.object(&format!("v2/app/manifests/{digest}")).unwrap();
    assert_eq!(by_digest.body, object.body);
    for (object, cache) in [
        (object, "public, max-age=60, must-revalidate"),
        (by_digest, "public, max-age=31536000, immutable"),
    ] {
        assert_eq!(
            object.header("content-type"),
            Some("application/vnd.docker.distribution.manifest.v2+json")
        );
        assert_eq!(object.header("cache-control"), Some(cache));
    }
    assert_eq!(store.object("v2/").unwrap().body, b"{}");

    // Nothing new: a list, the catalogue and no writes. The probe left nothing behind.
    let before = store.requests().len();
    let said = stderr(&store.published(&first, &[]));
    assert_eq!(said, "nothing to do\n");
    let requests = store.requests().split_off(before);
    assert!(puts(&requests).is_empty(), "{requests:#?}");
    let lists = requests
        .iter()
        .filter(|request| request.contains("list-type=2"));
    assert_eq!(lists.count(), 1, "{requests:#?}");

    // A moved tag: the content of its image, and pointers.
    let moved = site(&folder, "moved", &[("app:1", "new")]);
    let refused = store.publish(&moved, &["--no-move"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("`app:1` would move"),
        "{}",
        stderr(&refused)
    );
    let planned = stderr(&store.published(&moved, &["--dry-run"]));
    assert!(planned.contains("would send"), "{planned}");
    let planned = conforming(
        "publish",
        &store.published(&moved, &["--dry-run", "--json"]),
    );
    assert_eq!(planned["changes"]["moved"][0]["tag"], "1");
    assert_eq!(listed(&store).len(), 4);
    store.published(&moved, &[]);
    assert_eq!(listed(&store).len(), 4);
    let tagged = store.object("v2/app/manifests/1").unwrap();
    assert_ne!(
        tagged.header("x-amz-meta-docker-content-digest"),
        Some(&*digest)
    );

    // A mirror drops what the site lacks, also its pointers.
    store.published(&moved, &["--mirror"]);
    assert_eq!(listed(&store), BTreeSet::from(["app:1".to_owned()]));
    for key in [
        "v2/app/manifests/2",
        "v2/more/tags/list",
        "v1/repositories/more/tags/1",
    ] {
        assert!(store.object(key).is_none(), "{key}");
    }
}

#[test]
fn what_is_selected_is_published_with_what_is_attached() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let path = folder.path().join("site");
    build(
        &[
            "fixtures/oci-layout-referrer",
            "fixtures/docker-20.10.tar=other/",
        ],
        &path,
    );
    store.published(&path, &["--only", "tiny:1"]);
    let names = in_catalogue(&store, "");
    assert!(
        names.iter().all(|name| name.starts_with("tiny")),
        "{names:?}"
    );
    for part in ["tiny:1", "tiny:sha256-", "tiny@sha256:"] {
        assert!(
            names.iter().any(|name| name.starts_with(part)),
            "{part}: {names:?}"
        );
    }
    let refused = store
        .publish(&path, &["--only", "nothing"])
        .output()
        .unwrap();
    assert!(
        stderr(&refused).contains("leave no repository"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn others_can_upload_by_the_plan() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let large = "large ".repeat(20_000);
    let first = site(
        &folder,
        "first",
        &[("app:1 org/app:2", "a"), ("other:1", &large)],
    );
    let whole = stillage(["publish", "--plan"])
        .arg(&first)
        .output()
        .unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    store.upload(&first, &whole.stdout);
    assert_eq!(listed(&store).len(), 3);
    assert_eq!(stderr(&store.published(&first, &[])), "nothing to do\n");
    // With a destination, the difference.
    let second = site(&folder, "second", &[("app:1", "new")]);
    let plan = store.published(&second, &["--plan"]);
    let keys: Vec<Value> = String::from_utf8(plan.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(keys.len() > 5);
    assert_eq!(keys.last().unwrap()["key"], "index.json");
    assert!(
        !keys
            .iter()
            .any(|operation| operation["key"] == "v2/_catalog"),
        "it does not change"
    );
    store.upload(&second, &plan.stdout);
    assert_eq!(listed(&store).len(), 3);
    assert_eq!(stderr(&store.published(&second, &[])), "nothing to do\n");
    let refused = stillage(["publish"]).arg(&first).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn what_changed_is_listed_for_the_cdn() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    store.published(
        &site(&folder, "first", &[("app:1", "a"), ("other:1", "o")]),
        &[],
    );
    let list = folder.path().join("purge");
    let second = site(&folder, "second", &[("app:1", "new")]);
    store.published(&second, &["--purge-list", list.to_str().unwrap()]);
    let text = std::fs::read_to_string(list).unwrap();
    let paths: BTreeSet<&str> = text.lines().collect();
    for path in [
        "/index.json",
        "/_pages/app/index.html",
        "/v2/app/manifests/1",
        "/v1/repositories/library/app/tags",
    ] {
        assert!(paths.contains(path), "{path}: {text}");
    }
    for part in ["other", "/blobs/", "/manifests/sha256:"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_error_says_what_was_tried() {
    let folder = TempDir::new("publish");
    let path: &Path = &site(&folder, "site", &[("app:1", "a")]);
    let mut command = stillage(["publish"]);
    command
        .arg(path)
        .args(["s3://site", "--endpoint", "http://127.0.0.1:1"])
        .env_clear()
        .env("HOME", folder.path())
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    for word in [
        "environment: none",
        "web identity: none",
        "profile: none",
        "container: none",
        "instance: none",
        "hint: set AWS_ACCESS_KEY_ID",
    ] {
        assert!(
            stderr(&output).contains(word),
            "{word}: {}",
            stderr(&output)
        );
    }
}
