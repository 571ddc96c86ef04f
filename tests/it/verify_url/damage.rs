//! Damaged content is found from outside.

use std::fs;
use std::path::Path;

use crate::support::bad_server::{BadServer, sound};
use crate::support::files::digest;
use crate::support::findings::found;
use crate::support::site::json;
use crate::support::site::small_site;

/// Replaces a file of a site as a publish does.
fn replace(site: &Path, path: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let path = site.join(path);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(path, change(bytes)).unwrap();
}

fn flip(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// Damages a site, and says what is found of it: kind and path of the errors.
fn damage(change: impl Fn(&Path), options: &[&str]) -> Vec<(String, String)> {
    let site = small_site();
    change(site.path());
    let server = BadServer::start(site.path(), sound);
    let found = found(server.port, options);
    assert!(
        found.iter().all(|found| found.severity == "error"),
        "{found:#?}"
    );
    let found = found.into_iter().map(|found| (found.kind, found.path));
    found.collect()
}

fn one(kind: &str, path: &str) -> Vec<(String, String)> {
    vec![(kind.to_owned(), format!("/{path}"))]
}

/// A value of a JSON file of the site.
fn value(site: &Path, path: &str, pointer: &str) -> String {
    let json = json(site.join(path));
    json.pointer(pointer).unwrap().as_str().unwrap().to_owned()
}

const HELLO: &str = "v2/sample/hello";

#[test]
fn damaged_manifests_and_configs_are_found() {
    let site = small_site();
    let manifest = digest_of(site.path(), "manifests/1.0");
    let typed = format!("{HELLO}/_types/{manifest}/{manifest}.d2");
    let by_digest = format!("{HELLO}/manifests/{manifest}");
    assert_eq!(
        damage(|site| replace(site, &typed, flip), &[]),
        one("wrong-content", &by_digest)
    );
    let config = value(
        site.path(),
        &format!("{HELLO}/manifests/1.0"),
        "/config/digest",
    );
    let path = format!("{HELLO}/blobs/{config}");
    assert_eq!(
        damage(|site| replace(site, &path, flip), &[]),
        one("wrong-content", &path)
    );
}

fn digest_of(site: &Path, path: &str) -> String {
    digest(&fs::read(site.join(HELLO).join(path)).unwrap())
}

#[test]
fn damaged_layers_are_found_by_their_length_and_with_deep_by_their_digest() {
    let site = small_site();
    let layer = value(
        site.path(),
        &format!("{HELLO}/manifests/1.0"),
        "/layers/0/digest",
    );
    let path = format!("{HELLO}/blobs/{layer}");
    assert_eq!(damage(|site| replace(site, &path, flip), &[]), []);
    let deep = &["--deep"];
    assert_eq!(
        damage(|site| replace(site, &path, flip), deep),
        one("wrong-content", &path)
    );
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
    assert_eq!(
        damage(|site| replace(site, &path, cut), &[]),
        one("wrong-length", &path)
    );
    let gone = |site: &Path| fs::remove_file(site.join(&path)).unwrap();
    assert_eq!(damage(gone, &[]), one("missing", &path));
    // A layer that a v2 manifest has, and one that a checksum vouches for.
    for tags in ["sample/hello/tags/1.0", "old/tags/1.0"] {
        let id = value(site.path(), &format!("v1/repositories/{tags}"), "");
        let path = format!("v1/images/{id}/layer");
        assert_eq!(
            damage(|site| replace(site, &path, flip), deep),
            one("wrong-content", &path)
        );
    }
}

#[test]
fn lists_that_are_not_of_the_catalogue_are_found() {
    for (path, from, to) in [
        ("v2/sample/hello/tags/list", "\"1.0\"", "\"1.0\",\"absent\""),
        ("v2/sample/hello/tags/list", "\"1.0\",", ""),
        ("v2/sample/hello/tags/list", "sample/hello", "sample/hallo"),
        ("v2/_catalog", "sample/hello", "sample/hallo"),
        ("v1/search", "sample/hello", "sample/hallo"),
        (
            "v1/repositories/sample/hello/tags/index.json",
            "{\"1.0\"",
            "{\"absent\"",
        ),
        (
            "v1/repositories/old/tags/index.json",
            "\"1.0\":\"",
            "\"1.0\":\"x",
        ),
        ("v1/repositories/sample/hello/tags/1.0", "\"", "\"0"),
    ] {
        let change = |site: &Path| {
            replace(site, path, |bytes| {
                let text = String::from_utf8(bytes).unwrap();
                assert!(text.contains(from), "{path}: {text}");
                text.replacen(from, to, 1).into_bytes()
            });
        };
        let asked = path.strip_suffix("/index.json").unwrap_or(path);
        assert_eq!(damage(change, &[]), one("lists", asked), "{path}");
    }
}

#[test]
fn an_old_tag_and_broken_ancestries_are_found() {
    let old = |site: &Path| {
        let folder = site.join("v2/zstd/_types");
        fs::copy(folder.join("2.0.om"), folder.join("1.0.om")).unwrap();
    };
    assert_eq!(damage(old, &[]), one("stale-tag", "v2/zstd/manifests/1.0"));
    let site = small_site();
    let id = value(site.path(), "v1/repositories/sample/child/tags/2.0", "");
    let image = format!("v1/images/{id}");
    let path = format!("{image}/ancestry");
    let cut = |_| format!("[\"{id}\"]").into_bytes();
    // The JSON names a parent that is not in it.
    assert_eq!(
        damage(|site| replace(site, &path, cut), &[]),
        one("ancestry", &format!("{image}/json"))
    );
    let twice = |_| format!("[\"{id}\",\"{id}\"]").into_bytes();
    assert_eq!(
        damage(|site| replace(site, &path, twice), &[]),
        one("ancestry", &path)
    );
    let attached = |site: &Path| {
        let manifest = digest(&fs::read(site.join("v2/referrer/manifests/1")).unwrap());
        replace(site, &format!("v2/referrer/referrers/{manifest}"), |_| {
            br#"{"manifests":[]}"#.to_vec()
        });
    };
    let found = damage(attached, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "referrers");
}
