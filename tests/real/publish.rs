//! `publish` into a bucket: what two publishers, interruptions and repetitions leave there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::is_long;
use crate::json::conforming;
use crate::support::archive::{Archive, Image};
use crate::support::servers::bucket::Store;
use crate::support::servers::flaky;
use crate::support::site::{build, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// A site with an image for each text, which is in its layer, and its names.
pub(crate) fn site(folder: &TempDir, name: &str, images: &[(&str, &str)]) -> PathBuf {
    let images: Vec<Image> = images
        .iter()
        .map(|(names, text)| Image::new(&names.split(' ').collect::<Vec<_>>()).layer("file", text))
        .collect();
    let source = folder.path().join(format!("{name}.tar"));
    std::fs::write(&source, Archive::docker_20(&images).tar()).unwrap();
    let site = folder.path().join(name);
    build(&[source.to_str().unwrap()], &site);
    site
}

/// The references that the catalogue of the bucket lists. Each can be pulled.
pub(crate) fn listed(store: &Store) -> BTreeSet<String> {
    listed_below(store, "")
}

/// The same below a prefix: empty, or with a slash at its end.
fn listed_below(store: &Store, prefix: &str) -> BTreeSet<String> {
    let Some(catalogue) = store.object(&format!("{prefix}index.json")) else {
        return BTreeSet::new();
    };
    let catalogue: Value = serde_json::from_slice(&catalogue.body).unwrap();
    let mut names = BTreeSet::new();
    for entry in catalogue["manifests"].as_array().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str();
        let Some((repository, tag)) = name.unwrap().split_once(':') else {
            continue;
        };
        if repository.contains('@') {
            continue;
        }
        can_be_pulled(store, prefix, repository, tag);
        names.insert(name.unwrap().to_owned());
    }
    names
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
        assert_eq!(
            stored.body.len() as u64,
            blob["size"].as_u64().unwrap(),
            "{key}"
        );
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
    let planned = conforming("edit", &store.published(&moved, &["--dry-run", "--json"]));
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
    let catalogue = store.json("index.json");
    let entries = catalogue["manifests"].as_array().unwrap().iter();
    let name = |entry: &Value| {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().unwrap().to_owned()
    };
    let names: Vec<String> = entries.map(name).collect();
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

/// Requests and answers are lost, cut and refused by chance; the run, or one of the next, ends where one without
/// faults does.
#[test]
fn faults_of_the_store_and_the_way_are_survived() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let sites = [
        site(&folder, "first", &[("o/app:1", "a")]),
        site(&folder, "second", &[("o/app:1", "new"), ("o/app:2", "b")]),
    ];
    for site in &sites {
        succeed(&mut store.publish_by(store.port, site, "clean/", &[]));
    }
    let expected = store.list("clean/");
    let rounds = if is_long() { 200 } else { 20 };
    // Most of the time goes by in waiting for another attempt.
    thread::scope(|scope| {
        for part in 0..4 {
            let (store, sites, expected) = (&store, &sites, &expected);
            scope.spawn(move || {
                for round in (part..rounds).step_by(4) {
                    survive(store, sites, round);
                    let left = store.list(&format!("faults{round}/"));
                    assert_eq!(left, *expected, "round {round}");
                }
            });
        }
    });
}

/// Publishes sites one after the other, on a way with faults, until each run succeeds.
fn survive(store: &Store, sites: &[PathBuf], round: u64) {
    // In some rounds so many that runs fail.
    let every = if round.is_multiple_of(5) { 3 } else { 7 };
    let port = flaky::start(store.port, 0x5eed + round, every);
    let prefix = format!("faults{round}/");
    for site in sites {
        let mut publish = store.publish_by(port, site, &prefix, &["-q"]);
        let succeeds = (0..10).any(|_| {
            let output = publish.output().unwrap();
            listed_below(store, &prefix);
            output.status.success()
        });
        assert!(succeeds, "round {round}");
    }
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
        "/",
        "/index.json",
        "/v2/app/manifests/1",
        "/v1/repositories/library/app/tags",
    ] {
        assert!(paths.contains(path), "{path}: {text}");
    }
    for part in ["other", "/blobs/", "/manifests/sha256:"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
}

/// Two runners that know nothing of each other.
pub(crate) fn publish_at_the_same_time(store: &Store, rounds: u64) {
    let folder = TempDir::new("publish");
    let mut expected = BTreeSet::new();
    for round in 0..rounds {
        let sites = ["a", "b"].map(|who| {
            // In a repository that both have, and in one of each.
            let names = [format!("both:{who}{round}"), format!("{who}/own:{round}")];
            let images = names.each_ref().map(|name| (name.as_str(), name.as_str()));
            expected.extend(names.iter().cloned());
            site(&folder, &format!("{who}{round}"), &images)
        });
        thread::scope(|scope| {
            let sites = &sites;
            for site in sites {
                scope.spawn(move || store.published(site, &[]));
            }
        });
        assert_eq!(listed(store), expected, "round {round}");
        let both = expected
            .iter()
            .filter_map(|name| name.strip_prefix("both:"));
        assert_eq!(
            tags(store, "both"),
            json!(both.collect::<Vec<_>>()),
            "round {round}"
        );
    }
}

/// Whenever a publisher is killed, what is listed can be pulled, and the next run finishes.
#[test]
fn a_publisher_that_is_killed_leaves_nothing_half() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let first = site(&folder, "first", &[("app:1", "a")]);
    store.published(&first, &[]);
    let rounds = if is_long() { 60 } else { 12 };
    for round in 0..rounds {
        let (name, text) = (format!("app:r{round}"), format!("text {round}"));
        let names = format!("app:1 {name}");
        let next = site(&folder, &format!("next{round}"), &[(&names, &text)]);
        let mut child = store.publish(&next, &["-q", "-j", "2"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(30 + 25 * round));
        let _ = child.kill();
        child.wait().unwrap();
        listed(&store);
        if round % 3 == 2 {
            store.published(&next, &[]);
            assert!(listed(&store).contains(&name));
            assert_eq!(stderr(&store.published(&next, &[])), "nothing to do\n");
        }
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
