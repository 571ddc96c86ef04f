//! What a bucket keeps of each object, and how often.

use super::{listed, noise, site};
use crate::json::conforming;
use crate::support::archive::Archive;
use crate::support::place::image;
use crate::support::servers::bucket::Store;
use crate::support::site::{build, stderr};
use crate::support::temp::TempDir;

/// A copy by another tool resets headers. Sizes and names do not show it.
#[test]
fn headers_are_looked_at_when_asked() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let site = site(&folder, "app", &[("o/app:1", "a")]);
    store.published(&site, &[]);
    let headers = |key: &str| {
        let object = store.object(key).unwrap();
        [
            "content-type",
            "cache-control",
            "x-amz-meta-docker-content-digest",
        ]
        .map(|name| object.header(name).map(str::to_owned))
    };
    let keys: Vec<String> = store.list("").into_keys().collect();
    let is_of_site = |key: &&String| !key.starts_with("_publish/");
    let before: Vec<_> = keys.iter().map(|key| headers(key)).collect();
    let reset = |key: &str| store.put(key, &store.object(key).unwrap().body);
    keys.iter().filter(is_of_site).for_each(|key| reset(key));
    assert_eq!(
        headers("v2/o/app/manifests/1")[0].as_deref(),
        Some("binary/octet-stream")
    );
    assert_eq!(stderr(&store.published(&site, &[])), "nothing to do\n");
    let all = keys.iter().filter(is_of_site).count();
    let said = stderr(&store.published(&site, &["--check-headers", "--dry-run"]));
    assert!(
        said.contains(&format!("would set the headers of {all} objects")),
        "{said}"
    );
    let done = conforming(
        "publish",
        &store.published(&site, &["--check-headers", "--json"]),
    );
    assert_eq!(done["mended_headers"], all);
    assert_eq!(
        keys.iter().map(|key| headers(key)).collect::<Vec<_>>(),
        before
    );
    assert_eq!(
        stderr(&store.published(&site, &["--check-headers"])),
        "nothing to do\n"
    );

    // A version of other rules, or another uploader, has stored what is there.
    reset("v2/o/app/manifests/1");
    store.put("_publish/headers.json", b"{}");
    let said = stderr(&store.published(&site, &[]));
    assert!(said.contains("set the headers of 1 object\n"), "{said}");
    assert_eq!(stderr(&store.published(&site, &[])), "nothing to do\n");
    assert_eq!(listed(&store).len(), 1);
}

#[test]
fn an_edge_that_rewrites_needs_each_blob_once() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let site = site(&folder, "app", &[("app:1 o/app:1", &noise(40_000))]);
    store.published(&site, &["--blobs-once"]);
    let keys: Vec<String> = store.list("").into_keys().collect();
    let has = |part: &str| keys.iter().filter(|key| key.contains(part)).count();
    assert_eq!(has("/blobs/sha256:"), 0, "{keys:?}");
    assert!(has("blobs/sha256/") >= 3, "{keys:?}");
    assert_eq!(
        stderr(&store.published(&site, &["--blobs-once"])),
        "nothing to do\n"
    );
    let manifest = store.json("v2/app/manifests/1");
    let layer = &manifest["layers"][0];
    let digest = layer["digest"].as_str().unwrap();
    assert!(
        store
            .object(&digest.replace("sha256:", "blobs/sha256/"))
            .is_some()
    );

    // Otherwise the store copies the layer to each name of the repositories; it is below that for v1 already.
    let dry = conforming("publish", &store.published(&site, &["--dry-run", "--json"]));
    let done = conforming("publish", &store.published(&site, &["--json"]));
    for published in [&dry, &done] {
        assert_eq!(published["changes"]["links"], 3, "{published}");
        let copied = 3 * layer["size"].as_u64().unwrap();
        assert_eq!(published["copied_bytes"], copied, "{published}");
    }
    assert_eq!(listed(&store).len(), 2);
}

/// While headers are looked at, another publisher may move a tag: what it has stored keeps its headers.
#[test]
fn headers_of_a_moved_tag_are_left_alone() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    store.published(
        &site(&folder, "app", &[("o/app:1", "a"), ("o/app:2", "b")]),
        &[],
    );
    let other = store.object("v2/o/app/manifests/2").unwrap().body;
    store.put("v2/o/app/manifests/1", &other);
    store.put("_publish/headers.json", b"{}");
    store.published(&site(&folder, "next", &[("o/next:1", "n")]), &[]);
    let moved = store.object("v2/o/app/manifests/1").unwrap();
    assert_eq!(moved.body, other);
    assert_eq!(moved.header("x-amz-meta-docker-content-digest"), None);
}

/// Each publisher knows one signature of the image.
#[test]
fn signatures_of_several_sites_are_numbered_in_the_bucket() {
    let (store, folder) = (Store::start(), TempDir::new("publish"));
    let signatures = [b"\x88\x01one", b"\x88\x01two"];
    let image = image("", "signed");
    for (number, signature) in signatures.iter().enumerate() {
        let source = folder.path().join(format!("source{number}"));
        let archive = Archive::dir(&image).file("signature-1", *signature);
        archive.folder(&source);
        let site = folder.path().join(format!("site{number}"));
        build(&[format!("dir:{}=app:1", source.display())], &site);
        store.published(&site, &[]);
        assert_eq!(stderr(&store.published(&site, &[])), "nothing to do\n");
    }
    let hex = image.manifest_digest().replace("sha256:", "");
    let stored = |number: usize| {
        let object = store.object(&format!("lookaside/app@sha256={hex}/signature-{number}"));
        object.map(|object| object.body)
    };
    let expected = || {
        let all = [1, 2, 3].map(stored);
        assert_eq!(
            all,
            [
                Some(signatures[0].to_vec()),
                Some(signatures[1].to_vec()),
                None
            ]
        );
    };
    expected();
    let site = folder.path().join("site1");
    store.published(&site, &["--prune", "--grace", "0s"]);
    expected();
    // The first publisher comes back, and moves nothing.
    store.published(&folder.path().join("site0"), &[]);
    expected();
}
