//! Where two sites differ in more than what one lacks: v1 forms, children of indexes, several sources.

use std::fs;

use serde_json::json;

use super::{Place, image, large};
use crate::support::archive::{Archive, Image, OCI_INDEX, Pack};
use crate::support::place::feed;
use crate::support::site::{build, json as read, stderr, stillage, succeed};

/// v1 forms of manifests without a tag go along, whatever the base is.
#[test]
fn v1_forms_without_a_tag_go_along() {
    let place = Place::new();
    place.publish(&["fixtures/docker-1.4.1.tar"]);
    place.publish(&["fixtures/docker-20.10.tar"]);
    let full = place.export("full.tar", &[]);
    place.merged(&[&full]);
    place.assert_same_sites();
    for base in [full, place.text("there")] {
        let nothing = place.export("nothing.tar", &["--since", &base]);
        let names = super::members(std::path::Path::new(&nothing));
        assert_eq!(names.len(), 5, "{names:?}");
        place.merged(&[&nothing, "--mirror"]);
        place.assert_same_sites();
    }
    // A tag that moves back still has its v1 form.
    let here = place.text("here");
    let old = read(place.path("here/index.json"));
    let old = old["manifests"].as_array().unwrap().iter();
    let old = old.filter_map(|entry| {
        let annotations = entry["annotations"].as_object().unwrap();
        annotations
            .contains_key("org.stillage.v1.id")
            .then(|| entry["digest"].as_str().unwrap())
    });
    let mut old: Vec<&str> = old.collect();
    let tiny = old.pop().unwrap();
    succeed(stillage(["tag", &here, &format!("tiny@{tiny}"), "1"]).arg("back"));
    place.merged(&[
        &place.export("back.tar", &["--since", &place.text("there")]),
        "--mirror",
    ]);
    place.assert_same_sites();
    // A site without v1 needs none of it.
    let other = place.text("other");
    build(
        &["fixtures/docker-1.4.1.tar", "--no-v1"],
        &place.path("other"),
    );
    let update = place.export("update.tar", &["--since", &other]);
    succeed(stillage(["build", &update, "--no-v1", "-q", "-o", &other]).args(["--mirror"]));
    let nothing = place.export("nothing.tar", &["--since", &other]);
    let names = super::members(std::path::Path::new(&nothing));
    assert!(
        !names
            .iter()
            .any(|(name, _)| name.starts_with("v1/") || name.starts_with("blobs/")),
        "{names:?}"
    );
}

/// A v1 layer may be the blob of any image of the site; and the site there may have another form of a v1 image.
#[test]
fn v1_forms_differ_between_sites() {
    let place = Place::new();
    place.publish(&[
        "fixtures/docker-20.10.tar=z/",
        "fixtures/docker-registry-0.9.1=a/",
        "--include-private",
    ]);
    place.merged(&[&place.export("full.tar", &[])]);
    for (here, there) in [
        (
            "fixtures/docker-registry-0.9.1",
            "fixtures/docker-1.4.1-pulled.tar",
        ),
        (
            "fixtures/docker-1.4.1-pulled.tar",
            "fixtures/docker-registry-0.9.1",
        ),
    ] {
        let place = Place::new();
        place.publish(&[here]);
        build(&[there], &place.path("there"));
        place.merged(&[&place.export("update.tar", &["--since", &place.text("there")])]);
        place.merged(&[
            &place.export("update.tar", &["--since", &place.text("there")]),
            "--mirror",
        ]);
        let diff = stillage([
            "diff",
            &place.text("here"),
            &place.text("there/index.json"),
            "--exit-code",
        ])
        .output();
        assert_eq!(diff.unwrap().status.code(), Some(0));
    }
}

/// What the export does not list is not added, though the site there has it.
#[test]
fn an_index_gets_no_children_from_the_other_side() {
    let place = Place::new();
    let children = || {
        let other = image("", "other").platform("linux", "arm64");
        vec![image("", "one"), other]
    };
    let source = |name: &str, images: &[Image]| {
        Archive::oci(images).folder(&place.path(name));
        place.text(name)
    };
    let index = source("index", &[Image::index(&["app:1"], children())]);
    place.publish(&[&index, "--platform", "linux/amd64"]);
    let arm = source("arm", &[image("arm:1", "other").platform("linux", "arm64")]);
    build(&[&arm], &place.path("there"));
    let update = place.export("update.tar", &["--since", &place.text("there")]);
    place.merged(&[&update, "--mirror"]);
    let listed = |site: &str| read(place.path(site).join("index.json"))["manifests"].clone();
    assert_eq!(listed("there"), listed("here"));
    // The site there lists the child in this repository, and is a mirror.
    build(&[&index], &place.path("there"));
    place.merged(&[&update, "--mirror"]);
    assert_eq!(listed("there"), listed("here"));
}

/// Indexes of indexes, each with the same child a hundred times: looked at once.
#[test]
fn nested_indexes_are_looked_at_once() {
    let place = Place::new();
    let mut layout = Archive::default();
    let mut manifest = image("", "text").seal(&mut layout);
    for _ in 0..7 {
        let index =
            json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": vec![manifest; 100]});
        manifest = layout.blob(OCI_INDEX, index.to_string().as_bytes());
    }
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "deep:1"});
    let layout = layout
        .json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
        .json(
            "index.json",
            &json!({"schemaVersion": 2, "manifests": [manifest]}),
        );
    layout.folder(&place.path("layout"));
    place.publish(&[&place.text("layout")]);
    place.merged(&[&place.export("deep.tar", &[])]);
    place.assert_same_sites();
}

/// What an export lists as the site has it is still what the export says: another source may not move it unnoticed.
#[test]
fn an_export_among_other_sources() {
    let place = Place::new();
    place.publish_images(&[image("app:1", "one")]);
    let first = place.export("first.tar", &[]);
    place.merged(&[&first]);
    place.publish_images(&[image("new:1", "new")]);
    let second = place.export("second.tar", &["--since", &first]);
    let tar = place.path("other.tar");
    fs::write(&tar, Archive::docker_20(&[image("app:1", "other")]).tar()).unwrap();
    let other = tar.to_str().unwrap();
    for sources in [[other, &second], [&second, other]] {
        place.refused(&sources, &["`app:1` is sha256:"]);
    }
    // The last wins, also if that is what the site has already.
    let manifest = || fs::read(place.path("there/v2/app/manifests/1")).unwrap();
    let before = manifest();
    place.merged(&[other, &second, "--last-wins"]);
    assert_eq!(manifest(), before);
    place.merged(&[&second, other, "--last-wins"]);
    assert_ne!(manifest(), before);
    // An older and a newer export contradict each other.
    place.publish_images(&[image("app:1", "moved")]);
    let third = place.export("third.tar", &[]);
    place.refused(&[&first, &third], &["`app:1` is sha256:"]);
    // Beside another source, an export says nothing of the site itself.
    let place = Place::new();
    place.publish(&["fixtures/docker-20.10.tar", "--full-names"]);
    fs::create_dir(place.path("folder")).unwrap();
    place.export("folder/export.tar", &[]);
    let image = Archive::docker_20(&[image("own:1", "own")]).tar();
    fs::write(place.path("folder/own.tar"), image).unwrap();
    place.merged(&[&place.text("folder")]);
    let index = fs::read_to_string(place.path("there/index.json")).unwrap();
    assert!(!index.contains("org.stillage.names"), "{index}");
}

/// Signatures and foreign layers are needed like all else; the order of signatures stays.
#[test]
fn signatures_are_carried_and_missed() {
    let place = Place::new();
    place.publish(&["fixtures/docker-20.10.tar"]);
    // Each comes behind those that the site has.
    for number in 0..4 {
        let folder = place.path(&format!("signed-{number}"));
        let signature = format!("\u{1}signature {number}").into_bytes();
        let signature = [vec![0x88], signature].concat();
        let dir = Archive::dir(&image("", "signed")).file("signature-1", signature);
        dir.folder(&folder);
        place.publish(&[&format!("dir:{}=signed:1", folder.display())]);
    }
    let full = place.export("full.tar", &[]);
    place.merged(&[&full]);
    place.assert_same_sites();
    let nothing = place.export("nothing.tar", &["--since", &full]);
    place.merged(&[&nothing, "--mirror"]);
    place.assert_same_sites();
    let index = read(place.path("here/index.json"));
    let signatures = index["manifests"].as_array().unwrap().iter();
    let mut signatures =
        signatures.filter_map(|entry| entry["annotations"]["org.stillage.signatures"].as_str());
    let lost = signatures
        .next()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let mut archive = Archive::default();
    for (name, _) in super::members(std::path::Path::new(&full)) {
        if !name.ends_with(&lost[7..]) {
            archive = archive.file(&name, super::member(std::path::Path::new(&full), &name));
        }
    }
    fs::remove_dir_all(place.path("there")).unwrap();
    fs::write(place.path("damaged.tar"), archive.tar()).unwrap();
    place.refused(&[&place.text("damaged.tar")], &["does not carry", &lost]);
}

/// A site without v1 never looked into layers, and a new site like it does not either.
#[test]
fn a_site_without_v1_is_carried_as_it_is() {
    let place = Place::new();
    let lies = |config: &mut serde_json::Value| {
        config["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "0".repeat(64)));
    };
    let image = image("lies:1", "text").packed(Pack::Gzip).config(lies);
    Archive::oci(&[image]).folder(&place.path("layout"));
    place.publish(&[&place.text("layout"), "--no-v1"]);
    place.merged(&[&place.export("full.tar", &[])]);
    place.assert_same_sites();
}

/// A site without v1 does not get it by an update that has no v1 forms; a lost v1 form is carried again.
#[test]
fn v1_is_neither_added_nor_lost_by_updates() {
    let place = Place::new();
    place.publish(&["fixtures/docker-1.4.1.tar"]);
    let there = place.text("there");
    build(
        &["fixtures/docker-1.4.1.tar=base/", "--no-v1"],
        &place.path("there"),
    );
    place.merged(&[&place.export("update.tar", &["--since", &there])]);
    assert!(!place.path("there/v1").exists());
    fs::remove_dir_all(place.path("there")).unwrap();
    place.merged(&[&place.export("full.tar", &[])]);
    let images = fs::read_dir(place.path("there/v1/images")).unwrap();
    let mut images: Vec<_> = images.map(|entry| entry.unwrap().path()).collect();
    images.sort();
    fs::remove_file(images[0].join("json")).unwrap();
    place.merged(&[&place.export("mend.tar", &["--since", &there])]);
    place.assert_same_sites();
}

/// A folder that only looks like an export is left out of a walk, as a bad archive is.
#[test]
fn what_looks_like_an_unpacked_export_stops_nobody() {
    let place = Place::new();
    fs::create_dir_all(place.path("many/bad")).unwrap();
    fs::write(place.path("many/bad/stillage-export.json"), "{}").unwrap();
    let good = Archive::docker_20(&[image("good:1", "good")]).tar();
    fs::write(place.path("many/good.tar"), good).unwrap();
    let said = place.merged(&[&place.text("many")]);
    assert!(
        said.contains("good:1@sha256:") && said.contains("SHA256SUMS"),
        "{said}"
    );
    let strict = place.merge(&[&place.text("many"), "--strict"]);
    assert_eq!(strict.status.code(), Some(1));
}

/// Two folders with some of the volumes each are as good as one with all.
#[test]
fn volumes_in_several_folders() {
    let place = Place::new();
    place.publish_images(&[large("large:1", 500_000, 3)]);
    fs::create_dir(place.path("one")).unwrap();
    fs::create_dir(place.path("two")).unwrap();
    place.export("one/v.tar", &["--max-size", "150K"]);
    fs::rename(place.path("one/v.2.tar"), place.path("two/v.2.tar")).unwrap();
    let (one, two) = (place.text("one"), place.text("two"));
    place.refused(&[&one], &["volume 2 of 3 is missing"]);
    place.merged(&[&one, &two]);
    place.assert_same_sites();
    let renamed = stillage(["build", "-o", &place.text("x"), &format!("{two}/v.2.tar=x")])
        .output()
        .unwrap();
    assert!(
        stderr(&renamed).contains("cannot be renamed"),
        "{}",
        stderr(&renamed)
    );
    let there = place.text("there");
    let mut put = stillage(["ssh-command", "--site", &there, "--mirror"]);
    put.env("SSH_ORIGINAL_COMMAND", "put hub/");
    let refused = feed(&mut put, &fs::read(format!("{two}/v.2.tar")).unwrap());
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}
