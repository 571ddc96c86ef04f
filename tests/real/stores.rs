//! `publish` into every store of the table: what it says of the store, and what it sends again. That clients pull from
//! there is a test of the matrix.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use crate::crash::is_long;
use crate::publish::interrupted::publish_at_the_same_time;
use crate::publish::{in_catalogue, large_site, site};
use crate::support::files::digest;
use crate::support::servers::bucket::Store;
use crate::support::servers::flaky::{self, Lines};
use crate::support::servers::stores::{Kind, STORES};
use crate::support::site::{stderr, succeed};
use crate::support::temp::TempDir;

#[test]
fn every_store_is_published_to() {
    with_each(STORES.iter().filter(|kind| !kind.is_long), publishing);
}

#[test]
#[ignore = "a store that takes minutes to install"]
fn every_other_store_is_published_to() {
    with_each(STORES.iter().filter(|kind| kind.is_long), publishing);
}

/// Layers of more than 64 MiB, which are sent in parts.
#[test]
#[ignore = "each store gets more than 128 MiB"]
fn large_layers_are_sent_in_parts_to_every_store() {
    let folder = TempDir::new("stores");
    let path = large_site(&folder);
    with_each(STORES.iter(), |kind| parts(kind, &path));
}

#[test]
fn publishers_at_the_same_time_lose_nothing() {
    let rounds = if is_long() { 50 } else { 6 };
    with_each(STORES.iter().filter(|kind| kind.is_atomic), |kind| {
        publish_at_the_same_time(&kind.start(), rounds);
    });
}

fn with_each<'a>(kinds: impl Iterator<Item = &'a &'static Kind>, check: impl Fn(&Kind) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || check(kind));
        }
    });
}

/// The names that the catalogue of the bucket lists.
fn listed(store: &Store) -> BTreeSet<String> {
    let mut names = in_catalogue(store, "");
    names.retain(|name| !name.contains('@'));
    names
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// A store, and what publishers send to it.
struct Watched {
    store: Store,
    port: u16,
    lines: Lines,
}

impl Watched {
    fn new(kind: &Kind) -> Self {
        let store = kind.start();
        let (port, lines) = flaky::watch(store.port);
        Self { store, port, lines }
    }

    /// What a publish says, and the keys that it writes or deletes.
    fn publish(&self, site: &Path, more: &[&str]) -> (String, Vec<String>) {
        self.lines.lock().unwrap().clear();
        let output = succeed(&mut self.store.publish_by(self.port, site, "", more));
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        assert!(!lines.is_empty(), "it asks the store nothing");
        let changes = lines.iter().filter_map(|line| {
            let (method, rest) = line.split_once(" /site/")?;
            let key = rest.split(' ').next()?;
            (method != "GET").then(|| key.replace("%3A", ":"))
        });
        (stderr(&output), changes.collect())
    }
}

fn publishing(kind: &Kind) {
    let (watched, folder) = (Watched::new(kind), TempDir::new("stores"));
    let store = &watched.store;
    let first = site(&folder, "first", &[("app:1 app:2", "a"), ("other:1", "o")]);
    let (said, _) = watched.publish(&first, &[]);
    let notes: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("note: "))
        .collect();
    let are_known = kind
        .limits
        .iter()
        .zip(&notes)
        .all(|(limit, note)| note.contains(limit));
    assert!(
        are_known && notes.len() == kind.limits.len(),
        "{}: {said}",
        kind.name
    );
    assert!(store.list("_probe").is_empty(), "{}", kind.name);
    let all = names(["app:1", "app:2", "other:1"]);
    assert_eq!(listed(store), all, "{}", kind.name);
    let single = store.object("v1/repositories/app/tags/1");
    assert_eq!(single.is_some(), kind.has_single_tags(), "{}", kind.name);
    let list = store.json("v1/repositories/app/tags");
    assert_eq!(list.as_object().unwrap().len(), 2, "{}", kind.name);
    let v2 = store.object("v2/");
    assert_eq!(v2.is_some(), kind.answers_v2(), "{}", kind.name);
    check_headers(store, kind);

    // Nothing new, then a plan of something new: no writes.
    let nothing = ("nothing to do\n".to_owned(), Vec::new());
    assert_eq!(watched.publish(&first, &[]), nothing, "{}", kind.name);
    let moved = site(&folder, "moved", &[("app:1", "new"), ("more:1", "m")]);
    let (said, sent) = watched.publish(&moved, &["--dry-run"]);
    assert!(
        said.contains("would send") && sent.is_empty(),
        "{}: {said}",
        kind.name
    );

    // A moved tag, and a repository more: content that is new, and pointers.
    let before: BTreeSet<String> = store.list("").into_keys().collect();
    let (_, sent) = watched.publish(&moved, &[]);
    assert_eq!(
        listed(store),
        names(["app:1", "app:2", "more:1", "other:1"])
    );
    for key in &sent {
        let is_content = ["/blobs/", "/manifests/sha256:", "v1/images/"];
        let is_content = is_content
            .iter()
            .any(|part| format!("/{key}").contains(part));
        assert!(
            !(is_content && before.contains(key)),
            "{}: {key}",
            kind.name
        );
        assert!(!key.contains("other"), "{}: {key}", kind.name);
    }
    assert!(
        sent.iter().any(|key| key == "v2/app/manifests/1"),
        "{sent:?}"
    );
    assert_eq!(watched.publish(&moved, &[]), nothing, "{}", kind.name);

    if !kind.has_conditions() {
        let refused = store.publish(&moved, &["--mirror"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", kind.name);
        assert!(stderr(&refused).contains("no conditional writes"));
        assert_eq!(listed(store).len(), 4, "{}", kind.name);
    }
    watched.publish(&moved, &["--mirror", "--force"]);
    assert_eq!(listed(store), names(["app:1", "more:1"]), "{}", kind.name);
    for key in [
        "v2/app/manifests/2",
        "v2/other/tags/list",
        "v1/repositories/other/tags",
    ] {
        assert!(store.object(key).is_none(), "{}: {key}", kind.name);
    }
    assert_eq!(
        watched.publish(&moved, &["--mirror"]),
        nothing,
        "{}",
        kind.name
    );
    pruning(kind, &watched, &moved);
}

/// What the mirror left goes, and nothing else.
fn pruning(kind: &Kind, watched: &Watched, site: &Path) {
    let store = &watched.store;
    succeed(&mut store.publish_by(store.port, site, "clean/", &[]));
    let prune = ["--prune", "--grace", "0s", "--force", "--check-headers"];
    let (said, _) = watched.publish(site, &prune);
    assert!(said.contains("deleted "), "{}: {said}", kind.name);
    let keys = |prefix: &str| -> BTreeSet<String> {
        let keys = store.list(prefix).into_keys();
        keys.filter(|key| !key.starts_with("clean/") && !key.starts_with("_publish/"))
            .collect()
    };
    assert_eq!(keys(""), keys("clean/"), "{}", kind.name);
    let (said, _) = watched.publish(site, &prune);
    assert!(said.ends_with("nothing to do\n"), "{}: {said}", kind.name);
}

/// A manifest is stored with its type, its lifetime and its digest.
fn check_headers(store: &Store, kind: &Kind) {
    let object = store.object("v2/app/manifests/1").unwrap();
    let digest = digest(&object.body);
    for (header, value) in [
        (
            "content-type",
            "application/vnd.docker.distribution.manifest.v2+json",
        ),
        ("cache-control", "public, max-age=60, must-revalidate"),
        ("x-amz-meta-docker-content-digest", &digest),
    ] {
        assert_eq!(
            object.header(header),
            Some(value),
            "{}: {header}",
            kind.name
        );
    }
}

fn parts(kind: &Kind, site: &Path) {
    let watched = Watched::new(kind);
    let (_, sent) = watched.publish(site, &[]);
    let parts = sent.iter().filter(|key| key.contains("?partNumber="));
    assert!(parts.count() >= 3, "{}: {sent:?}", kind.name);
    let manifest = watched.store.json("v2/o/large/manifests/1");
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let key = format!("v2/o/large/blobs/{layer}");
    let stored = watched.store.object(&key).unwrap();
    assert!(stored.body.len() > 64 << 20, "{}", kind.name);
    assert_eq!(digest(&stored.body), layer, "{}", kind.name);
    let nothing = ("nothing to do\n".to_owned(), Vec::new());
    assert_eq!(watched.publish(site, &[]), nothing, "{}", kind.name);
}
