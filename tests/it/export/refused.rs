//! What is no export, or a damaged one, changes nothing.

use std::fs;
use std::path::Path;

use super::{Place, large, member, members};
use crate::support::archive::{Archive, Kind, gzip};
use crate::support::files::digest;
use crate::support::place::{feed, image};
use crate::support::site::{assert_same, everything, stderr, stillage, succeed};

/// The members of an export, to change.
fn opened(path: &str) -> Archive {
    let mut archive = Archive::default();
    for (name, _) in members(Path::new(path)) {
        let bytes = member(Path::new(path), &name);
        archive = archive.file(&name, bytes);
    }
    archive
}

/// An export with other bytes in a member, whose digests are right.
fn changed(archive: Archive, name: &str, bytes: &[u8]) -> Archive {
    let sums = String::from_utf8(archive.bytes("SHA256SUMS").to_vec()).unwrap();
    let lines = sums.lines().map(|line| match line.split_once("  ") {
        Some((_, member)) if member == name => format!("{}  {member}\n", &digest(bytes)[7..]),
        _ => format!("{line}\n"),
    });
    let sums: String = lines.collect();
    archive.set_file(name, bytes).set_file("SHA256SUMS", sums)
}

#[test]
fn a_damaged_export_is_refused_whole() {
    let place = Place::new();
    place.publish(&["fixtures/docker-1.4.1.tar"]);
    let first = place.export("first.tar", &[]);
    place.merged(&[&first]);
    place.publish_images(&[image("app:1", "one"), image("app:2", "two")]);
    let second = place.export("second.tar", &["--since", &first]);
    let description =
        String::from_utf8(member(Path::new(&second), "stillage-export.json")).unwrap();
    let names = opened(&second).names("blobs/");
    let blob = names.last().unwrap().as_str();
    let manifest = names.first().unwrap().as_str();
    let whole = || opened(&second);
    let other = |text: &str, with: &str| {
        let bytes = description.replacen(text, with, 1).into_bytes();
        assert_ne!(bytes, description.as_bytes());
        changed(whole(), "stillage-export.json", &bytes)
    };
    for (archive, words) in [
        (whole().flip(blob), [blob, "cannot read"]),
        (whole().flip(manifest), [manifest, ""]),
        (whole().drop(blob), ["does not carry", &blob[13..]]),
        (whole().drop(manifest), ["does not carry", &manifest[13..]]),
        (
            whole().flip("stillage-export.json"),
            ["stillage-export.json", ""],
        ),
        (
            whole().flip("stillage-catalogue.json.gz"),
            ["stillage-catalogue.json.gz", ""],
        ),
        (
            whole().drop("stillage-catalogue.json.gz"),
            ["`stillage-catalogue.json.gz`", "missing"],
        ),
        (whole().drop("SHA256SUMS"), ["`SHA256SUMS`", "missing"]),
        (
            whole().set_file("SHA256SUMS", "no sums\n"),
            ["`SHA256SUMS`", "invalid"],
        ),
        (
            other("\"format\":1", "\"format\":2"),
            ["has format 2", "use a newer version"],
        ),
        (
            other("\"catalogue\":\"sha256:", "\"catalogue\":\"sha512:"),
            ["invalid", ""],
        ),
        (
            changed(whole(), "stillage-catalogue.json.gz", &gzip(b"{}")),
            ["another digest", ""],
        ),
        (
            changed(whole(), "stillage-export.json", b"{"),
            ["`stillage-export.json` is invalid", ""],
        ),
        (
            whole().set("stillage-export.json", Kind::Symlink("oci-layout".into())),
            ["damaged", ""],
        ),
    ] {
        let path = place.path("damaged.tar");
        fs::write(&path, archive.tar()).unwrap();
        let path = path.to_str().unwrap();
        place.refused(&[path], &words);
        place.refused(&[path, "--mirror"], &words);
    }
    let bytes = fs::read(&second).unwrap();
    for length in [1600, 5000, bytes.len() - 1024, bytes.len() - 2000] {
        let path = place.path("cut.tar");
        fs::write(&path, &bytes[..length]).unwrap();
        place.refused(&[path.to_str().unwrap()], &["truncated"]);
    }
    place.merged(&[&second]);
    place.assert_same_sites();
}

/// What the base promised and the other side has lost since is named; also if it is only too short.
/// The second lacks what the first brings, and is not left out with a note.
#[test]
fn a_folder_with_two_updates_is_refused() {
    let place = Place::new();
    place.publish_images(&[image("app:1", "one")]);
    let first = place.export("first.tar", &[]);
    fs::create_dir(place.path("updates")).unwrap();
    place.publish_images(&[image("app:2", "two")]);
    let second = place.export("updates/1.tar", &["--since", &first]);
    place.publish_images(&[image("app:3", "three")]);
    let third = place.export("updates/2.tar", &["--since", &second]);
    place.merged(&[&first]);
    let updates = place.text("updates");
    let words = [&third, "does not carry", "a `build` of its own"];
    place.refused(&[&updates], &words);
    place.refused(&[&updates, "--mirror"], &words);
    place.merged(&[&second]);
    place.merged(&[&third]);
    place.assert_same_sites();
}

/// What comes after the site is no file to write to: it may be the base.
#[test]
fn an_export_needs_an_option_for_its_file() {
    let place = Place::new();
    place.publish_images(&[image("app:1", "one")]);
    let base = place.export("base.tar", &[]);
    let bytes = fs::read(&base).unwrap();
    let output = stillage(["export", &place.text("here"), &base])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`-o FILE`"), "{}", stderr(&output));
    assert_eq!(fs::read(&base).unwrap(), bytes);
}

#[test]
fn what_the_other_side_has_lost_is_named() {
    let place = Place::new();
    place.publish_images(&[large("large:1", 300_000, 3)]);
    let first = place.export("first.tar", &[]);
    place.merged(&[&first]);
    // The same base, under a new manifest.
    let next = large("large:2", 300_000, 3).layer("etc/more", "more");
    place.publish_images(&[next]);
    let second = place.export("second.tar", &["--since", &first]);
    let required: serde_json::Value =
        serde_json::from_slice(&member(Path::new(&second), "stillage-export.json")).unwrap();
    let required = required["requires"].as_object().unwrap();
    assert!(required.len() >= 2, "{required:?}");
    for (blob, size) in required {
        let path = place.path("there/blobs/sha256").join(&blob[7..]);
        let names = walkdir::WalkDir::new(place.path("there/v2"));
        let names: Vec<_> = names
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.ends_with(blob) || path.ends_with(Path::new(blob)))
            .filter(|path| path.is_file())
            .chain([path.clone()])
            .collect();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, size.as_u64().unwrap());
        for name in &names {
            fs::remove_file(name).unwrap();
        }
        place.refused(&[&second], &["does not have", blob, "`large:2`"]);
        for name in &names {
            fs::write(name, &bytes[1..]).unwrap();
        }
        place.refused(&[&second], &["does not have", blob]);
        for name in &names {
            fs::write(name, &bytes).unwrap();
        }
    }
    place.merged(&[&second]);
}

/// A damaged site exports nothing that would lack something.
#[test]
fn a_damaged_site_is_not_exported() {
    let place = Place::new();
    place.publish_images(&[image("app:1", "one")]);
    let first = place.export("first.tar", &[]);
    place.publish_images(&[large("large:1", 300_000, 4)]);
    let here = place.text("here");
    let biggest = fs::read_dir(place.path("here/blobs/sha256")).unwrap();
    let biggest = biggest
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    let biggest = biggest.unwrap();
    let bytes = fs::read(&biggest).unwrap();
    let output = place.path("out.tar");
    let refused = |words: &[&str]| {
        for target in [output.to_str().unwrap(), "-"] {
            let mut export = stillage(["export", &here, "--since", &first, "-o", target]);
            let refused = export.output().unwrap();
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(1), "{said}");
            for word in words {
                assert!(said.contains(word), "`{word}` is not in: {said}");
            }
            assert!(!output.exists());
            // Nobody takes what was written for a whole archive.
            if !refused.stdout.is_empty() {
                let there = place.text("there");
                let taken = feed(&mut stillage(["put", &there]), &refused.stdout);
                assert_eq!(taken.status.code(), Some(1));
            }
        }
    };
    let mut flipped = bytes.clone();
    flipped[100_000] ^= 1;
    // Links to it are damaged too.
    fs::OpenOptions::new().write(true).open(&biggest).unwrap();
    std::os::unix::fs::FileExt::write_all_at(
        &fs::OpenOptions::new().write(true).open(&biggest).unwrap(),
        &flipped,
        0,
    )
    .unwrap();
    refused(&["has the digest"]);
    for entry in walkdir::WalkDir::new(place.path("here")) {
        let path = entry.unwrap().into_path();
        if path.is_file() && fs::read(&path).unwrap() == flipped {
            fs::remove_file(path).unwrap();
        }
    }
    refused(&["`large:1` is damaged", "--exclude"]);
    succeed(&mut stillage([
        "export",
        &here,
        "--exclude",
        "large",
        "-o",
        output.to_str().unwrap(),
    ]));
    // What the other side has is not needed here.
    fs::remove_file(&output).unwrap();
    fs::write(&biggest, &bytes).unwrap();
    place.merged(&[&place.export("all.tar", &[])]);
}

/// Nothing is written into the exported site, and volumes that cannot all be written replace none.
#[test]
fn an_export_replaces_nothing_that_it_should_not() {
    let place = Place::new();
    place.publish_images(&[large("large:1", 300_000, 4), image("app:1", "one")]);
    let here = place.text("here");
    let before = everything(&place.path("here"));
    let refuse = |args: &[&str]| {
        let output = stillage(args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
    };
    for args in [
        &["export", &here, "-o", &place.text("here/index.json")][..],
        &["export", &here, "-o", &place.text("here/new.tar")],
        &[
            "export",
            &here,
            "-o",
            &place.text("here/v.tar"),
            "--max-size",
            "1M",
        ],
        &["export", &here, "-o", &here, "--max-size", "1M"],
        &["get", &here, "app:1", "-o", &place.text("here/index.json")],
        &[
            "get",
            &here,
            "app:1",
            "--format",
            "oci",
            "-o",
            &place.text("here/v1/new"),
        ],
    ] {
        refuse(args);
    }
    // By links neither.
    std::os::unix::fs::symlink(place.path("here"), place.path("link")).unwrap();
    std::os::unix::fs::symlink(place.path("here/index.json"), place.path("o.tar")).unwrap();
    for args in [
        &["export", &here, "-o", &place.text("o.tar")][..],
        &["get", &here, "app:1", "-o", &place.text("o.tar")],
        &["export", &here, "-o", &place.text("link/v1/new.tar")],
        &[
            "clients",
            &here,
            "--url",
            "https://m.test",
            "-o",
            &place.text("link/x/y"),
        ],
    ] {
        refuse(args);
    }
    assert_same(&before, &everything(&place.path("here")));
    // A folder in the way of one volume leaves them all.
    fs::create_dir_all(place.path("taken/v.2.tar")).unwrap();
    let options = ["--max-size", "100K", "-o", &place.text("taken/v.tar")];
    let output = stillage(["export", &here]).args(options).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(fs::read_dir(place.path("taken")).unwrap().count(), 1);
    fs::create_dir(place.path("volumes")).unwrap();
    place.export("volumes/v.tar", &["--max-size", "100K"]);
    let volumes = everything(&place.path("volumes"));
    assert_eq!(volumes.len(), 3);
    let largest = fs::read_dir(place.path("here/blobs/sha256")).unwrap();
    let largest = largest.map(|entry| entry.unwrap().path());
    let largest = largest
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let end = bytes.len() - 9;
    bytes[end] ^= 1;
    fs::write(&largest, &bytes).unwrap();
    let options = ["--max-size", "100K", "-o", &place.text("volumes/v.tar")];
    let output = stillage(["export", &here]).args(options).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_same(&volumes, &everything(&place.path("volumes")));
    // Fewer of them leave others behind, which is told.
    bytes[end] ^= 1;
    fs::write(&largest, &bytes).unwrap();
    let options = ["--max-size", "200K", "-o", &place.text("volumes/v.tar")];
    let output = succeed(stillage(["export", &here]).args(options));
    assert!(
        stderr(&output).contains("v.3.tar` is not a volume of this export"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_is_no_base_is_told() {
    let place = Place::new();
    place.publish_images(&[image("app:1", "one")]);
    let here = place.text("here");
    fs::write(place.path("text"), "no index\n").unwrap();
    fs::write(place.path("empty"), "").unwrap();
    fs::write(
        place.path("index.json"),
        r#"{"schemaVersion":2,"manifests":[]}"#,
    )
    .unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    let archive = Archive::docker_20(&[image("app:1", "one")]).tar();
    fs::write(place.path("docker.tar"), archive).unwrap();
    for (base, code, words) in [
        (
            "text",
            2,
            "neither the `index.json` of a site nor an export",
        ),
        ("empty", 2, "it is empty"),
        ("index.json", 1, "not a catalogue"),
        ("folder", 2, "not a site"),
        (
            "docker.tar",
            2,
            "neither the `index.json` of a site nor an export",
        ),
        ("nothing", 2, "does not exist"),
    ] {
        let base = place.text(base);
        for args in [
            &["export", &here, "--since", &base][..],
            &["diff", &here, &base],
        ] {
            let output = stillage(args).output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
            assert!(said.contains(words), "{args:?}: {said}");
            assert!(output.stdout.is_empty());
        }
    }
    for (args, words) in [
        (
            &["--max-size", "1M"][..],
            "volumes cannot go to standard output",
        ),
        (
            &["--max-size", "1M", "-o", "-"],
            "volumes cannot go to standard output",
        ),
        (&["--max-size", "x", "-o", "f"], "is not a size"),
        (&["--since", "nothing", "--ca", "x"], "only apply to a URL"),
    ] {
        let output = stillage(["export", &here]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(words),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}
