//! Every client pulls every kind of image from every server; what came of it is the table in the
//! README, which `STILLAGE_UPDATE=1` writes anew.

mod columns;
mod table;

use std::path::Path;
use std::thread;
use std::time::Instant;

use crate::support::expected::{Expected, Kind, Layers, build_site, expected};
use crate::support::refused::{as_known, of};
use crate::support::schema1::add_schema1;
use crate::support::servers::SERVERS;
use crate::support::servers::stores::{self, STORES};
use crate::support::v1_images::V1Layers;

use columns::{COLUMNS, Column};

/// The samples that stand for each kind; one of schema 1 is made.
const CHOSEN: [(Kind, &str); 6] = [
    (Kind::Schema2, "samples/dir-s2"),
    (Kind::Oci, "samples/oci-layout"),
    (Kind::Index, "samples/oci-layout-multiarch"),
    (Kind::Zstd, "samples/oci-layout-zstd"),
    // An SBOM by its digest, and a signature by its tag.
    (Kind::Artifact, "samples/oci-layout-referrer"),
    (Kind::Legacy, "samples/docker-1.4.1"),
];

/// What is known about the site.
struct Known<'a> {
    site: &'a Path,
    samples: Layers,
    v1_layers: V1Layers,
    targets: Vec<Expected>,
}

impl<'a> Known<'a> {
    /// A site of all samples, to which one of schema 1 is added.
    fn of(site: &'a Path) -> Self {
        let targets = targets(add_schema1(site));
        Self {
            site,
            samples: Layers::read(),
            v1_layers: V1Layers::expected(),
            targets,
        }
    }
}

#[test]
fn every_client_pulls_every_kind_from_every_server() {
    let start = Instant::now();
    let site = build_site();
    let known = Known::of(site.path());
    let running: Vec<_> = SERVERS
        .iter()
        .map(|server| (server.name, server.start(site.path())))
        .collect();
    let servers = running.iter().map(|(name, running)| Served {
        name,
        port: running.port,
        has_single_tags: true,
    });
    let done = by_every_client(&servers.collect::<Vec<_>>(), &known);
    let pulls: usize = done.iter().map(|done| done.pulls).sum();
    println!("{pulls} pulls in {:?}", start.elapsed());
    let wrong: Vec<_> = done.into_iter().flat_map(|done| done.wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    table::check(&table::text());
}

#[test]
fn every_client_pulls_every_kind_from_a_bucket() {
    pull_from_buckets(STORES.iter().filter(|kind| !kind.is_long));
}

#[test]
#[ignore = "a store that takes minutes to install"]
fn every_client_pulls_every_kind_from_a_bucket_of_another_store() {
    pull_from_buckets(STORES.iter().filter(|kind| kind.is_long));
}

fn pull_from_buckets<'a>(kinds: impl Iterator<Item = &'a &'static stores::Kind>) {
    let site = build_site();
    let known = Known::of(site.path());
    let running = kinds.map(|kind| {
        let store = kind.start();
        store.published(site.path(), &["-q"]);
        let nginx = store.served(kind);
        (*kind, store, nginx)
    });
    let running: Vec<_> = running.collect();
    let servers = running.iter().map(|(kind, _, nginx)| Served {
        name: kind.name,
        port: nginx.port,
        has_single_tags: kind.has_single_tags(),
    });
    let done = by_every_client(&servers.collect::<Vec<_>>(), &known);
    let wrong: Vec<_> = done.into_iter().flat_map(|done| done.wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What clients pull from.
struct Served<'a> {
    name: &'a str,
    port: u16,
    /// Whether v1 has `tags/<tag>` beside the list `tags`.
    has_single_tags: bool,
}

fn by_every_client(servers: &[Served<'_>], known: &Known<'_>) -> Vec<Done> {
    thread::scope(|scope| {
        let run = |column| scope.spawn(move || pull_all(column, servers, known));
        let threads: Vec<_> = COLUMNS.iter().map(run).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// For each kind what holds the most: other images of these sources have fewer layers and fewer
/// sorts of files.
fn targets(schema1: Expected) -> Vec<Expected> {
    let mut targets = vec![schema1];
    for (kind, name) in CHOSEN {
        let all = expected().into_iter();
        let fits = all.filter(|expected| expected.name == name && expected.kind == kind);
        let layers = |expected: &Expected| expected.images[0].diff_ids.len();
        let mut fits: Vec<_> = fits.collect();
        if kind != Kind::Artifact {
            let most = fits.into_iter().max_by_key(layers);
            fits = most.into_iter().collect();
        }
        assert!(!fits.is_empty(), "{name} has nothing of the kind {kind:?}");
        targets.extend(fits);
    }
    targets
}

/// What came of all pulls of one client.
struct Done {
    pulls: usize,
    wrong: Vec<String>,
}

/// Starts a client, in the thread that it ends with, and pulls everything from every server.
fn pull_all(column: &Column, servers: &[Served<'_>], known: &Known) -> Done {
    let client = (column.start)();
    let (mut pulls, mut wrong) = (0, Vec::new());
    for served in servers {
        if column.needs_single_tags && !served.has_single_tags {
            continue;
        }
        let server = served.name;
        let mut tried = Vec::new();
        for target in &known.targets {
            if !client.takes(target) {
                continue;
            }
            tried.push(target.kind);
            pulls += 1;
            let pulled = client.pull_and_compare(served.port, target, known);
            if let Err(error) = as_known(column.name, target.kind, pulled) {
                let reference = target.reference();
                wrong.push(format!("{server}, {}, {reference}: {error:#}", column.name));
            }
        }
        let complete = Kind::ALL.iter().all(|kind| tried.contains(kind));
        assert!(complete, "{} tries {tried:?} only", column.name);
    }
    Done { pulls, wrong }
}
