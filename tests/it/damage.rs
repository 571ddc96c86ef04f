//! A site that has lost files, or has some that are damaged, is no dead end: the default `verify` names what is wrong, and
//! every command goes on with the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::site::{
    SMALL, assert_same, build, json, name_of, small_site, stderr, stillage, succeed, tree, verify,
};
use crate::support::temp::TempDir;

/// What may happen to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lost,
    Cut,
    Flipped,
    /// The last byte is another.
    End,
    Closed,
    LinkOut,
}

use Fate::{Closed, Cut, End, Flipped, LinkOut, Lost};

const FATES: [Fate; 6] = [Lost, Cut, Flipped, End, Closed, LinkOut];

impl Fate {
    /// What it does to one name of a file; other names of it keep what they have.
    fn meet(self, file: &Path, outside: &Path) {
        let bytes = fs::read(file).unwrap();
        let mode = if self == Closed { 0o600 } else { 0o644 };
        fs::remove_file(file).unwrap();
        let changed = match self {
            Lost => return,
            LinkOut => {
                fs::write(outside, &bytes).unwrap();
                return symlink(outside, file).unwrap();
            }
            Closed => bytes,
            Cut => bytes[..bytes.len() - 1].to_vec(),
            Flipped | End => {
                let mut changed = bytes;
                let last = changed.len() - 1;
                changed[if self == End { last } else { last / 2 }] ^= 1;
                changed
            }
        };
        fs::write(file, changed).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The kind of the finding.
    fn kind(self) -> &'static str {
        match self {
            Lost => "missing",
            Closed => "closed",
            _ => "damaged",
        }
    }
}

/// What a file is, judged by its path: digests, ids and names become letters.
fn kind_of(site: &Path, path: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('/') {
        let hex = part.trim_start_matches("sha256:");
        let is_id = hex.len() >= 64 && hex.as_bytes()[..64].iter().all(u8::is_ascii_hexdigit);
        parts.push(if is_id { "X".into() } else { part.to_owned() });
    }
    let is_tag = |part: &String| {
        part.split('.')
            .next()
            .is_some_and(|first| first.parse::<u32>().is_ok())
            || part.starts_with("latest")
    };
    let name = parts.last_mut().unwrap();
    if is_tag(name) {
        *name = "TAG".into();
    }
    let kind = parts.join("/");
    let kind = kind.replace("library/", "").replace("sample/", "");
    let short = |kind: &str| {
        let mut parts: Vec<&str> = kind.split('/').collect();
        match parts[0] {
            "v2" if parts.len() > 2 => parts[1] = "R",
            "v1" if parts[1] == "repositories" => parts[2] = "R",
            _ => {}
        }
        parts.join("/")
    };
    let kind = short(&kind);
    if let Some((folder, _)) = path
        .rsplit_once('/')
        .filter(|_| kind.starts_with("v1/images/"))
    {
        let has_checksum = site.join(folder).join("checksum").exists();
        return format!("{kind}{}", if has_checksum { " of a source" } else { "" });
    }
    if kind != "blobs/sha256/X" && kind != "v2/R/blobs/X" {
        return kind;
    }
    let bytes = fs::read(site.join(path)).unwrap();
    let what = match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) if value["manifests"].is_array() => "index",
        Ok(value) if value["config"]["digest"].is_string() => "manifest",
        Ok(value) if value["rootfs"].is_object() => "config",
        Ok(_) => "artifact",
        Err(_) => "layer",
    };
    format!("{kind} {what}")
}

/// One file of each kind.
fn kinds(site: &Path) -> BTreeMap<String, String> {
    let files = tree(site).into_iter();
    let files = files.filter(|(path, (_, content))| {
        content != "folder" && path != "index.json" && !site.join(path).is_symlink()
    });
    files
        .map(|(path, _)| (kind_of(site, &path), path))
        .collect()
}

fn run(args: &[&str], site: &Path, more: &[&str]) -> Output {
    let mut command = stillage(args);
    command.arg(site).args(more).output().unwrap()
}

fn findings(site: &Path) -> Vec<Value> {
    let output = run(&["verify", "--json"], site, &[]);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())));
    findings
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    succeed(std::process::Command::new("cp").arg("-a").arg(from).arg(to));
}

/// Deletes the damaged files, as `verify` asks for.
fn delete_damaged(site: &Path) {
    for finding in findings(site) {
        let path = site.join(finding["path"].as_str().unwrap());
        if finding["kind"] == "damaged" {
            let removed = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
            removed.unwrap();
        }
    }
}

/// The references that `list` shows, and those of them that it marks.
fn listed(site: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let output = run(&["list", "--json"], site, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let marked = all.iter().filter(|row| row["damage"].is_string());
    let marked: BTreeSet<String> = marked.map(name_of).collect();
    let said = stderr(&output);
    for name in &marked {
        assert!(
            said.contains(&format!("warning: `{name}` is damaged: ")),
            "{said}"
        );
    }
    (all.iter().map(name_of).collect(), marked)
}

/// One name of a file is damaged: `verify` finds that alone, nothing else suffers, and builds bring it back.
#[test]
fn each_kind_of_file_damaged() {
    let whole = small_site();
    let folder = TempDir::new("damage");
    let (site, outside) = (folder.path().join("site"), folder.path().join("outside"));
    let everything = listed(whole.path()).0;
    let kinds = kinds(whole.path());
    assert!(kinds.len() > 25, "{kinds:#?}");
    let is_long = std::env::var_os("STILLAGE_LONG").is_some();
    for (number, (kind, path)) in kinds.iter().enumerate() {
        for (round, fate) in FATES.into_iter().enumerate() {
            // What is derived has rules of its own.
            let is_v1_json = kind.starts_with("v1/images/X/json");
            if !is_long && !is_v1_json && round != number % FATES.len() {
                continue;
            }
            if fate != Lost && fs::metadata(whole.path().join(path)).unwrap().len() == 0 {
                continue;
            }
            let about = format!("{kind}, {fate:?}: {path}");
            copy(whole.path(), &site);
            fate.meet(&site.join(path), &outside);
            let found = findings(&site);
            assert_eq!(found.len(), 1, "{about}: {found:#?}");
            // Where JSON, layer and checksum of a v1 image do not match, nothing says which of them is wrong.
            let found = (found[0]["path"].as_str(), found[0]["kind"].as_str());
            let image = path.rsplit_once('/').map(|(folder, _)| folder);
            let is_of_image = kind.starts_with("v1/images/") && found.0 == image;
            assert!(found.0 == Some(path) || is_of_image, "{about}: {found:?}");
            assert_eq!(found.1, Some(fate.kind()), "{about}");
            assert_eq!(listed(&site).0, everything, "{about}");
            for command in [&["prune", "--grace", "0"][..], &["config", "nginx"]] {
                let output = run(command, &site, &[]);
                assert!(
                    output.status.success(),
                    "{about}: {command:?}: {}",
                    stderr(&output)
                );
            }
            delete_damaged(&site);
            build(&SMALL, &site);
            assert_eq!(findings(&site), Vec::<Value>::new(), "{about}");
            assert_same(&tree(whole.path()), &tree(&site));
        }
    }
}

/// Content that is lost for good.
struct Gone {
    what: &'static str,
    /// The reference whose manifest is meant, or begins the way to what is lost.
    reference: &'static str,
    /// The way from the manifest, as a JSON pointer; that of the manifest itself is empty.
    pointer: &'static str,
    /// The references that are damaged then.
    damaged: &'static [&'static str],
}

const GONE: [Gone; 6] = [
    Gone {
        what: "a manifest",
        reference: "sample/hello:1.0",
        pointer: "",
        damaged: &["sample/hello:1.0", "sample/hello:latest"],
    },
    Gone {
        what: "a config",
        reference: "sample/hello:1.0",
        pointer: "/config/digest",
        damaged: &["sample/hello:1.0", "sample/hello:latest"],
    },
    Gone {
        what: "a layer",
        reference: "tiny:1",
        pointer: "/layers/0/digest",
        damaged: &["tiny:1"],
    },
    Gone {
        what: "an index",
        reference: "sample/multi:3.0",
        pointer: "",
        damaged: &["sample/multi:3.0"],
    },
    Gone {
        what: "a child of an index",
        reference: "sample/multi:3.0",
        pointer: "/manifests/1/digest",
        damaged: &["sample/multi:3.0"],
    },
    Gone {
        what: "the config of a v1 image that came with its source",
        reference: "old:1.0",
        pointer: "/config/digest",
        damaged: &["old:1.0", "old:latest"],
    },
];

impl Gone {
    fn digest(&self, site: &Path) -> String {
        let (name, tag) = self.reference.split_once(':').unwrap();
        let path = site.join(format!("v2/{name}/_tags/{tag}"));
        let folder = fs::read_link(path).unwrap();
        let manifest = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if self.pointer.is_empty() {
            return manifest;
        }
        let manifest = json(site.join(format!("v2/{name}/manifests/{manifest}")));
        manifest
            .pointer(self.pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Deletes every file with its content.
    fn delete(&self, site: &Path) -> PathBuf {
        let digest = self.digest(site);
        for (path, (_, content)) in tree(site) {
            if content == digest && !site.join(&path).is_symlink() {
                fs::remove_file(site.join(path)).unwrap();
            }
        }
        PathBuf::from(format!("blobs/{}", digest.replace(':', "/")))
    }
}

/// Whatever is lost for good: one finding says so, and every command goes on with the rest.
#[test]
fn each_kind_of_content_lost() {
    let whole = small_site();
    let folder = TempDir::new("damage");
    let path = |name: &str| folder.path().join(name);
    let (site, lost, other) = (path("site"), path("lost"), path("other"));
    let everything = listed(whole.path()).0;
    let fresh = path("fresh.tar");
    let image = Image::new(&["x:fresh"]).layer("etc/text", "fresh");
    fs::write(&fresh, Archive::docker_20(&[image]).tar()).unwrap();
    for gone in GONE {
        let about = gone.what;
        copy(whole.path(), &lost);
        let blob = gone.delete(&lost);
        let damaged: BTreeSet<String> = gone.damaged.iter().map(ToString::to_string).collect();
        let found = findings(&lost);
        assert_eq!(found.len(), 1, "{about}: {found:#?}");
        assert_eq!(found[0]["path"], blob.to_str().unwrap(), "{about}");
        let needed_by: BTreeSet<String> =
            serde_json::from_value(found[0]["needed_by"].clone()).unwrap();
        assert_eq!(needed_by, damaged, "{about}");
        // Nobody knows the children of a lost index: they are listed by digest.
        let (names, marked) = listed(&lost);
        assert!(names.is_superset(&everything), "{about}: {names:?}");
        assert_eq!(marked, damaged, "{about}");

        // What is left of it stays, and the rest can be edited.
        copy(&lost, &site);
        succeed(stillage(["tag"]).arg(&site).args(["zstd:1.0", "more"]));
        let repository = gone.reference.split(':').next().unwrap();
        let healthy = everything
            .iter()
            .find(|name| name.starts_with(&format!("{repository}:")) && !damaged.contains(*name));
        if let Some(name) = healthy {
            succeed(stillage(["tag"]).arg(&site).args([name, "again"]));
        }
        let refused = run(&["tag"], &site, &[gone.reference, "again"]);
        assert_eq!(refused.status.code(), Some(1), "{about}");
        assert!(
            stderr(&refused).contains("hint: restore it"),
            "{}",
            stderr(&refused)
        );
        for command in [
            &["prune", "--grace", "0", "--untagged"][..],
            &["config", "nginx"],
        ] {
            let output = run(command, &site, &[]);
            assert!(
                output.status.success(),
                "{about}: {command:?}: {}",
                stderr(&output)
            );
        }
        assert_eq!(findings(&site).len(), 1, "{about}");
        assert_eq!(listed(&site).1, damaged, "{about}");

        // Another site gets the rest, and is told.
        let _ = fs::remove_dir_all(&other);
        let output = succeed(stillage(["build", "--json", "-o"]).args([&other, &lost]));
        let built: Value = serde_json::from_slice(&output.stdout).unwrap();
        let notes = built["notes"].as_array().unwrap().iter();
        let faults = notes.filter(|note| note["kind"] == "fault");
        let told: BTreeSet<String> = faults
            .map(|note| note["reference"].as_str().unwrap().to_owned())
            .collect();
        assert!(told.is_superset(&damaged), "{about}: {told:?}");
        verify(&other);
        let strict = stillage(["build", "--strict", "-n", "-o"])
            .args([&other, &lost])
            .output()
            .unwrap();
        assert_eq!(strict.status.code(), Some(1), "{about}");

        // A build into it says so, and goes on.
        copy(&lost, &site);
        let output = build(&[format!("{}={repository}", fresh.display())], &site);
        for name in &damaged {
            let note = format!("note: `{name}` is damaged: ");
            assert!(
                stderr(&output).contains(&note),
                "{about}: {}",
                stderr(&output)
            );
        }
        assert_eq!(findings(&site).len(), 1, "{about}");

        // Taken out, it is gone; from its source, it comes back.
        copy(&lost, &site);
        succeed(stillage(["remove"]).arg(&site).args(gone.damaged));
        let rest: BTreeSet<String> = everything.difference(&damaged).cloned().collect();
        let (names, marked) = listed(&site);
        assert!(
            names.is_superset(&rest) && marked.is_empty() && names.is_disjoint(&damaged),
            "{about}: {names:?}"
        );
        verify(&site);
        succeed(stillage(["prune", "--grace", "0"]).arg(&site));
        verify(&site);
        build(&SMALL, &lost);
        verify(&lost);
        assert_same(&tree(whole.path()), &tree(&lost));
    }
}

/// Whatever can be derived from the rest comes back with `build SITE -o SITE`.
#[test]
fn a_site_restores_itself() {
    let whole = small_site();
    let folder = TempDir::new("damage");
    let site = folder.path().join("site");
    let mut lost = 0;
    for (kind, path) in kinds(whole.path()) {
        copy(whole.path(), &site);
        let file = site.join(&path);
        // A copy or link of each content is left.
        fs::remove_file(&file).unwrap();
        let itself = site.to_str().unwrap().to_owned();
        build(&[itself], &site);
        if file.exists() {
            verify(&site);
            assert_same(&tree(whole.path()), &tree(&site));
        } else {
            lost += 1;
            assert!(kind.starts_with("v1/images/X/"), "{kind}: {path}");
        }
    }
    // The v1 images of Docker 1.4 came with their source: nothing else has their JSON.
    assert!(lost <= 3, "{lost}");
}
