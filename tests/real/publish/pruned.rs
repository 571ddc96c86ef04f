//! `publish --prune`: content goes after its grace period, and never what somebody relies on.

use std::collections::BTreeMap;
use std::process::Output;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{listed, noise, site};
use crate::crash::is_long;
use crate::json::conforming;
use crate::support::servers::bucket::Store;
use crate::support::site::{stderr, succeed};
use crate::support::temp::TempDir;

const LIST: &str = "_publish/unused";

/// The objects of a site, without those that only publishers read.
fn objects(store: &Store, prefix: &str) -> BTreeMap<String, String> {
    let mut objects = store.list(prefix);
    objects.retain(|key, _| !key.starts_with("_publish/") && !key.starts_with("clean/"));
    objects
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

/// Lets two days go by for all that is listed as unused.
fn age(store: &Store) {
    let list = String::from_utf8(store.object(LIST).unwrap().body).unwrap();
    let older = |line: &str| {
        let (time, key) = line.split_once(' ').unwrap();
        format!("{} {key}\n", time.parse::<u64>().unwrap() - 48 * 3600)
    };
    let aged: String = list.lines().map(older).collect();
    store.put(LIST, aged.as_bytes());
}

#[test]
fn content_goes_after_its_grace_period() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let large = noise(40_000);
    let first = site(
        &folder,
        "first",
        &[("o/app:1 app:2", &large), ("o/other:1", "o")],
    );
    let second = site(&folder, "second", &[("o/app:1", "new")]);
    succeed(&mut store.publish_by(store.port, &second, "clean/", &[]));
    // What is not part of a site stays, whatever its name.
    store.put("v2/readme.txt", b"kept");
    store.put("below/v2/o/app/manifests/1", b"kept");
    store.published(&first, &["--prune"]);
    assert!(store.object(LIST).is_none(), "nothing is unused");
    store.published(&second, &["--mirror"]);

    let before = objects(&store, "");
    let dry = store.published(&second, &["--prune", "--grace", "0s", "--dry-run"]);
    assert!(
        stderr(&dry).contains("would delete v2/o/other/"),
        "{}",
        stderr(&dry)
    );
    let said = stderr(&store.published(&second, &["--prune"]));
    assert!(
        said.contains("unused, kept until the grace period ends"),
        "{said}"
    );
    assert!(store.object(LIST).is_some());
    assert_eq!(objects(&store, ""), before);

    age(&store);
    let output = store.published(&second, &["--prune", "--json"]);
    let pruned = conforming("publish", &output)["pruned"].clone();
    assert!(
        pruned["bytes"].as_u64() > Some(0) && pruned["waiting"] == json!(0),
        "{pruned}"
    );
    let mut left = objects(&store, "");
    for key in ["v2/readme.txt", "below/v2/o/app/manifests/1"] {
        assert!(left.remove(key).is_some(), "{key}");
    }
    assert_eq!(left, objects(&store, "clean/"));
    assert_eq!(
        stderr(&store.published(&second, &["--prune"])),
        "nothing to do\n"
    );
}

#[test]
fn manifests_that_no_tag_leads_to_go_when_asked() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let second = site(&folder, "second", &[("o/app:1", "new")]);
    succeed(&mut store.publish_by(store.port, &second, "clean/", &[]));
    store.published(&site(&folder, "first", &[("o/app:1", "old")]), &[]);
    store.published(&second, &[]);
    store.published(&second, &["--prune", "--grace", "0s"]);
    assert_eq!(
        store.json("index.json")["manifests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let said = stderr(&store.published(&second, &["--prune", "--untagged"]));
    assert!(said.contains("1 manifest without a tag, kept"), "{said}");
    age(&store);
    let said = stderr(&store.published(&second, &["--prune", "--untagged"]));
    assert!(
        said.contains("removed o/app@sha256:") && said.contains("deleted "),
        "{said}"
    );
    assert_eq!(objects(&store, ""), objects(&store, "clean/"));
}

/// A publisher that was killed may leave tags and lists that the catalogue does not have.
#[test]
fn lists_that_differ_from_the_catalogue_are_mended_when_due() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let app = site(&folder, "app", &[("o/app:1", "a")]);
    store.published(&app, &[]);
    let before = objects(&store, "");
    store.put(
        "v2/o/app/tags/list",
        br#"{"name":"o/app","tags":["1","2"]}"#,
    );
    store.put("v2/o/app/manifests/2", b"{}");
    let next = site(&folder, "next", &[("o/next:1", "n")]);
    store.published(&next, &["--prune"]);
    assert!(store.object("v2/o/app/manifests/2").is_some());
    age(&store);
    let said = stderr(&store.published(&next, &["--prune"]));
    assert!(said.contains("differed from the catalogue: 1"), "{said}");
    assert!(store.object("v2/o/app/manifests/2").is_none());
    for (key, etag) in before.iter().filter(|(key, _)| key.contains("o/app")) {
        assert_eq!(store.list(key).get(""), Some(etag), "{key}");
    }
}

/// While one run deletes, others that need something on its list wait, and another prune is refused.
#[test]
fn a_lease_makes_others_wait() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let first = site(&folder, "first", &[("o/app:1", "old"), ("o/more:1", "m")]);
    let second = site(&folder, "second", &[("o/app:1", "new")]);
    store.published(&first, &[]);
    store.published(&second, &["--mirror", "--prune"]);
    let list = String::from_utf8(store.object(LIST).unwrap().body).unwrap();
    let leased = format!("lease {} somebody\n{list}", now() + 6);
    store.put(LIST, leased.as_bytes());
    let refused = store.publish(&second, &["--prune"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("another run deletes from the bucket"),
        "{}",
        stderr(&refused)
    );
    // Nothing of the list is needed.
    let third = site(&folder, "third", &[("o/third:1", "3")]);
    let said = stderr(&store.published(&third, &[]));
    assert!(!said.contains("waiting") && now() > 0, "{said}");
    let said = stderr(&store.published(&first, &[]));
    assert!(
        said.contains("waiting for another run that deletes"),
        "{said}"
    );
    assert_eq!(listed(&store).len(), 3);
    let list = String::from_utf8(store.object(LIST).unwrap().body).unwrap();
    assert!(
        !list.contains("lease") && !list.contains("o/more/"),
        "{list}"
    );
}

/// What is about to be deleted is published again at the same moment.
#[test]
fn what_is_needed_again_is_not_deleted() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let old = site(&folder, "old", &[("o/app:1", "old"), ("o/old:1", "o")]);
    let new = site(&folder, "new", &[("o/app:1", "new")]);
    for round in 0..if is_long() { 40 } else { 5 } {
        store.published(&old, &[]);
        store.published(&new, &["--mirror", "--prune"]);
        age(&store);
        let [pruned, revived] = thread::scope(|scope| {
            let (store, new, old) = (&store, &new, &old);
            let pruning = scope.spawn(move || store.publish(new, &["--prune"]).output().unwrap());
            let reviving = scope.spawn(move || {
                thread::sleep(Duration::from_millis(round % 8 * 60));
                store.publish(old, &[]).output().unwrap()
            });
            [pruning, reviving].map(|run| run.join().unwrap())
        });
        let is_done = |output: &Output| assert!(output.status.success(), "{}", stderr(output));
        is_done(&pruned);
        is_done(&revived);
        // `app:1` is that of either, and all can be pulled.
        assert_eq!(listed(&store).len(), 2, "round {round}");
    }
}
