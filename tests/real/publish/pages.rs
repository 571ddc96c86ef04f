//! Pages for people of a bucket into which several sites are merged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::site_of;
use crate::support::archive::Image;
use crate::support::servers::bucket::Store;
use crate::support::site::{build, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// An image that was created on a day.
fn image(names: &[&str], day: &str) -> Image {
    let created = json!(format!("{day}T00:00:00Z"));
    let described = json!({"org.opencontainers.image.description": format!("of {day}")});
    Image::new(names).layer("day", day).config(move |config| {
        config["created"] = created.clone();
        config["config"]["Labels"] = described.clone();
    })
}

/// The pages of a bucket.
fn in_bucket(store: &Store) -> BTreeMap<String, String> {
    let keys = store.list("").into_keys();
    let pages = keys.filter(|key| key.starts_with("_pages/") || key == "index.html");
    pages
        .map(|key| {
            let body = store.object(&key).unwrap().body;
            (key, String::from_utf8(body).unwrap())
        })
        .collect()
}

/// The pages of a site, in the same form.
fn in_site(site: &Path) -> BTreeMap<String, String> {
    let files = crate::support::site::tree(site).into_keys();
    let pages = files.filter(|path| path.starts_with("_pages/") || path == "index.html");
    let pages = pages.filter(|path| site.join(path).is_file());
    pages
        .map(|path| {
            let text = fs::read_to_string(site.join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

fn assert_alike(bucket: &BTreeMap<String, String>, site: &BTreeMap<String, String>) {
    assert_eq!(
        bucket.keys().collect::<Vec<_>>(),
        site.keys().collect::<Vec<_>>()
    );
    for (path, text) in site {
        assert_eq!(&bucket[path], text, "{path}");
    }
}

#[test]
fn pages_are_merged_without_reading_a_config() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let first = site_of(
        &folder,
        "first",
        &[
            image(&["app:1", "app:latest"], "2024-01-01"),
            image(&["o/other:1"], "2024-01-05"),
        ],
    );
    let second = site_of(
        &folder,
        "second",
        &[
            image(&["app:2", "app:latest"], "2024-01-03"),
            image(&["o/third:1"], "2024-01-02"),
        ],
    );
    store.published(&first, &[]);
    assert_alike(&in_bucket(&store), &in_site(&first));
    let before = store.requests().len();
    store.published(&second, &[]);
    let requests = store.requests();
    let blobs: Vec<_> = requests[before..]
        .iter()
        .filter(|line| line.starts_with("\"GET") && line.contains("/blobs/"))
        .collect();
    assert!(blobs.is_empty(), "{blobs:?}");
    let merged = folder.path().join("merged");
    for site in ["first", "second"] {
        build(
            &[folder.path().join(format!("{site}.tar")).to_str().unwrap()],
            &merged,
        );
    }
    assert_alike(&in_bucket(&store), &in_site(&merged));
    assert_eq!(stderr(&store.published(&second, &[])), "nothing to do\n");

    // What is dropped takes its pages with it, and the rest is as if it had never been.
    store.published(&second, &["--mirror"]);
    assert_alike(&in_bucket(&store), &in_site(&second));
}

#[test]
fn a_bucket_gets_pages_from_the_first_site_that_has_some() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let (first, second) = (folder.path().join("plain"), folder.path().join("second"));
    for (name, site, more) in [
        ("app", &first, &["--no-pages"][..]),
        ("other", &second, &["--title", "Ours"]),
    ] {
        let archive = site_of(
            &folder,
            &format!("of-{name}"),
            &[image(&[&format!("{name}:1")], "2024-01-01")],
        );
        succeed(stillage(["build", "-o"]).args([site, &archive]).args(more));
    }
    store.published(&first, &[]);
    assert_eq!(in_bucket(&store), BTreeMap::new());
    store.published(&second, &[]);
    let pages = in_bucket(&store);
    assert!(pages["index.html"].contains("<h1>Ours</h1>"));
    assert!(
        pages["index.html"].contains("<span>app</span>"),
        "without a page: {}",
        pages["index.html"]
    );
    store.published(&first, &[]);
    let pages = in_bucket(&store);
    assert!(
        pages["index.html"].contains("<h1>Ours</h1>")
            && pages.contains_key("_pages/app/index.html")
    );
    store.published(&second, &["--prune", "--grace", "0s"]);
    assert_alike(&in_bucket(&store), &pages);
}
