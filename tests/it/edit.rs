//! `tag`, `remove` and `prune`: afterwards the site is what a build of the same images would have made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::site::{
    assert_same, build, inodes, name_of, stderr, stillage, succeed, tree, verify,
};
use crate::support::temp::TempDir;

/// An archive of one image with these names.
fn archive(folder: &TempDir, text: &str, names: &[&str]) -> String {
    let path = folder.path().join(format!("{text}.tar"));
    let image = Image::new(names)
        .layer("etc/base", "of both")
        .layer("etc/text", text);
    fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn site(folder: &TempDir, name: &str, sources: &[String]) -> PathBuf {
    let site = folder.path().join(name);
    build(sources, &site);
    site
}

fn run(command: &str, site: &Path, arguments: &[&str]) -> Output {
    let output = stillage([command])
        .arg(site)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

fn json(command: &str, site: &Path, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_slice(&run(command, site, &arguments).stdout).unwrap()
}

fn refused(command: &str, site: &Path, arguments: &[&str], words: &str) {
    let before = inodes(site);
    let output = stillage([command])
        .arg(site)
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
    assert_same(&before, &inodes(site));
}

/// As if the content had been unused for longer.
fn let_pass(site: &Path, hours: u64) {
    let file = site.join(".stillage/unused");
    let earlier = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .fold(String::new(), |text, line| {
            let (time, what) = line.split_once(' ').unwrap();
            let time = time.parse::<u64>().unwrap() - hours * 3600;
            format!("{text}{time} {what}\n")
        });
    fs::write(file, earlier).unwrap();
}

#[test]
fn a_tag_is_as_if_the_source_had_it() {
    let folder = TempDir::new("edit");
    let one = site(
        &folder,
        "one",
        &[archive(&folder, "a", &["app:1", "other:1"])],
    );
    let said = json("tag", &one, &["app:1", "stable", "V1"]);
    let added = said["changes"]["added"].as_array().unwrap().iter();
    let added: Vec<String> = added.map(name_of).collect();
    assert_eq!(added, ["app:V1", "app:stable"]);
    let names = ["app:1", "app:stable", "app:V1", "other:1"];
    let both = site(&folder, "both", &[archive(&folder, "a", &names)]);
    assert_same(&tree(&one), &tree(&both));
    let before = inodes(&one);
    let again = run("tag", &one, &["app:1", "stable"]);
    assert_eq!(stderr(&again), "nothing to do\n");
    assert_same(&before, &inodes(&one));
}

#[test]
fn a_tag_moves_and_can_move_back() {
    let folder = TempDir::new("edit");
    let sources = [
        archive(&folder, "a", &["app:1"]),
        archive(&folder, "b", &["app:2"]),
    ];
    let site = site(&folder, "site", &sources);
    let before = tree(&site);
    run("tag", &site, &["app:2", "1"]);
    verify(&site);
    let manifest = |tag: &str| fs::read(site.join("v2/app/manifests").join(tag)).unwrap();
    assert_eq!(manifest("1"), manifest("2"));
    // The manifest that lost its tag is there by its digest.
    let listed = json("list", &site, &[]);
    let names = listed.as_array().unwrap().iter().map(name_of);
    let lost = names.clone().find(|name| name.starts_with("app@")).unwrap();
    assert_eq!(names.count(), 3);
    run("tag", &site, &[&lost, "1"]);
    assert_same(&before, &tree(&site));
}

#[test]
fn what_is_removed_and_pruned_was_never_there() {
    let folder = TempDir::new("edit");
    let a = archive(&folder, "a", &["app:1", "app:also"]);
    let b = archive(&folder, "b", &["app:2", "deep/er:2"]);
    let without = site(&folder, "without", std::slice::from_ref(&a));
    for references in [
        &["app:2", "deep/er:2"][..],
        &["app:2", "deep/er"],
        &["app:2", "library/app:2", "deep/er:2"][..1],
    ] {
        let with = site(&folder, "with", &[a.clone(), b.clone()]);
        let before = inodes(&with);
        let dry = run("remove", &with, &[references, &["--dry-run"]].concat());
        assert!(
            stderr(&dry).contains("would remove app:2\n"),
            "{}",
            stderr(&dry)
        );
        assert_same(&before, &inodes(&with));
        run("remove", &with, references);
        verify(&with);
        if references.len() == 1 {
            // The other repository has the image still.
            let pruned = json("prune", &with, &["--grace", "0s"]);
            assert!(!pruned["files"].to_string().contains("blobs/sha256/"));
            verify(&with);
        } else {
            run("prune", &with, &["--grace", "0"]);
            assert_same(&tree(&with), &tree(&without));
        }
        fs::remove_dir_all(&with).unwrap();
    }
}

#[test]
fn what_is_attached_goes_along() {
    let folder = TempDir::new("edit");
    let site = folder.path().join("site");
    build(
        &[
            "fixtures/oci-layout-referrer=app",
            "fixtures/oci-layout-multiarch",
        ],
        &site,
    );
    let said = json("remove", &site, &["app:1"]);
    assert_eq!(
        said["changes"]["removed"].as_array().unwrap().len(),
        5,
        "{said}"
    );
    let alone = folder.path().join("alone");
    build(&["fixtures/oci-layout-multiarch"], &alone);
    run("prune", &site, &["--grace", "0"]);
    assert_same(&tree(&site), &tree(&alone));

    // A child is part of its index, unless the index goes.
    let index = json("list", &site, &[])[0].clone();
    assert_eq!(name_of(&index), "sample/multi:3.0");
    let index = index["digest"].as_str().unwrap().to_owned();
    let bytes = fs::read(site.join("v2/sample/multi/manifests").join(&index)).unwrap();
    let parsed: Value = serde_json::from_slice(&bytes).unwrap();
    let child = parsed["manifests"][0]["digest"].as_str().unwrap();
    let child = format!("sample/multi@{child}");
    refused("remove", &site, &[&child], "is part of an index that stays");
    run("tag", &site, &[&child, "amd64"]);
    run("remove", &site, &["sample/multi:3.0"]);
    verify(&site);
    let left = json("list", &site, &[]);
    assert_eq!(
        (left.as_array().unwrap().len(), name_of(&left[0])),
        (1, "sample/multi:amd64".to_owned())
    );
    run("remove", &site, &[&child]);
    assert_eq!(json("list", &site, &[]), Value::Array(Vec::new()));
    verify(&site);
}

#[test]
fn what_is_not_there_is_refused() {
    let folder = TempDir::new("edit");
    let site = site(&folder, "site", &[archive(&folder, "a", &["app:1"])]);
    let absent = format!("app@sha256:{}", "0".repeat(64));
    for reference in ["app:2", "app:latest", "none", "none:1", &absent] {
        refused("remove", &site, &[reference], "the site has no `");
        refused("tag", &site, &[reference, "new"], "the site has no `");
    }
    refused(
        "tag",
        &site,
        &["app:1", "index.json"],
        "conflicts with the file that lists the tags",
    );
    refused("remove", &site, &["A:1"], "is not a repository name");
    for command in [&["tag", "app:1", "x"][..], &["remove", "app:1"], &["prune"]] {
        let nowhere = folder.path().join("nowhere");
        let output = stillage([command[0]])
            .arg(&nowhere)
            .args(&command[1..])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("does not exist"),
            "{}",
            stderr(&output)
        );
        assert!(!nowhere.exists());
    }
}

#[test]
fn content_is_deleted_once_it_has_been_unused_for_long_enough() {
    let folder = TempDir::new("edit");
    let (a, b) = (
        archive(&folder, "a", &["app:1"]),
        archive(&folder, "b", &["app:2"]),
    );
    let site = site(&folder, "site", &[a, b.clone()]);
    let whole = tree(&site);
    run("remove", &site, &["app:2"]);
    let removed = tree(&site);
    let first = json("prune", &site, &[]);
    assert_eq!(first["files"], Value::Array(Vec::new()));
    let waiting = first["waiting"].as_u64().unwrap();
    assert!(waiting > 5 && first["waiting_bytes"].as_u64().unwrap() > 500);
    let said = stderr(&run("prune", &site, &[]));
    let until = first["waiting_until"].as_str().unwrap();
    assert!(
        said.contains(&format!("can be deleted from {}", &until[..13])),
        "{said}"
    );
    assert_same(&removed, &tree(&site));
    let_pass(&site, 23);
    assert_eq!(json("prune", &site, &[])["waiting"], waiting);
    // It is used again in between, so its time starts anew.
    build(&[b], &site);
    assert_same(&whole, &tree(&site));
    assert_eq!(json("prune", &site, &[])["waiting"], 0);
    run("remove", &site, &["app:2"]);
    assert_eq!(json("prune", &site, &["--grace", "1h"])["waiting"], waiting);
    let_pass(&site, 2);
    let before = inodes(&site);
    let dry = json("prune", &site, &["--grace", "1h", "--dry-run"]);
    assert_same(&before, &inodes(&site));
    assert_eq!(dry["files"].as_array().unwrap().len() as u64, waiting);
    let done = json("prune", &site, &["--grace", "1h"]);
    assert_eq!(done["files"], dry["files"]);
    assert_eq!(done["bytes"], dry["bytes"]);
    assert!(done["bytes"].as_u64().unwrap() > 500);
    let left = before.len() - inodes(&site).len();
    assert!(left as u64 >= waiting, "{left}");
    verify(&site);
}

#[test]
fn manifests_without_a_tag_stay_unless_told_otherwise() {
    let folder = TempDir::new("edit");
    let (a, b) = (
        archive(&folder, "a", &["app:1"]),
        archive(&folder, "b", &["app:1"]),
    );
    let new = site(&folder, "new", std::slice::from_ref(&b));
    let site = site(&folder, "site", &[a]);
    build(&[b], &site);
    // Over v1 nothing is pulled by a digest.
    let pruned = json("prune", &site, &["--grace", "0"]);
    let mut files = pruned["files"].as_array().unwrap().iter();
    assert!(
        files.all(|file| file.as_str().unwrap().starts_with("v1/images/")),
        "{pruned}"
    );
    let moved = tree(&site);
    // The first run with the option is the first to see that it has no tag.
    assert_eq!(
        json("prune", &site, &["--untagged"])["removed"],
        Value::Array(Vec::new())
    );
    assert_same(&moved, &tree(&site));
    let_pass(&site, 25);
    let dry = json("prune", &site, &["--untagged", "--dry-run"]);
    assert_same(&moved, &tree(&site));
    let done = json("prune", &site, &["--untagged"]);
    assert_eq!(done, dry);
    assert_eq!(done["removed"].as_array().unwrap().len(), 1);
    assert_same(&tree(&site), &tree(&new));
    verify(&site);
}

/// What is used again starts anew, even where no prune comes in between.
#[test]
fn what_a_build_or_a_tag_uses_again_is_no_longer_unused() {
    let none = Value::Array(Vec::new());
    let folder = TempDir::new("edit");
    let new = |text: &str, name: &str| archive(&folder, text, &[name]);
    let site = site(&folder, "site", &[new("a", "app:1"), new("b", "app:2")]);
    run("remove", &site, &["app:2"]);
    let waiting = json("prune", &site, &[])["waiting"].clone();
    let_pass(&site, 23);
    build(&[new("b", "app:2")], &site);
    run("remove", &site, &["app:2"]);
    let_pass(&site, 2);
    let pruned = json("prune", &site, &[]);
    assert_eq!((&pruned["files"], &pruned["waiting"]), (&none, &waiting));

    // A manifest without a tag has one for a while.
    let site = folder.path().join("tags");
    build(&[new("c", "app:1")], &site);
    let digest = json("list", &site, &[])[0]["digest"].clone();
    build(&[new("d", "app:1")], &site);
    assert_eq!(json("prune", &site, &["--untagged"])["untagged"], 1);
    let_pass(&site, 23);
    let reference = format!("app@{}", digest.as_str().unwrap());
    run("tag", &site, &[&reference, "old"]);
    build(&[new("e", "app:old")], &site);
    let_pass(&site, 2);
    assert_eq!(json("prune", &site, &["--untagged"])["removed"], none);
}

/// The clock of the machine may be set while it runs.
#[test]
fn a_clock_that_jumps_does_not_shorten_the_grace_period() {
    let folder = TempDir::new("edit");
    let new = |text: &str, name: &str| archive(&folder, text, &[name]);
    let site = site(&folder, "site", &[new("a", "app:1"), new("b", "app:2")]);
    run("remove", &site, &["app:2"]);
    let waiting = json("prune", &site, &[])["waiting"].clone();
    let file = site.join(".stillage/clock");
    let before = fs::read_to_string(&file).unwrap();
    let words: Vec<&str> = before.trim().split(' ').collect();
    let [time, machine, seconds, start] = words[..] else {
        panic!("{before}");
    };
    let machine: i64 = machine.parse().unwrap();
    // It was 40 years behind, or ahead.
    for years in [-40, 40] {
        let machine = machine + years * 365 * 86400;
        fs::write(&file, format!("{time} {machine} {seconds} {start}\n")).unwrap();
        assert_eq!(json("prune", &site, &[])["waiting"], waiting);
    }
    // After a restart, its clock is all there is.
    let machine = machine - 25 * 3600;
    fs::write(&file, format!("{time} {machine} 7 another-start\n")).unwrap();
    assert_eq!(json("prune", &site, &[])["waiting"], 0);
}

/// The tags that a prune with these rules removes, which a dry run names with the rule.
fn expired(site: &Path, rules: &[&str]) -> Vec<String> {
    let before = inodes(site);
    let dry = json("prune", site, &[rules, &["--dry-run"]].concat());
    assert_same(&before, &inodes(site));
    let text = stderr(&run("prune", site, &[rules, &["--dry-run"]].concat()));
    let of = |tag: &Value| {
        let name = name_of(tag);
        let rule = tag["rule"].as_str().unwrap();
        assert!(
            text.contains(&format!("would remove {name} ({rule})")),
            "{text}"
        );
        name
    };
    dry["expired"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn tags_go_by_the_age_of_their_images() {
    let folder = TempDir::new("edit");
    let dated = |names: &[&str], created: &str| {
        let created = created.to_owned();
        Image::new(names)
            .layer("etc/text", &format!("{names:?}"))
            .config(move |config| config["created"] = created.clone().into())
    };
    let child = dated(&["app:child"], "2021-01-01T00:00:00Z");
    let images = [
        dated(&["app:1"], "2024-01-01T00:00:00Z"),
        dated(&["app:2"], "2024-03-01T00:30:00+01:00"),
        dated(&["app:3", "app:latest"], "2024-03-01T00:00:00Z"),
        dated(&["tool:1"], "1980-01-01T00:00:01Z"),
        dated(&["tool:2"], "nonsense"),
        child.clone(),
        Image::index(
            &["app:multi"],
            vec![child, dated(&[], "2024-06-01T00:00:00Z")],
        ),
    ];
    let layout = folder.path().join("layout");
    Archive::oci(&images).folder(&layout);
    let site = site(&folder, "site", &[layout.to_str().unwrap().to_owned()]);

    assert_eq!(expired(&site, &["--keep-last", "4"]), ["app:child"]);
    let two = ["app:2", "app:1", "app:child"];
    assert_eq!(expired(&site, &["--keep-last", "2"]), two);
    assert_eq!(
        expired(&site, &["--keep-last", "2=app", "--keep-last", "1"]),
        two
    );
    assert_eq!(
        expired(&site, &["--keep-last", "1=app:[0-9]"]),
        ["app:2", "app:1"]
    );
    assert_eq!(expired(&site, &["--keep-last", "1=tool"]), [""; 0]);
    let said = stderr(&run("prune", &site, &["-n", "--keep-last", "1=none"]));
    assert!(
        said.contains("note: `--keep-last 1=none` matches nothing"),
        "{said}"
    );
    let old = [
        "app:multi",
        "app:3",
        "app:latest",
        "app:2",
        "app:1",
        "app:child",
    ];
    assert_eq!(expired(&site, &["--older-than", "1day"]), old);
    assert_eq!(
        expired(&site, &["--older-than", "1day", "--keep-last", "2"]),
        two
    );
    assert_eq!(expired(&site, &["--older-than", "1000years"]), [""; 0]);
    for wrong in ["0", "x", "-1", "=app", "1=[", ""] {
        refused("prune", &site, &[&format!("--keep-last={wrong}")], "");
    }

    let rules = ["--keep-last", "2"];
    let dry = json("prune", &site, &[&rules[..], &["--dry-run"]].concat());
    let done = json("prune", &site, &rules);
    assert_eq!(done["expired"], dry["expired"]);
    let tags: Vec<String> = json("list", &site, &[])
        .as_array()
        .unwrap()
        .iter()
        .map(name_of)
        .collect();
    assert_eq!(
        tags,
        ["app:3", "app:latest", "app:multi", "tool:1", "tool:2"]
    );
    // The index needs the child; what else the tags led to waits for its grace period.
    assert!(done["waiting"].as_u64().unwrap() > 5, "{done}");
    assert_eq!(done["files"], Value::Array(Vec::new()));
    verify(&site);
    run("prune", &site, &["--grace", "0"]);
    verify(&site);
}

/// Files of others stay, and are named.
#[test]
fn prune_deletes_no_files_of_others() {
    let folder = TempDir::new("edit");
    let site = site(&folder, "site", &[archive(&folder, "a", &["app:1"])]);
    let foreign = ["v2/app/notes.txt", "v1/README", "blobs/sha256/x"];
    for path in foreign {
        fs::write(site.join(path), "mine").unwrap();
    }
    fs::write(site.join("robots.txt"), "mine").unwrap();
    let pruned = json("prune", &site, &["--grace", "0"]);
    let mut named: Vec<&str> = pruned["foreign"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["blobs/sha256/x", "v1/README", "v2/app/notes.txt"]);
    for path in foreign {
        assert!(site.join(path).exists(), "{path}");
    }
}

/// A run that died while it moved tags is mended first: its content is not taken for unused while a
/// tag leads to it.
#[test]
fn prune_begins_with_what_a_dead_run_left() {
    let folder = TempDir::new("edit");
    let site = site(&folder, "site", &[archive(&folder, "a", &["app:1"])]);
    let before = tree(&site);
    let tag = site.join("v2/app/manifests/2");
    fs::copy(site.join("v2/app/manifests/1"), &tag).unwrap();
    fs::write(site.join(".stillage/pending"), "app\n").unwrap();
    run("prune", &site, &["--grace", "0"]);
    assert!(!tag.exists() && !site.join(".stillage/pending").exists());
    assert_same(&before, &tree(&site));
    succeed(stillage(["verify", "--deep"]).arg(&site));
}
