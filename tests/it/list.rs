//! `list`: what a site serves.

use std::fs;

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::site::{build, small_site, stillage, succeed};
use crate::support::temp::TempDir;

/// Indexes of indexes, each with the same child twelve times.
#[test]
fn what_indexes_share_is_listed_once() {
    let mut layout = Archive::default();
    let mut manifest = Image::new(&[]).layer("a", "b").seal(&mut layout);
    for _ in 0..6 {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": vec![manifest; 12],
        });
        manifest = layout.blob(
            "application/vnd.oci.image.index.v1+json",
            index.to_string().as_bytes(),
        );
    }
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "wide:1"});
    let layout = layout
        .json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
        .json(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": [manifest]}),
        );
    let folder = TempDir::new("wide");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    layout.folder(&source);
    build(&[source.to_str().unwrap()], &site);
    let output = succeed(stillage(["list", "--json"]).arg(&site));
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = &listed[0];
    assert_eq!(listed["platforms"], json!(["linux/amd64"]));
    let blobs = fs::read_dir(site.join("blobs/sha256")).unwrap();
    let sizes = blobs.map(|blob| blob.unwrap().metadata().unwrap().len());
    assert_eq!(listed["size"], sizes.sum::<u64>());
}

#[test]
fn many_platforms_are_listed() {
    let platforms: Vec<String> = (0..700).map(|number| format!("{number:0>100}")).collect();
    let image = |platform: &String| Image::new(&[]).layer("a", "b").platform("linux", platform);
    let index = Image::index(&["many:1"], platforms.iter().map(image).collect());
    let folder = TempDir::new("many");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    Archive::oci(&[index]).folder(&source);
    build(&[source.to_str().unwrap()], &site);
    let output = succeed(stillage(["list", "--json"]).arg(&site));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(platforms.iter().all(|platform| text.contains(platform)));
    let output = succeed(stillage(["list"]).arg(&site));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(" +699  "), "{text}");
}

/// A terminal of 100 columns shows a row in a line, as long as the name is of ordinary length.
#[test]
fn lists_are_narrow() {
    let site = small_site();
    let list = |options: &[&str]| {
        let output = succeed(stillage(["list"]).arg(site.path()).args(options));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = list(&[]);
    let is_long = |line: &&str| line.split("  ").next().unwrap().len() > 28;
    let mut lines = text.lines().filter(|line| !is_long(line));
    assert!(lines.all(|line| line.len() <= 100), "{text}");
    let digest = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("tiny:1"));
        let words: Vec<&str> = line.unwrap().split_whitespace().collect();
        words[1].to_owned()
    };
    let (short, whole) = (digest(&text), digest(&list(&["--digests"])));
    assert_eq!(short.len(), "sha256:".len() + 12);
    assert!(whole.len() == "sha256:".len() + 64 && whole.starts_with(&short));
}

/// Each content counts as a repository's own, or as shared, and once in the sum.
#[test]
fn sizes_are_own_or_shared() {
    let image = |name: &str, own: &str| Image::new(&[name]).layer("base", "same").layer("own", own);
    let images = [
        image("one:1", "1"),
        image("one:2", "2"),
        image("two:1", "3"),
        image("two:2", "3"),
    ];
    let folder = TempDir::new("sizes");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    Archive::oci(&images).folder(&source);
    build(&[source.to_str().unwrap()], &site);
    let output = succeed(stillage(["list", "--sizes", "--json"]).arg(&site));
    let sizes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let blobs = fs::read_dir(site.join("blobs/sha256")).unwrap();
    let all = blobs
        .map(|blob| blob.unwrap().metadata().unwrap().len())
        .sum::<u64>();
    assert_eq!(sizes["total"], all);
    let [one, two] = &sizes["repositories"].as_array().unwrap()[..] else {
        panic!("{sizes}");
    };
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap();
    assert_eq!((number(one, "tags"), number(two, "tags")), (2, 2));
    let shared = number(one, "shared");
    assert_eq!(shared, number(two, "shared"));
    assert_eq!(number(one, "own") + number(two, "own") + shared, all);
    assert!(
        shared > 0 && number(one, "own") > number(two, "own"),
        "{sizes}"
    );
    let output = succeed(stillage(["list", "--sizes"]).arg(&site));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("REPOSITORY") && text.contains("\nall together "),
        "{text}"
    );
}

#[test]
fn names_are_selected_and_printed_alone() {
    let site = small_site();
    let list = |more: &[&str]| {
        let output = succeed(stillage(["list"]).arg(site.path()).args(more));
        String::from_utf8(output.stdout).unwrap()
    };
    let all = list(&["-q"]);
    assert!(all.lines().count() > 5 && all.contains("tiny:1\n"));
    assert_eq!(
        list(&["-q", "sample/h*:1.*", "ti?y"]),
        "sample/hello:1.0\ntiny:1\n"
    );
    let none = stillage(["list", "-q"])
        .arg(site.path())
        .arg("none")
        .output();
    assert_eq!(none.unwrap().status.code(), Some(2));
    let one: Value = serde_json::from_str(&list(&["--json", "tiny"])).unwrap();
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(list(&["tiny"]).lines().count(), 2);
}
