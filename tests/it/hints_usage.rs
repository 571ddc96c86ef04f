//! What is said of wrong commands, options and numbers of arguments.

use std::fs;

use crate::hints_sites::{check, folder};
use crate::support::site::{stderr, stillage};

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
            &["config", "rsync", "$/site", "--prefix", "/hub"],
            2,
            "`rsync` does not support `--prefix`",
        ),
        (
            &["config", "caddy", "$/site", "--auth", "basic"],
            2,
            "hint: only `nginx` supports it",
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

/// What would do nothing, or something else, with success.
#[test]
fn harmful_mistakes_are_refused() {
    check(&[
        (
            &["-v", "build", "x.tar", "-o", "$/new"],
            2,
            "options come after the command: `stillage build -v`",
        ),
        (
            &["build", "fixtures/docker-20.10.tar", "-o", "s3://bucket"],
            2,
            "stillage publish SITE s3://bucket`",
        ),
        (
            &["build", "fixtures/docker-20.10.tar", "-o", "$/site/sub"],
            2,
            "would become part of the site",
        ),
        (&["list", "s3://bucket"], 2, "is a bucket"),
        (
            &["publish", "s3://bucket", "$/site"],
            2,
            "the folder of the site comes first",
        ),
        (
            &["publish", "s3://bucket"],
            2,
            "the folder of the site comes first",
        ),
        (
            &["build", "x.tar", "--compress", "zstd"],
            2,
            "with `-o SITE`",
        ),
        (&["build", "x.tar", "layout.tar"], 2, "with `-o SITE`"),
        (
            &["tag", "$/site", "tiny:1", "tiny:2"],
            2,
            "give the tag alone, `2`",
        ),
        (
            &["serve", "$/site", "$/other"],
            2,
            "one site is served at a time",
        ),
        (&["list", "$/site", "hello"], 2, "`**/hello`"),
    ]);
    let folder = folder();
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (site, base) = (text("site"), text("base.tar"));
    let export = |more: &[&str]| {
        let mut command = stillage(["export", site.as_str(), "-o", base.as_str()]);
        command.args(more).output().unwrap()
    };
    assert!(export(&[]).status.success());
    let bytes = fs::read(&base).unwrap();
    let refused = export(&["--since", base.as_str()]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(fs::read(&base).unwrap() == bytes);
}

/// A site of a format that is not known is not called damaged, and one that has lost its catalogue is no layout.
#[test]
fn sites_that_cannot_be_read_are_told_apart() {
    let folder = folder();
    let site = folder.path().join("site");
    let said = || stderr(&stillage(["list"]).arg(&site).output().unwrap());
    let index = site.join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    let newer = text.replace(
        "\"org.stillage.format\":\"2\"",
        "\"org.stillage.format\":\"99\"",
    );
    assert_ne!(newer, text);
    fs::write(&index, newer).unwrap();
    assert!(
        said().contains("format `99`") && !said().contains("damaged"),
        "{}",
        said()
    );
    fs::remove_file(&index).unwrap();
    assert!(
        said().contains("has the content of a site, but no `index.json`"),
        "{}",
        said()
    );
}

/// The command of a hint can be pasted.
#[test]
fn paths_in_commands_are_quoted() {
    let folder = folder();
    let path = folder.path().join("un packed");
    fs::rename(folder.path().join("un"), &path).unwrap();
    let said = stderr(&stillage(["list"]).arg(&path).output().unwrap());
    let command = format!("`stillage build '{}' -o SITE`", path.display());
    assert!(said.contains(&command), "{said}");
}
