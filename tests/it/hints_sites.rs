//! What is said of wrong usages: of commands and options, of what is no site, and of what a site does not have.

use std::fs;
use std::process::Command;

use crate::support::place::feed;
use crate::support::site::{build, small_site, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// Arguments, the exit code, and the words that must be said. `$` is a folder with the site of [`small_site`], exports
/// of it, and other things.
type Row = (&'static [&'static str], i32, &'static str);

/// A folder with what the tables name.
fn folder() -> TempDir {
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

fn check(rows: &[Row]) {
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
fn words_of_other_tools_are_understood() {
    check(&[
        (&["images"], 2, "did you mean `stillage list`?"),
        (&["push"], 2, "did you mean `stillage publish`?"),
        (&["pull"], 2, "did you mean `stillage get`?"),
        (&["load"], 2, "did you mean `stillage build`?"),
        (&["untag"], 2, "did you mean `stillage remove`?"),
        (&["gc"], 2, "did you mean `stillage prune`?"),
        (&["check"], 2, "did you mean `stillage verify`?"),
        (&["version"], 2, "did you mean `stillage --version`?"),
        (&["$/x.tar"], 2, "`stillage build $/x.tar -o SITE`"),
        (&["biuld"], 2, "'build'"),
        (&["x\u{1b}[31m"], 2, "'x\\x1b[31m'"),
        (&["serve", "$/site", "--port", "80"], 2, "`--listen`"),
        (
            &["build", "$/x.tar", "-t", "a:1", "-o", "$/s"],
            2,
            "`SOURCE=NAME:TAG`",
        ),
        (
            &["put", "$/site", "--name", "a:1"],
            2,
            "`stillage put SITE NAME:TAG`",
        ),
        (&["list", "$/site", "--format", "json"], 2, "`--json`"),
        (&["rm", "-f", "$/site", "tiny:1"], 2, "`--ignore-missing`"),
        (
            &["--verbose", "list", "$/site"],
            2,
            "`stillage list --verbose`",
        ),
        (&["list", "-v", "$/site"], 2, "unexpected argument '-v'"),
    ]);
}

#[test]
fn arguments_in_the_wrong_place_are_understood() {
    check(&[
        (&["build", "$/x.tar", "$/s1"], 2, "did you mean `-o $/s1`?"),
        (&["build", "$/x.tar"], 2, "`-o SITE`"),
        (
            &["build", "-=app", "-o", "$/s"],
            2,
            "`docker-archive:-=app`",
        ),
        (&["tag", "a:1", "b:2"], 2, "`stillage tag SITE a:1 2`"),
        (
            &["tag", "tiny:1", "b:2", "c"],
            2,
            "the folder of the site comes first",
        ),
        (&["rm", "tiny:1"], 2, "`stillage remove SITE tiny:1`"),
        (
            &["get", "tiny:1", "$/site"],
            2,
            "the folder of the site comes first",
        ),
        (
            &["serve", "$/site", "5000"],
            2,
            "did you mean `--listen 5000`?",
        ),
        (
            &["config", "rsync", "$/site", "web:/srv"],
            2,
            "`sh FILE web:/srv`",
        ),
        (
            &["clients", "$/site", "https://m"],
            2,
            "did you mean `--url https://m`?",
        ),
        (&["man", "build"], 2, "did you mean `stillage help build`"),
        (&["export", "$/site", "tiny:1"], 2, "`--only tiny:1`"),
        (
            &["export", "$/site", "tiny:1"],
            2,
            "unexpected argument 'tiny:1'",
        ),
    ]);
}

#[test]
fn wrong_numbers_are_told() {
    check(&[
        (
            &["build", "-j", "-1", "$/x.tar", "-o", "$/s"],
            2,
            "it must not be negative",
        ),
        (
            &["export", "$/site", "--max-size", "-1G", "-o", "$/f"],
            2,
            "it must not be negative",
        ),
        (
            &["prune", "$/site", "--keep-last", "-1"],
            2,
            "it must not be negative",
        ),
        (
            &["prune", "$/site", "--grace", "-1h"],
            2,
            "it must not be negative",
        ),
        (
            &["build", "-j", "x", "$/x.tar", "-o", "$/s"],
            2,
            "it is not a number",
        ),
        (
            &["build", "-j", "2000", "$/x.tar", "-o", "$/s"],
            2,
            "from 0 to 1024",
        ),
        (&["prune", "$/site", "--keep-last", "3="], 2, "has no glob"),
        (
            &["prune", "$/site", "--keep-last", "x"],
            2,
            "give a number, or N=GLOB",
        ),
        (&["prune", "$/site", "--keep-last", "tiny=3"], 2, "`3=tiny`"),
        (
            &["prune", "$/site", "--keep-last", "3=no", "-n"],
            0,
            "`--keep-last 3=no` matches nothing",
        ),
        (&["prune", "$/site", "--grace", "5"], 2, "`5h`"),
        (
            &["prune", "$/site", "--older-than", "2020-01-01"],
            2,
            "an age such as 90d",
        ),
        (
            &["serve", "$/site", "--listen", "99999"],
            2,
            "ports are 0 to 65535",
        ),
        (
            &["serve", "$/site", "--listen", "abc"],
            2,
            "`abc` is not a port",
        ),
        (
            &["serve", "$/site", "--listen", "http://x:1"],
            2,
            "without `http://`",
        ),
        (
            &["serve", "$/site", "--listen", "localhost:"],
            2,
            "the port is missing",
        ),
        (
            &["config", "nginx", "$/site", "--listen", "abc:80"],
            0,
            "note: `abc` is a name",
        ),
    ]);
}

#[test]
fn options_without_effect_are_refused() {
    check(&[
        (
            &["config", "rsync", "$/site", "--listen", "80"],
            2,
            "`rsync` does not support `--listen`",
        ),
        (
            &["config", "caddy", "$/site", "--auth", "basic"],
            2,
            "hint: `nginx` does",
        ),
        (
            &["export", "$/site", "--insecure", "-o", "$/f"],
            2,
            "`--insecure` only applies to the URL",
        ),
        (
            &["verify", "$/site", "-j", "2"],
            2,
            "`--jobs` only applies to a URL",
        ),
        (
            &["verify", "$/e.tar", "--deep"],
            2,
            "`--deep` does not apply to exports",
        ),
        (
            &["publish", "$/site", "s3://bucket", "--force"],
            2,
            "`--force` only applies",
        ),
        (
            &["publish", "$/site", "s3://My_Bucket"],
            2,
            "is not the name of a bucket of AWS",
        ),
    ]);
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
            "hint: `stillage build {path} -o {path}` makes lists"
        )) && !said.contains("sources"),
        "{said}"
    );
    build(&[path], site.path());
    assert!(verified().status.success());
}
