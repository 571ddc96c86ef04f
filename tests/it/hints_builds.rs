//! What is said of sites and names that a build cannot take, and of what it leaves out.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::hints_sources::{DOCKER, check, pipe_nothing};
use crate::support::archive::{Archive, Image};
use crate::support::place::{Place, feed, image};
use crate::support::site::{build, copy_program, stderr, stillage, tree};
use crate::support::temp::TempDir;

#[test]
fn selections_that_leave_nothing() {
    let folder = TempDir::new("hints");
    fs::copy(DOCKER, folder.path().join("x.tar")).unwrap();
    check(
        folder.path(),
        &[
            (
                &["T/x.tar", "--only", "hello"],
                2,
                &["did you mean `--only '**/hello'`?"],
            ),
            (
                &["T/x.tar", "--only", "tiny,sample/hello"],
                2,
                &["`--only tiny --only sample/hello`"],
            ),
            (
                &["T/x.tar", "--only", "["],
                2,
                &["`--only [`: it is not a glob: unclosed"],
            ),
            (
                &["T/x.tar", "--exclude", "{"],
                2,
                &["`--exclude {`: it is not a glob"],
            ),
            (
                &["T/x.tar", "--platform", "amd64"],
                2,
                &["did you mean `linux/amd64`?"],
            ),
            (
                &["T/x.tar", "--platform", "linux/x86_64"],
                2,
                &["did you mean `linux/amd64`?"],
            ),
            (
                &["T/x.tar", "--platform", "linux/aarch64"],
                2,
                &["did you mean `linux/arm64`?"],
            ),
            (
                &[
                    "fixtures/oci-layout-multiarch",
                    "--platform",
                    "linux/riscv64",
                ],
                2,
                &["no image for linux/riscv64; it has linux/amd64, linux/arm64/v8"],
            ),
            (
                &["T/x.tar", "--platform", "linux/arm64"],
                0,
                &[
                    "note: `--platform` selects from indexes",
                    "linux/amd64: sample/child:2.0",
                ],
            ),
        ],
    );
}

#[test]
fn conflicts_are_listed() {
    let place = Place::new();
    let images = |text: &str| -> Vec<Image> {
        (0..14)
            .map(|number| image(&format!("app:{number}"), &format!("{text} {number}")))
            .collect()
    };
    let one = place.tar("one.tar", &images("one"));
    let other = place.tar("other.tar", &images("other"));
    let many = pipe_nothing(&[one.clone(), other.clone()], &place.site());
    let said = stderr(&many);
    assert_eq!(many.status.code(), Some(1), "{said}");
    assert!(said.contains("14 tags have different images:\n  `app:0` is sha256:"));
    assert!(
        said.contains("\n  and 4 more\n") && said.lines().count() == 13,
        "{said}"
    );
    let digest = said.split("sha256:").nth(1).unwrap();
    assert_eq!(digest.find(' '), Some(12), "{said}");

    let hosts = |names: [&str; 2]| names.map(|name| image(&format!("{name}:1"), name)).to_vec();
    let of_hosts = place.tar("hosts.tar", &hosts(["quay.io/app", "ghcr.io/app"]));
    let named = place.tar("named.tar", &hosts(["x", "y"]));
    for (source, is_by_host) in [
        (of_hosts.clone(), true),
        (of_hosts + "=z", false),
        (named + "=z", false),
    ] {
        let said = stderr(&pipe_nothing(std::slice::from_ref(&source), &place.site()));
        assert!(said.contains("is both"), "{source}: {said}");
        assert_eq!(said.contains("--keep-host"), is_by_host, "{source}: {said}");
    }
}

#[test]
fn a_site_is_not_made_inside_a_source() {
    let place = Place::new();
    let layout = place.layout("layout", &[image("app:1", "one")]);
    place.build(&[&layout]);
    let site = place.site().to_str().unwrap().to_owned();
    for (source, inside) in [
        (layout.clone(), layout + "/site"),
        (site.clone(), site.clone() + "/sub"),
    ] {
        let before = tree(Path::new(&source));
        let output = pipe_nothing(&[source.clone(), "-o".into(), inside], &place.site());
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("would become part of"),
            "{}",
            stderr(&output)
        );
        assert_eq!(tree(Path::new(&source)), before);
    }
    place.build(&[&site]);
    // A folder of sources may have the site among them.
    let all = place.path("all");
    fs::create_dir(&all).unwrap();
    fs::copy(DOCKER, all.join("x.tar")).unwrap();
    build(&[all.to_str().unwrap()], &all.join("site"));
}

/// A first build that was interrupted goes on; a site that has lost its catalogue would lose all its names.
#[test]
fn a_site_without_its_catalogue_is_left_alone() {
    let place = Place::new();
    let one = place.tar("one.tar", &[image("app:1", "one")]);
    let other = place.tar("other.tar", &[image("tool:1", "two")]);
    place.build(&[&one]);
    fs::remove_file(place.site().join("index.json")).unwrap();
    let before = tree(&place.site());
    place.refused(
        &[&other],
        2,
        "has the content of a site, but no `index.json`",
    );
    place.refused(&[&other, "--dry-run"], 2, "hint: restore `index.json`");
    assert_eq!(tree(&place.site()), before);
    fs::write(place.site().join(".stillage/pending"), "app").unwrap();
    place.build(&[&one]);
    // Whoever begins anew removes all that is seen.
    for name in fs::read_dir(place.site()).unwrap() {
        let path = name.unwrap().path();
        if path.is_dir() && !path.ends_with(".stillage") {
            fs::remove_dir_all(path).unwrap();
        } else if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    place.build(&[&other]);
}

#[test]
fn what_put_is_given_for_a_name_or_a_site() {
    let place = Place::new();
    let archive = place.tar("one.tar", &[image("app:1", "one")]);
    place.build(&[&archive]);
    let site = place.site();
    let site = site.to_str().unwrap();
    for (args, words) in [
        (
            ["put", site, DOCKER],
            [
                "`put` reads standard input",
                "stillage build fixtures/docker-20.10.tar -o",
            ],
        ),
        (
            ["put", site, &archive],
            ["`put` reads standard input", "stillage build"],
        ),
        (
            ["put", "-", "app"],
            ["a site is a folder", "stillage export SITE"],
        ),
    ] {
        let output = feed(&mut stillage(args), b"");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{args:?}: {said}"
        );
    }
    let mut swapped = stillage(["put", "app:1", "site"]);
    let output = feed(swapped.current_dir(Path::new(site).parent().unwrap()), b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the site comes first: `stillage put site app:1`"));
}

/// Root reads everything, so it becomes somebody else for this.
#[test]
fn a_folder_that_cannot_be_opened() {
    let folder = TempDir::new("hints");
    let private = folder.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000)).unwrap();
    let program = folder.path().join("stillage");
    copy_program(&program);
    let is_root = fs::metadata(&private).unwrap().uid() == 0;
    let mut command = if is_root {
        chown(folder.path(), Some(65534), Some(65534)).unwrap();
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        setpriv.arg(&program);
        setpriv
    } else {
        Command::new(&program)
    };
    let site = folder.path().join("site");
    let output = command.arg("build").arg(&private).arg("-o").arg(site);
    let output = output.output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("error: cannot open the folder `"),
        "{said}"
    );
}

#[test]
fn a_path_of_any_bytes() {
    let folder = TempDir::new("hints");
    let path = folder
        .path()
        .join(std::ffi::OsString::from_vec(b"bad\xff.tar".to_vec()));
    fs::copy(DOCKER, &path).unwrap();
    let mut command = stillage(["build", "-o"]);
    let output = command
        .arg(folder.path().join("site"))
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A note names the path once, and escapes it once.
#[test]
fn notes_of_a_folder_name_each_path_once() {
    let place = Place::new();
    let whole = Archive::docker_20(&[image("app:1", "one")]);
    let bad = Archive::default().file("manifest.json", "{");
    let odd = place.path("all/x`\n");
    fs::create_dir_all(&odd).unwrap();
    fs::write(odd.join("good.tar"), whole.tar()).unwrap();
    fs::write(odd.join("cut.tar"), &whole.tar()[..1500]).unwrap();
    fs::write(odd.join("bad.tar"), bad.tar()).unwrap();
    let nameless = Archive::docker_20(&[Image::new(&[]).layer("a", "b")]);
    fs::write(odd.join("nameless.tar"), nameless.tar()).unwrap();
    let output = place.build(&[place.path("all").to_str().unwrap()]);
    let said = stderr(&output);
    for name in ["cut", "bad", "nameless"] {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("{name}.tar`")));
        let line = line.unwrap_or_else(|| panic!("{name}: {said}"));
        assert_eq!(line.matches("x\\u{60}\\n").count(), 1, "{line}");
        assert_eq!(line.matches("\\u{60}").count(), 1, "{line}");
    }
    assert!(
        said.contains("is left out: cannot read `manifest.json`: "),
        "{said}"
    );
}

/// The note says whom it concerns.
#[test]
fn images_with_one_v1_id_are_named() {
    let place = Place::new();
    let archive = |name: &str, author: &str| {
        let image = image("app:1", "one");
        let json = format!("{}/json", Archive::v1_id(&image, 0));
        let archive = Archive::docker_1(&[image]);
        let path = place.path(name);
        let archive = archive.edit_json(&json, |json| json["author"] = author.into());
        fs::write(&path, archive.tar()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    place.build(&[&archive("one.tar", "one")]);
    let said = stderr(&place.build(&[&archive("two.tar", "two")]));
    assert!(
        said.contains("app:1: the site has other content for its v1 image"),
        "{said}"
    );
    assert!(said.contains("newer clients are not affected"), "{said}");
}
