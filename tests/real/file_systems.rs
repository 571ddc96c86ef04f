//! File systems that lack something, and files where nobody expects them: a run works, or says why not before it writes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::crash::shim::Shim;
use crate::support::process::tool;
use crate::support::site::{assert_same, build, stderr, stillage, succeed, tree, verify};
use crate::support::temp::TempDir;

const SOURCE: &str = "fixtures/docker-20.10.tar";

fn command(site: &Path) -> Command {
    stillage(["build", "-q", SOURCE, "-o", site.to_str().unwrap()])
}

/// The run fails with these words, and a hint.
fn refused(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in [&["error: ", "hint: "], words].concat() {
        assert!(said.contains(word), "{word}: {said}");
    }
}

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new("fs");
    let site = folder.path().join("site");
    (folder, site)
}

#[test]
fn without_modes_or_syncs_of_folders_a_site_is_built() {
    let shim = Shim::new();
    let (_folder, whole) = folder();
    build(&[SOURCE], &whole);
    for lacks in ["modes", "foldersyncs"] {
        let (_folder, site) = folder();
        for _ in 0..2 {
            let output = shim.lacking(&mut command(&site), lacks);
            assert!(output.status.success(), "{lacks}: {}", stderr(&output));
            assert_same(&tree(&whole), &tree(&site));
        }
        let mut remove = stillage(["remove", site.to_str().unwrap(), "tiny:1"]);
        let output = shim.lacking(&mut remove, lacks);
        assert!(output.status.success(), "{lacks}: {}", stderr(&output));
        verify(&site);
    }
    // Where the modes that the file system shows are wrong, that is said.
    let (_folder, site) = folder();
    build(&[SOURCE], &site);
    succeed(
        Command::new("chmod")
            .arg("600")
            .arg(site.join("v2/_catalog")),
    );
    let output = shim.lacking(&mut command(&site), "modes");
    refused(&output, &["v2/_catalog`", "cannot set the permissions"]);
}

#[test]
fn without_the_names_or_links_of_a_site_nothing_is_written() {
    let shim = Shim::new();
    for (lacks, words) in [
        ("colons", ["has no names with `:`", "another file system"]),
        ("links", ["has no symbolic links", "another file system"]),
        ("locks", ["cannot lock", "local_lock=flock"]),
    ] {
        let (folder, site) = folder();
        refused(&shim.lacking(&mut command(&site), lacks), &words);
        let left: Vec<_> = walkdir::WalkDir::new(folder.path())
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file())
            .collect();
        let expected = match lacks {
            "locks" => vec![site.join(".stillage/lock")],
            _ => vec![],
        };
        assert_eq!(left, expected, "{lacks}");
    }
}

#[test]
fn a_lock_that_is_no_file_is_refused() {
    let (folder, site) = folder();
    build(&[SOURCE], &site);
    let lock = site.join(".stillage/lock");
    fs::remove_file(&lock).unwrap();
    succeed(Command::new(tool("mkfifo")).arg(&lock));
    let words = [".stillage/lock` is not a regular file"];
    refused(&command(&site).output().unwrap(), &words);
    fs::remove_file(&lock).unwrap();
    let other = folder.path().join("other");
    for target in [&other, &folder.path().join("dangling")] {
        fs::write(&other, "mine").unwrap();
        symlink(target, &lock).unwrap();
        refused(&command(&site).output().unwrap(), &words);
        fs::remove_file(&lock).unwrap();
    }
    assert_eq!(fs::read(&other).unwrap(), b"mine");
    succeed(&mut command(&site));
}

#[test]
fn a_site_may_be_a_link() {
    let (folder, site) = folder();
    symlink("target", &site).unwrap();
    let words = ["site` is a link to `target`, which is not a folder"];
    refused(&command(&site).output().unwrap(), &words);
    fs::create_dir(folder.path().join("target")).unwrap();
    succeed(&mut command(&site));
    verify(&site);
    assert!(folder.path().join("target/index.json").exists());
}

/// Files below a link to a folder of the site are those of the repository: `prune` deletes none.
#[test]
fn a_repository_may_be_a_link_to_a_folder_of_the_site() {
    let (_folder, site) = folder();
    build(&[SOURCE], &site);
    let whole = tree(&site);
    fs::rename(site.join("v2/sample"), site.join("v2/moved")).unwrap();
    symlink("moved", site.join("v2/sample")).unwrap();
    let there = tree(&site);
    verify(&site);
    succeed(&mut command(&site));
    succeed(
        stillage(["tag"])
            .arg(&site)
            .args(["sample/hello:1.0", "more"]),
    );
    succeed(stillage(["remove"]).arg(&site).arg("sample/hello:more"));
    succeed(stillage(["prune", "--grace", "0"]).arg(&site));
    verify(&site);
    assert_same(&tree(&site), &there);
    fs::remove_file(site.join("v2/sample")).unwrap();
    fs::rename(site.join("v2/moved"), site.join("v2/sample")).unwrap();
    assert_same(&tree(&site), &whole);
}
