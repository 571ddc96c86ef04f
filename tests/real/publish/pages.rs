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

fn is_page(path: &String) -> bool {
    path.starts_with("_pages/") || path == "index.html"
}

/// The pages of a bucket.
fn in_bucket(store: &Store) -> BTreeMap<String, String> {
    let keys = store.list("").into_keys();
    keys.filter(is_page)
        .map(|key| {
            let body = store.object(&key).unwrap().body;
            (key, String::from_utf8(body).unwrap())
        })
        .collect()
}

/// The pages of a site, in the same form.
fn in_site(site: &Path) -> BTreeMap<String, String> {
    let files = crate::support::site::tree(site).into_keys();
    let pages = files.filter(|path| is_page(path) && site.join(path).is_file());
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
        pages["index.html"].contains("<b>app</b>"),
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

/// Each publisher has some of the children of an index, and neither all of them.
#[test]
fn an_index_is_put_together_from_what_several_publishers_have() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let both = folder.path().join("both");
    for platform in ["linux/amd64", "linux/arm64"] {
        let site = folder.path().join(platform.replace('/', "-"));
        for to in [&site, &both] {
            let source = "fixtures/oci-layout-multiarch";
            // Over v1 a tag is the image of one platform, that of the last publisher.
            let options = ["build", "--no-v1", "--platform", platform, source, "-o"];
            succeed(stillage(options).arg(to));
        }
        store.published(&site, &[]);
    }
    assert_alike(&in_bucket(&store), &in_site(&both));
    store.published(&both, &["--prune", "--grace", "0s"]);
    assert_alike(&in_bucket(&store), &in_site(&both));
}

/// Another publisher may write its lists before it knows of what this one adds.
#[test]
fn what_others_overwrite_is_known_again() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let app = |name: &str, tag: &str, day| {
        site_of(&folder, name, &[image(&[&format!("app:{tag}")], day)])
    };
    let (first, second) = (
        app("first", "1", "2024-01-01"),
        app("second", "2", "2024-01-02"),
    );
    store.published(&first, &[]);
    store.published(&second, &[]);
    let whole = in_bucket(&store);
    for page in ["app/images.json", "app/index.html", "_search.json"] {
        let page = format!("_pages/{page}");
        store.put(&page, &fs::read(second.join(&page)).unwrap());
    }
    store.published(&first, &[]);
    assert_alike(&in_bucket(&store), &whole);

    // What the catalogue does not list yet stays known.
    store.published(&second, &["--mirror"]);
    let images: serde_json::Value = serde_json::from_str(&whole["_pages/app/images.json"]).unwrap();
    store.put("_pages/app/images.json", images.to_string().as_bytes());
    let third = app("third", "3", "2024-01-03");
    store.published(&third, &[]);
    let kept = store.json("_pages/app/images.json");
    assert_eq!(kept["images"].as_object().unwrap().len(), 3, "{kept}");
}

#[test]
fn a_mirror_has_the_pages_of_its_site() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let with = site_of(&folder, "with", &[image(&["app:1"], "2024-01-01")]);
    store.published(&with, &[]);
    let archive = folder.path().join("with.tar");
    let without = folder.path().join("without");
    succeed(stillage(["build", "--no-pages", "-o"]).args([&without, &archive]));
    store.published(&without, &["--mirror"]);
    assert_eq!(in_bucket(&store), BTreeMap::new());
    assert_eq!(
        stderr(&store.published(&without, &["--mirror"])),
        "nothing to do\n"
    );
}

/// The manifests of schema 1 do not say how long layers are.
#[test]
fn sizes_are_those_of_the_site() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let site = folder.path().join("site");
    build(&["fixtures/docker-20.10.tar"], &site);
    crate::support::schema1::add_schema1(&site);
    store.published(&site, &[]);
    assert_alike(&in_bucket(&store), &in_site(&site));
    store.published(&site, &["--prune", "--grace", "0s"]);
    assert_alike(&in_bucket(&store), &in_site(&site));
}
