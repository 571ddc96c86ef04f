//! `put`: an image archive on standard input, added to a site as `build -` adds it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::archive::{Archive, Image, cut, gzip, zstd};
use crate::support::place::{feed, image, pipe};
use crate::support::site::{
    assert_same, build, everything, json, name_of, stderr, stillage, tree, verify,
};
use crate::support::temp::TempDir;

fn put(site: &Path, args: &[&str]) -> Command {
    let mut command = stillage(["put", site.to_str().unwrap()]);
    command.args(args);
    command
}

/// A folder with a site that has `good:1`.
fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new("put");
    let site = folder.path().join("site");
    let source = folder.path().join("good.tar");
    let good = Archive::docker_20(&[image("good:1", "good")]);
    fs::write(&source, good.tar()).unwrap();
    build(&[source.to_str().unwrap()], &site);
    (folder, site)
}

/// Two images that share a layer; one is large enough to be staged while it is read.
fn archive() -> Vec<u8> {
    let large = (0..20_000).map(|line| format!("line {line}\n"));
    let large: String = large.collect();
    let base = Image::new(&["org/one:1"]).layer("etc/base", &large);
    let top = Image::new(&["org/two:1", "org/two:2"])
        .layer("etc/base", &large)
        .layer("etc/top", "top");
    Archive::docker_20(&[base, top]).tar()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// The references of a site, as `list` prints them.
fn names(site: &Path) -> Vec<String> {
    let output = stillage(["list", "--json", site.to_str().unwrap()]).output();
    let list: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    list.as_array().unwrap().iter().map(name_of).collect()
}

#[test]
fn a_put_is_a_build_of_the_same_archive() {
    let fixture = |name: &str| fs::read(format!("fixtures/{name}.tar")).unwrap();
    let unnamed = Archive::oci(&[Image::new(&[]).layer("etc/text", "unnamed")]).tar();
    for (bytes, name) in [
        (fixture("docker-1.4.1"), Some("old")),
        (fixture("docker-20.10"), None),
        (fixture("docker-29-containerd"), Some("new/")),
        (fixture("podman-4.3-docker-archive-multi"), Some("many/")),
        (gzip(&fixture("oci-archive")), Some("app:1")),
        (zstd(&archive()), None),
        (archive(), Some("mirror/org/")),
        (unnamed.clone(), Some("app")),
        (unnamed, Some("a/b:2")),
    ] {
        for is_new in [true, false] {
            let sites = [place(), place()];
            let [(_, one), (_, other)] = &sites;
            if is_new {
                fs::remove_dir_all(one).unwrap();
                fs::remove_dir_all(other).unwrap();
            }
            let source = name.map_or("-".into(), |name| format!("-={name}"));
            let built = pipe(&bytes, &["-o", other.to_str().unwrap(), "--", &source]);
            let output = feed(put(one, &[]).args(name), &bytes);
            succeeded(&output);
            assert_eq!(stderr(&output), stderr(&built), "{name:?}");
            assert_eq!(output.stdout, built.stdout);
            assert_same(&tree(one), &tree(other));
            verify(one);
        }
    }
}

#[test]
fn names_are_those_of_a_source() {
    let one = Archive::docker_20(&[image("org/app:7", "one")]).tar();
    let unnamed = Archive::oci(&[Image::new(&[]).layer("etc/text", "unnamed")]).tar();
    for (bytes, name, now) in [
        (&one, None, "org/app:7"),
        (&one, Some("app"), "app:7"),
        (&one, Some("app:1"), "app:1"),
        (&one, Some("library/app:1"), "app:1"),
        (&one, Some("a/b/"), "a/b/org/app:7"),
        (&unnamed, Some("app"), "app:latest"),
    ] {
        let (_folder, site) = place();
        succeeded(&feed(put(&site, &[]).args(name), bytes));
        let mut expected = vec!["good:1".to_owned(), now.to_owned()];
        expected.sort();
        assert_eq!(names(&site), expected, "{name:?}");
    }
    let (_folder, site) = place();
    let before = everything(&site);
    for (bytes, name, code, words) in [
        (&unnamed, None, 2, ["has no name", "put SITE NAME"]),
        (&archive(), Some("app:1"), 2, ["2 images", "omit the tag"]),
        (&one, Some("App"), 2, ["`App`", "not a repository name"]),
        (
            &one,
            Some("/etc/app"),
            2,
            ["`/etc/app`", "not a repository"],
        ),
        (
            &one,
            Some("x.tar=app"),
            2,
            ["`x.tar=app`", "not a repository"],
        ),
        (&one, Some("app:"), 2, ["``", "is not a tag"]),
        (&one, Some(""), 2, ["``", "not a repository name"]),
        (&one, Some("../"), 2, ["`../`", "not a prefix"]),
    ] {
        refused(&feed(put(&site, &[]).args(name), bytes), code, &words);
        assert_same(&everything(&site), &before);
    }
}

/// The site of a sender that breaks off, and one that did not exist, are as they were.
#[test]
fn an_archive_that_breaks_off_leaves_nothing() {
    let (folder, site) = place();
    let (before, new) = (everything(&site), folder.path().join("new"));
    let plain = archive();
    // The last 1,024 bytes of a tar end it, and say nothing else.
    let packed = [
        (plain.len() - 1024, plain.clone()),
        (0, gzip(&plain)),
        (0, zstd(&plain)),
    ];
    for (end, bytes) in packed {
        let end = if end == 0 { bytes.len() - 1 } else { end };
        let spread = (0..=24).map(|part| end * part / 24);
        let blocks = [1, 6, 511, 512, 513, 1024, 1537, end - 512, end - 1];
        for length in spread.chain(blocks) {
            println!("{length} of {} bytes", bytes.len());
            let part = cut(bytes.clone(), length);
            let words = match length {
                0 => ["standard input is empty", "hint: did the command before"],
                _ => ["error: ", "standard input"],
            };
            refused(&feed(&mut put(&site, &[]), &part), 1, &words);
            assert_same(&everything(&site), &before);
            if length % 2 == 0 {
                refused(&feed(&mut put(&new, &[]), &part), 1, &words);
                assert!(!new.exists(), "{length}");
            }
        }
        succeeded(&feed(&mut put(&new, &[]), &bytes));
        fs::remove_dir_all(&new).unwrap();
    }
}

#[test]
fn one_that_is_damaged_leaves_nothing() {
    let (_folder, site) = place();
    let before = everything(&site);
    let save = || Archive::docker_20(&[image("org/app:1", "text")]);
    let layer = save().names("layer.tar").remove(0);
    for (bytes, words) in [
        (save().flip(&layer).tar(), ["diff ID", "layer.tar"]),
        (save().drop(&layer).tar(), ["is missing", "layer.tar"]),
        (
            b"no archive\n".repeat(99),
            ["standard input", "not an image archive"],
        ),
        (
            Archive::default().file("README", "text").tar(),
            ["standard input", "known format"],
        ),
    ] {
        refused(&feed(&mut put(&site, &[]), &bytes), 1, &words);
        assert_same(&everything(&site), &before);
    }
}

/// A put that has begun: it holds the lock of the site, and waits for the rest of the archive.
fn begun(site: &Path) -> Child {
    let mut child = put(site, &[])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = archive();
    // The first layer is not whole, and so large that it is staged.
    let half = cut(bytes, 100_000);
    child.stdin.as_mut().unwrap().write_all(&half).unwrap();
    let (staging, start) = (site.join(".stillage/staging"), Instant::now());
    let has_begun = || fs::read_dir(&staging).is_ok_and(|mut names| names.next().is_some());
    while !has_begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(start.elapsed() < Duration::from_mins(2), "nothing staged");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

#[test]
fn one_that_is_killed_leaves_what_the_next_run_cleans() {
    let (_folder, site) = place();
    let before = everything(&site);
    let mut killed = begun(&site);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let staging = site.join(".stillage/staging");
    assert!(staging.exists(), "it was killed too late");
    let mut after = everything(&site);
    after.retain(|path, _| !path.starts_with(".stillage/staging"));
    assert_same(&after, &before);
    refused(&feed(&mut put(&site, &[]), b""), 1, &["is empty"]);
    assert!(!staging.exists());
    assert_same(&everything(&site), &before);
}

#[test]
fn a_site_that_another_run_is_writing_to() {
    let (_folder, site) = place();
    let bytes = archive();
    let mut holder = begun(&site);
    let output = feed(&mut put(&site, &["--no-wait"]), &bytes);
    refused(&output, 2, &["another run is writing", "hint: "]);
    let mut waiting = put(&site, &[])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let said = waiting.stderr.as_mut().unwrap();
    BufReader::new(said).read_line(&mut line).unwrap();
    assert!(line.contains("waiting for another run"), "{line}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut input = waiting.stdin.take().unwrap();
    input.write_all(&bytes).unwrap();
    drop(input);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(names(&site).len(), 4);
    verify(&site);
}

#[test]
fn tags_move_unless_that_is_forbidden() {
    let (_folder, site) = place();
    let before = everything(&site);
    let other = Archive::docker_20(&[image("good:1", "other")]).tar();
    for forbidden in ["--no-move", "--no-move=good", "--no-move=*:1"] {
        let output = feed(&mut put(&site, &[forbidden]), &other);
        refused(&output, 1, &["`good:1` would move"]);
        assert_same(&everything(&site), &before);
    }
    let output = feed(&mut put(&site, &["--no-move=org/**", "good:1"]), &other);
    succeeded(&output);
    assert!(stderr(&output).contains("moved good:1"), "{output:?}");
}

/// A site remembers how names are made, which APIs it has, and which servers it is for.
#[test]
fn what_the_site_remembers_holds_for_a_put() {
    let folder = TempDir::new("put");
    let site = folder.path().join("site");
    let mut first = stillage(["build", "fixtures/docker-20.10.tar", "--full-names", "-o"]);
    let first = first.arg(&site).args(["--server", "apache"]).output();
    succeeded(&first.unwrap());
    let app = Archive::docker_20(&[image("app:1", "text")]).tar();
    succeeded(&feed(&mut put(&site, &[]), &app));
    let name = "docker.io/library/app";
    assert!(names(&site).contains(&format!("{name}:1")));
    assert!(site.join(format!("v2/{name}/manifests/.htaccess")).exists());
}

#[test]
fn what_it_prints() {
    let (_folder, site) = place();
    let bytes = archive();
    let output = feed(&mut put(&site, &["--json"]), &bytes);
    succeeded(&output);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["references"].as_array().unwrap().len(), 3);
    assert_eq!(printed["changes"]["added"].as_array().unwrap().len(), 3);
    let output = feed(&mut put(&site, &["-q", "quiet/"]), &bytes);
    succeeded(&output);
    assert!(output.stderr.is_empty() && output.stdout.is_empty());
    let output = feed(&mut put(&site, &["quiet/"]), &bytes);
    assert!(stderr(&output).contains("3 references: nothing to do"));
    assert!(
        json(site.join("v2/_catalog"))
            .to_string()
            .contains("quiet/org/one")
    );
}

/// The end of a terminal that a terminal's program holds is one, too.
#[test]
fn a_terminal_is_no_archive() {
    let (folder, site) = place();
    let terminal = || {
        let mut open = File::options();
        Stdio::from(open.read(true).write(true).open("/dev/ptmx").unwrap())
    };
    let before = everything(&site);
    let output = put(&site, &["app:1"]).stdin(terminal()).output().unwrap();
    let words = ["is a terminal", "`docker save app:1 | stillage put SITE`"];
    refused(&output, 2, &words);
    let mut built = stillage(["build", "-", "-o", site.to_str().unwrap()]);
    let words = ["is a terminal", "| stillage build - -o SITE`"];
    refused(&built.stdin(terminal()).output().unwrap(), 2, &words);
    assert_same(&everything(&site), &before);

    let none = folder.path().join("none");
    let output = put(&none, &[]).stdin(Stdio::null()).output().unwrap();
    refused(&output, 1, &["standard input is empty", "hint: did the"]);
    assert!(!none.exists());
}
