//! `get`: what comes out of a site is what `build` gives back, and nothing damaged comes out whole.

mod damage;
mod docker;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::files::digest;
use crate::support::site::{
    assert_same, build, everything, json, stderr, stillage, succeed, verify,
};
use crate::support::temp::TempDir;

/// A site with every kind of image.
fn site() -> TempDir {
    let site = TempDir::new("get");
    let sources = [
        "fixtures/docker-20.10.tar",
        "fixtures/docker-1.4.1.tar=old",
        "fixtures/oci-layout-zstd=zstd",
        "fixtures/oci-layout-multiarch",
        "fixtures/oci-layout-referrer=ref",
    ];
    build(&sources, site.path());
    site
}

fn get(site: &Path, more: &[&str]) -> Output {
    stillage(["get"]).arg(site).args(more).output().unwrap()
}

/// What `list` says of all references.
fn listed(site: &Path) -> Vec<Value> {
    let output = succeed(stillage(["list", "--json"]).arg(site));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn tags(site: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = listed(site);
    let tags = all.iter().filter_map(|one| {
        let tag = text(&one["tag"]).filter(|tag| !tag.contains("sha256-"))?;
        Some((
            format!("{}:{tag}", one["repository"].as_str()?),
            text(&one["digest"])?,
        ))
    });
    tags.collect()
}

/// The members of a tar, in order.
fn members(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let is_folder = header.entry_type().is_dir();
        let mode = if is_folder { 0o755 } else { 0o644 };
        assert!(header.as_ustar().is_some());
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (mode, 0));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (path, bytes)
    });
    entries.collect()
}

#[test]
fn what_comes_out_goes_in_with_the_same_digests() {
    let site = site();
    let all = tags(site.path());
    assert!(all.len() > 8, "{all:?}");
    for format in ["hybrid", "oci-archive", "docker"] {
        let back = TempDir::new("back");
        for (name, _) in &all {
            let out = get(site.path(), &[name, "--format", format]);
            assert!(out.status.success(), "{format} {name}: {}", stderr(&out));
            let mut child = stillage(["build", "-q", "-", "-o"])
                .arg(back.path())
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&out.stdout).unwrap();
            assert!(child.wait().unwrap().success(), "{format} {name}");
        }
        let got = tags(back.path());
        let names =
            |all: &[(String, String)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&got), names(&all), "{format}");
        if format != "docker" {
            assert_eq!(got, all, "{format}");
        }
        verify(back.path());
    }
}

#[test]
fn all_at_once_is_the_same_in_every_folder_format() {
    let site = site();
    let all = tags(site.path());
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let work = TempDir::new("work");
    for format in ["hybrid", "oci-archive", "oci"] {
        let out = work.path().join(format);
        let path = out.to_str().unwrap();
        let more = [&names[..], &["--format", format, "-o", path]].concat();
        let output = get(site.path(), &more);
        assert!(output.status.success(), "{}", stderr(&output));
        let back = TempDir::new("back");
        build(&[path], back.path());
        assert_eq!(tags(back.path()), all, "{format}");
    }
    // What is attached comes along where it can.
    let index = json(work.path().join("oci/index.json"));
    let entries = index["manifests"].as_array().unwrap().len();
    assert_eq!(entries, all.len() + 2, "{index}");
    // A folder that is not empty stays as it is.
    let oci = work.path().join("oci");
    let again = get(
        site.path(),
        &["tiny:1", "--format", "oci", "-o", oci.to_str().unwrap()],
    );
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("is not empty"),
        "{}",
        stderr(&again)
    );
    assert_eq!(json(oci.join("index.json")), index);
    assert_eq!(
        fs::read_dir(work.path()).unwrap().count(),
        3,
        "nothing else is left"
    );
}

#[test]
fn a_dir_folder_has_one_image() {
    let site = site();
    let work = TempDir::new("work");
    for (name, expected) in tags(site.path()) {
        let out = work.path().join(name.replace([':', '/'], "-"));
        let output = get(
            site.path(),
            &[&name, "--format", "dir", "-o", out.to_str().unwrap()],
        );
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        assert_eq!(
            digest(&fs::read(out.join("manifest.json")).unwrap()),
            expected
        );
        let back = TempDir::new("back");
        build(&[format!("dir:{}={name}", out.display())], back.path());
        assert_eq!(tags(back.path()), [(name, expected)]);
    }
    let two = get(
        site.path(),
        &["tiny:1", "old:1", "--format", "dir", "-o", "/dev/null/x"],
    );
    assert_eq!(two.status.code(), Some(2));
}

#[test]
fn references_are_tags_digests_and_ids() {
    let site = site();
    let all = listed(site.path());
    let tiny = all.iter().find(|one| one["repository"] == "tiny").unwrap();
    let (digest, id) = (
        tiny["digest"].as_str().unwrap(),
        tiny["v1_id"].as_str().unwrap(),
    );
    let by_tag = get(site.path(), &["tiny:1"]);
    assert!(by_tag.status.success());
    for text in ["library/tiny:1", id, &id[..12]] {
        assert_eq!(get(site.path(), &[text]).stdout, by_tag.stdout, "{text}");
    }
    let by_digest = get(site.path(), &[&format!("tiny@{digest}")]);
    let index: Value = serde_json::from_slice(&members(&by_digest.stdout)[1].1).unwrap();
    let annotations = &index["manifests"][0]["annotations"];
    let full = format!("docker.io/library/tiny@{digest}");
    assert_eq!(annotations["io.containerd.image.name"], full);
    assert_eq!(
        annotations["org.opencontainers.image.ref.name"],
        Value::Null
    );
    // The same twice is one.
    let twice = get(site.path(), &["tiny:1", "library/tiny:1"]);
    assert_eq!(twice.stdout, by_tag.stdout);
    let both = get(site.path(), &[&format!("tiny:1@{digest}")]);
    assert_eq!(both.stdout, by_tag.stdout);
    let renamed = get(site.path(), &["tiny:1", "--name", "mirror:5000/a/b:2"]);
    let manifest: Value = serde_json::from_slice(&members(&renamed.stdout)[2].1).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "mirror:5000/a/b:2");
    for (more, words) in [
        (&["none:1"][..], "the site has no `none:1`"),
        (&["tiny:2"], "the site has no `tiny:2`"),
        (&["Tiny"], "Tiny"),
        (&["aaaaaaaaaaaa"], "v1 ids"),
        (&["tiny:1", "old:1", "--name", "x"], "names one image"),
        (&["tiny:1", "--format", "oci"], "`-o FOLDER`"),
        (&["tiny:1", "--format", "oci", "-o", "-"], "`-o FOLDER`"),
        (&["tiny:1", "-o", "/"], "it is a folder"),
        (
            &["tiny:1", "--platform", "linux/s390x"],
            "no image for linux/s390x",
        ),
        (
            &["sample/multi:3.0", "--platform", "linux/s390x"],
            "no image for linux/s390x",
        ),
        (
            &[
                "ref@sha256:24a4399840bd1170951b4424fa23f93574a52fd081c15618259d1ef8941e06e8",
                "--format",
                "docker",
            ],
            "is not an image",
        ),
    ] {
        let output = get(site.path(), more);
        assert_ne!(output.status.code(), Some(0), "{more:?}");
        assert!(
            stderr(&output).contains(words),
            "{more:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn one_platform_leaves_the_others_behind() {
    let site = site();
    let whole = members(&get(site.path(), &["sample/multi:3.0"]).stdout);
    let arm = get(
        site.path(),
        &["sample/multi:3.0", "--platform", "linux/arm64"],
    );
    let arm = members(&arm.stdout);
    assert!(arm.len() < whole.len());
    assert_eq!(arm[1], whole[1], "the index keeps its digest");
    assert_ne!(arm[2], whole[2], "`manifest.json` has the other image");
    // The v1 image of the tag is another.
    let v1 = |platform, format| {
        let more = [
            "sample/multi:3.0",
            "--platform",
            platform,
            "--format",
            format,
        ];
        get(site.path(), &more)
    };
    let other = v1("linux/arm64", "docker-1");
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("has no v1 image"),
        "{}",
        stderr(&other)
    );
    let names = |out: Output| -> Vec<String> {
        members(&out.stdout)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    let arm = names(v1("linux/arm64", "docker"));
    assert!(!arm.iter().any(|name| name.ends_with("VERSION")), "{arm:?}");
    let amd = names(v1("linux/amd64", "docker"));
    assert!(amd.iter().any(|name| name.ends_with("VERSION")), "{amd:?}");
}

#[test]
fn a_reader_that_stops_early_is_an_error() {
    let site = site();
    let mut child = stillage(["get"])
        .arg(site.path())
        .args(["sample/hello:1.0", "old:1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
}

/// The archive is the same every time, and the site stays as it is.
#[test]
fn archives_are_reproducible() {
    let first = site();
    let second = site();
    let before = everything(first.path());
    for format in ["hybrid", "docker", "docker-1", "oci-archive"] {
        let names = ["old:1.0", "sample/hello:1.0", "zstd:2.0", "old:latest"];
        let more = [&names[..], &["--format", format]].concat();
        let out = get(first.path(), &more);
        assert!(out.status.success(), "{format}: {}", stderr(&out));
        assert_eq!(out.stdout, get(second.path(), &more).stdout, "{format}");
        members(&out.stdout);
    }
    assert_same(&everything(first.path()), &before);
}

/// Layers that stayed plain keep their manifest on the way through an archive.
#[test]
fn plain_layers_keep_their_digest() {
    let work = TempDir::new("plain");
    let archive = work.path().join("archive.tar");
    let image = Image::new(&["app:1"]).layer("etc/text", "plain");
    fs::write(&archive, Archive::docker_28(&[image]).tar()).unwrap();
    let site = work.path().join("site");
    build(&[archive.to_str().unwrap(), "--keep-manifests"], &site);
    let before = tags(&site);
    let out = work.path().join("out.tar");
    assert!(
        get(&site, &["app:1", "-o", out.to_str().unwrap()])
            .status
            .success()
    );
    let back = work.path().join("back");
    build(&[out.to_str().unwrap()], &back);
    assert_eq!(tags(&back), before);
}

/// `manifest.json` may give an image another name than `index.json` does. Both mean one manifest.
#[test]
fn another_name_is_of_the_same_manifest() {
    let site = site();
    for name in ["zstd:1.0", "sample/multi:3.0"] {
        let out = get(site.path(), &[name]);
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in members(&out.stdout) {
            let text = String::from_utf8_lossy(&bytes);
            let more = format!("\"RepoTags\":[\"{name}\",\"other:2\"]");
            let bytes = match path.as_str() {
                "manifest.json" => text
                    .replace(&format!("\"RepoTags\":[\"{name}\"]"), &more)
                    .into(),
                _ => bytes,
            };
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &path, &bytes[..]).unwrap();
        }
        let work = TempDir::new("names");
        let archive = work.path().join("archive.tar");
        fs::write(&archive, tar.into_inner().unwrap()).unwrap();
        let back = work.path().join("site");
        build(&[archive.to_str().unwrap()], &back);
        let digests: BTreeMap<String, String> = tags(&back).into_iter().collect();
        assert_eq!(digests.len(), 2, "{digests:?}");
        assert_eq!(digests["other:2"], digests[name]);
    }
}
