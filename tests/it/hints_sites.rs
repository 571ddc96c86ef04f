//! What is said of what is no site, and of what a site does not have.

use std::fs;
use std::process::Command;

use crate::support::place::feed;
use crate::support::site::{build, small_site, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// Arguments, the exit code, and the words that must be said. `$` is a folder with the site of [`small_site`], exports
/// of it, and other things.
pub(crate) type Row = (&'static [&'static str], i32, &'static str);

/// A folder with what the tables name.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new("hints");
    let path = |name: &str| folder.path().join(name);
    fs::rename(small_site().path(), path("site")).unwrap();
    let site = path("site").to_str().unwrap().to_owned();
    fs::copy("fixtures/docker-20.10.tar", path("x.tar")).unwrap();
    let export = |name: &str, more: &[&str]| {
        let output = path(name);
        succeed(stillage(["export", &site, "-o"]).arg(&output).args(more));
    };
    export("e.tar", &[]);
    for name in ["vols", "un", "empty", "up"] {
        fs::create_dir(path(name)).unwrap();
    }
    export("vols/v.tar", &["--max-size", "40K"]);
    assert!(path("vols/v.2.tar").exists());
    let mut tar = Command::new("tar");
    succeed(tar.arg("-xf").arg(path("e.tar")).arg("-C").arg(path("un")));
    let index = fs::read(path("site/index.json")).unwrap();
    fs::write(path("index.json.gz"), crate::support::archive::gzip(&index)).unwrap();
    build(&["fixtures/docker-20.10.tar"], &path("broken"));
    fs::write(path("broken/index.json"), "").unwrap();
    build(&["fixtures/docker-20.10.tar"], &path("up/below"));
    folder
}

pub(crate) fn check(rows: &[Row]) {
    let folder = folder();
    let base = folder.path().to_str().unwrap();
    let mut wrong = Vec::new();
    for (arguments, code, words) in rows {
        let arguments = arguments.iter().map(|word| word.replace('$', base));
        let arguments: Vec<String> = arguments.collect();
        let output = feed(&mut stillage(&arguments), b"");
        let (said, words) = (stderr(&output), words.replace('$', base));
        let is_plain = !said.contains("(os error") && !said.contains("as a value");
        if output.status.code() != Some(*code) || !said.contains(&words) || !is_plain {
            wrong.push(format!(
                "{arguments:?}: {words}\n{:?} {said}",
                output.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_site_is_named() {
    check(&[
        (&["list", "$/none"], 2, "error: `$/none` does not exist"),
        (
            &["serve", "$/none", "--listen", "0"],
            2,
            "error: `$/none` does not exist",
        ),
        (
            &["list", "$/vols"],
            2,
            "not a site but a folder with exports",
        ),
        (&["list", "$/un"], 2, "not a site but an unpacked export"),
        (&["list", "$/e.tar"], 2, "not a site but an export"),
        (&["list", "$/x.tar"], 2, "`stillage build $/x.tar -o SITE`"),
        (
            &["list", "fixtures/oci-layout"],
            2,
            "not a site but an OCI layout",
        ),
        (&["list", "$/empty"], 2, "it has no `index.json`"),
        (&["list", "$/up"], 2, "hint: did you mean `$/up/below`?"),
        (
            &["get", "$/site/v2", "tiny:1"],
            2,
            "is part of the site `$/site`",
        ),
        (
            &["list", "$/site/index.json"],
            2,
            "give the folder of the site: `$/site`",
        ),
        (
            &["list", "https://h.test"],
            2,
            "`stillage verify https://h.test`",
        ),
        (&["verify", "ftp://h.test"], 2, "`http://` or `https://`"),
        (
            &["verify", "http://127.0.0.1:99999"],
            2,
            "`99999` is not a port",
        ),
        (&["verify", "$/site", "tiny:1"], 2, "give one site"),
        (&["list", "$/broken"], 1, "is damaged"),
        (
            &["tag", "$/broken", "tiny:1", "2"],
            1,
            "hint: restore it from a copy",
        ),
        (
            &["diff", "$/site", "$/x.tar"],
            2,
            "neither the `index.json` of a site nor an export",
        ),
        (&["diff", "$/site", "-"], 2, "standard input is empty"),
    ]);
}

#[test]
fn what_another_site_has_is_read_from_many_things() {
    check(&[
        (&["diff", "$/site", "$/vols", "--exit-code"], 0, ""),
        (&["diff", "$/site", "$/un", "--exit-code"], 0, ""),
        (&["diff", "$/site", "$/index.json.gz", "--exit-code"], 0, ""),
        (&["verify", "$/vols"], 0, "no problems found"),
        (
            &["verify", "$/vols/v.1.tar", "$/vols/v.1.tar"],
            0,
            "no problems found in volume 1",
        ),
        (&["verify", "$/vols/v.1.tar"], 0, "note: volume 2 of"),
    ]);
}

#[test]
fn missing_references_are_told() {
    check(&[
        (
            &["get", "$/site", "nosuch:1"],
            2,
            "the site has no `nosuch:1`\nhint: `stillage list $/site`",
        ),
        (
            &["get", "$/site", "a:1", "b:1"],
            2,
            "the site has none of `a:1`, `b:1`",
        ),
        (
            &["rm", "$/site", "nosuch:1"],
            2,
            "the site has no `nosuch:1`\nhint: `stillage list $/site`",
        ),
        (&["rm", "$/site", "tinny"], 2, "did you mean `tiny`?"),
        (
            &["tag", "$/site", "tinny:1", "x"],
            2,
            "did you mean `tiny:1`?",
        ),
        (&["get", "$/site", "tiny"], 2, "did you mean `tiny:1`?"),
        (
            &["get", "$/site", "registry.test/tiny:1"],
            2,
            "did you mean `tiny:1`?",
        ),
        (&["get", "$/site", "5f5e0b"], 2, "at least 12 characters"),
        (&["tag", "$/site", "5f5e0b123456", "x"], 2, "a v1 id"),
        (
            &[
                "get",
                "$/site",
                "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ],
            2,
            "`NAME@sha256:HEX`",
        ),
        (
            &["list", "$/site", "nosuch:1"],
            2,
            "nothing matches `nosuch:1`",
        ),
        (
            &["list", "$/site", "tiny", "tinny:1"],
            2,
            "did you mean `tiny:1`?",
        ),
        (
            &["get", "$/site", "tiny:1", "--platform", "linux/arm64"],
            2,
            "it has linux/amd64",
        ),
        (
            &["rm", "$/site", "tiny:1", "tiny:1", "-n"],
            0,
            "would remove tiny:1",
        ),
        (
            &["rm", "$/site", "sample/hello", "sample/hello:1.0", "-n"],
            0,
            "would remove sample/hello:1.0",
        ),
    ]);
}

#[test]
fn outputs_that_cannot_be_written_are_told() {
    let missing = "cannot write `$/no/x`: the folder `$/no` does not exist";
    check(&[
        (&["get", "$/site", "tiny:1", "-o", "$/no/x"], 2, missing),
        (&["export", "$/site", "-o", "$/no/x"], 2, missing),
        (
            &["get", "$/site", "tiny:1", "--format", "oci", "-o", "$/no/x"],
            2,
            missing,
        ),
        (&["config", "nginx", "$/site", "-o", "$/no/x"], 2, missing),
        (&["export", "$/site", "-o", "$/empty"], 2, "it is a folder"),
        (
            &["clients", "$/site", "--url", "https://m", "-o", "$/x.tar"],
            2,
            "`$/x.tar` is a file, not a folder",
        ),
        (
            &["man", "-o", "$/x.tar"],
            2,
            "`$/x.tar` is a file, not a folder",
        ),
    ]);
}

#[test]
fn what_ssh_does_not_do_is_told() {
    let site = small_site();
    let requests = "is none of `get`, `put`, `list`, `index`, `export` and `export-since`";
    for (command, words) in [
        ("bash -i", requests),
        ("scp -t /tmp", requests),
        ("", requests),
        ("get -x", "it has an option"),
        ("export-since", "standard input is empty"),
    ] {
        let mut stillage = stillage(["ssh-command", "--site"]);
        let stillage = stillage
            .arg(site.path())
            .env("SSH_ORIGINAL_COMMAND", command);
        let said = stderr(&feed(stillage, b""));
        assert!(said.contains(words), "{command}: {said}");
    }
}

/// What a build of the site from itself makes anew need not be deleted, nor do its sources have to be found.
#[test]
fn lists_are_restored_without_sources() {
    let site = small_site();
    let path = site.path().to_str().unwrap();
    fs::remove_file(site.path().join("v2/tiny/tags/list")).unwrap();
    let verified = || stillage(["verify", path]).output().unwrap();
    let said = stderr(&verified());
    assert!(
        said.contains(&format!(
            "hint: `stillage build {path} -o {path}` rebuilds lists"
        )) && !said.contains("sources"),
        "{said}"
    );
    build(&[path], site.path());
    assert!(verified().status.success());
}
