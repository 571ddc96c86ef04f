//! `publish --prune`: content goes after its grace period, and never what somebody relies on.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{listed, listed_below, noise, site};
use crate::crash::is_long;
use crate::json::conforming;
use crate::support::http;
use crate::support::servers::bucket::Store;
use crate::support::servers::flaky;
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

/// What is listed as unused, without the lease.
fn unused(store: &Store) -> String {
    let list = String::from_utf8(store.object(LIST).unwrap().body).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with("lease "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Gives the lease to somebody. 0 ends it.
fn lease(store: &Store, until: u64) {
    let leased = format!("lease {until} somebody\n{}", unused(store));
    store.put(LIST, leased.as_bytes());
}

/// Lets two days go by for all that is listed as unused.
fn age(store: &Store) {
    let older = |line: &str| {
        let (time, key) = line.split_once(' ').unwrap();
        let time = time.parse::<u64>().unwrap().saturating_sub(48 * 3600);
        format!("{time} {key}\n")
    };
    let aged: String = unused(store).lines().map(older).collect();
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
    assert!(said.contains("removed o/app@sha256:"), "{said}");
    // What only it led to is unused since then.
    assert!(!said.contains("deleted "), "{said}");
    store.published(&second, &["--prune"]);
    age(&store);
    store.published(&second, &["--prune"]);
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
    lease(&store, now() + 24 * 3600);
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
    assert!(!said.contains("waiting"), "{said}");
    let mut waiting = store
        .publish(&first, &[])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let waits = said.any(|line| {
        line.unwrap()
            .contains("waiting for another run that deletes")
    });
    assert!(waits);
    lease(&store, 0);
    said.for_each(drop);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(listed(&store).len(), 3);
    let list = unused(&store);
    assert!(!list.contains("o/more/"), "{list}");
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

/// A tag that a mirror drops is published again while the mirror is on its way, begun at each of its requests.
#[test]
fn what_a_mirror_drops_can_be_published_again() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let all = site(
        &folder,
        "all",
        &[("o/app:1 o/app:2", "a"), ("o/gone:1", "g")],
    );
    let one = site(&folder, "one", &[("o/app:1", "a")]);
    let step = if is_long() { 1 } else { 12 };
    for round in (0..).step_by(step) {
        let prefix = format!("round{round}/");
        succeed(&mut store.publish_by(store.port, &all, &prefix, &[]));
        let (begin, started) = mpsc::channel();
        let (port, requests) = flaky::watched(store.port, move |number, _: &str| {
            if number == round {
                begin.send(()).unwrap();
                thread::sleep(Duration::from_millis(50));
            }
        });
        let mut again = store.publish_by(store.port, &all, &prefix, &["-q"]);
        let is_over = thread::scope(|scope| {
            scope.spawn(move || started.recv().is_ok().then(|| succeed(&mut again)));
            succeed(&mut store.publish_by(port, &one, &prefix, &["--mirror", "-j", "1"]));
            let is_over = requests() <= round;
            while requests() <= round {
                let _ = http::send(port, "GET", "/", &[]);
            }
            is_over
        });
        let listed = listed_below(&store, &prefix);
        assert!([1, 3].contains(&listed.len()), "round {round}: {listed:?}");
        if is_over {
            return;
        }
    }
}
