//! What a client may say through SSH: the parser by a table, and each row of it by the program.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use stillage::spec::ssh_command::Request;

use crate::support::archive::Archive;
use crate::support::place::{feed, image};
use crate::support::site::{
    assert_same, build, everything, stderr, stillage, succeed, tree, verify,
};
use crate::support::ssh_commands::hostile;
use crate::support::temp::TempDir;

/// A message that is longer than this fits no screen.
const MAX_MESSAGE: usize = 600;

fn get(references: &[&str]) -> Request {
    Request::Get(references.iter().map(ToString::to_string).collect())
}

fn put(name: &str) -> Request {
    Request::Put(Some(name.parse().unwrap()))
}

#[test]
fn requests_are_understood() {
    let digest = format!("app@sha256:{}", "a".repeat(64));
    let many = ["a"; 63];
    for (command, request) in [
        ("list", Request::List),
        ("index", Request::Index),
        ("export", Request::Export { is_since: false }),
        ("export-since", Request::Export { is_since: true }),
        ("put", Request::Put(None)),
        ("registryput", Request::Put(None)),
        ("put app", put("app")),
        ("put app:1", put("app:1")),
        ("put\torg/app:1.0-rc_1", put("org/app:1.0-rc_1")),
        ("put quay.io/org/app", put("quay.io/org/app")),
        ("put mirror/", put("mirror/")),
        ("put a/b/", put("a/b/")),
        ("registryput app:1", put("app:1")),
        ("put list", put("list")),
        ("get app", get(&["app"])),
        ("get app:1 org/app:2", get(&["app:1", "org/app:2"])),
        ("get\tapp:1\torg/app:2", get(&["app:1", "org/app:2"])),
        ("get app app", get(&["app", "app"])),
        ("registryget app:1", get(&["app:1"])),
        ("get get", get(&["get"])),
        (&format!("get {digest}"), get(&[&digest])),
        (&format!("get {}", many.join(" ")), get(&many)),
    ] {
        assert_eq!(Request::parse(command).unwrap(), request, "{command}");
    }
}

/// The first line is all there is, and it names the reason.
fn check_message(command: &str, message: &str, reason: &str) {
    assert!(message.contains(reason), "{command:?}: {message:?}");
    assert!(message.len() < MAX_MESSAGE, "{command:?}: {message:?}");
    let hostile = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!message.contains(hostile), "{command:?}: {message:?}");
}

#[test]
fn anything_else_is_refused() {
    let rows = hostile();
    assert!(rows.len() >= 100, "{}", rows.len());
    for (command, reason) in rows {
        let error = Request::parse(&command).expect_err(&command);
        assert_eq!(error.chain().count(), 1, "{command:?}");
        check_message(&command, &error.to_string(), reason);
    }
}

/// A folder with a site that has `good:1`, and nothing else.
fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new("ssh-command");
    let site = folder.path().join("site");
    let source = folder.path().join("good.tar");
    fs::write(&source, archive("good:1")).unwrap();
    build(&[source.to_str().unwrap()], &site);
    fs::remove_file(source).unwrap();
    (folder, site)
}

fn archive(name: &str) -> Vec<u8> {
    Archive::docker_20(&[image(name, name)]).tar()
}

/// What sshd runs for a key with these options.
fn ssh(site: &Path, options: &[&str], command: impl AsRef<OsStr>) -> Command {
    let mut ssh = login(site, options);
    ssh.env("SSH_ORIGINAL_COMMAND", command);
    ssh
}

fn login(site: &Path, options: &[&str]) -> Command {
    let mut login = stillage(["ssh-command", "--site", site.to_str().unwrap()]);
    login.args(options).env_remove("SSH_ORIGINAL_COMMAND");
    // Paths relative to the place of the site would be seen there.
    login.current_dir(site.parent().unwrap());
    login
}

/// A command that is refused in one line.
fn refused(command: &str, output: &Output, reason: &str) {
    assert_eq!(output.status.code(), Some(2), "{command:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{command:?}: {output:?}");
    let said = stderr(output);
    assert!(said.starts_with("error: the command `"), "{said:?}");
    let line = said.strip_suffix('\n').unwrap();
    check_message(command, line, reason);
}

/// All rows, with an archive that would be added if one of them were taken for a `put`.
#[test]
fn what_is_refused_changes_nothing() {
    let (folder, site) = place();
    let before = everything(folder.path());
    let new = archive("new:1");
    for (number, (command, reason)) in hostile().iter().enumerate() {
        let options: &[&str] = if number % 4 == 0 {
            &["--read-only"]
        } else {
            &[]
        };
        refused(
            command,
            &feed(&mut ssh(&site, options, command), &new),
            reason,
        );
    }
    for bytes in [&b"list\xff"[..], b"\xff", b"put \xc3", b"get app\xc0\xaf"] {
        let mut command = ssh(&site, &[], OsStr::from_bytes(bytes));
        refused("bytes", &feed(&mut command, &new), "a character other");
    }
    for command in ["put", "put new:1", "registryput", "registryput new/"] {
        let output = feed(&mut ssh(&site, &["--read-only"], command), &new);
        refused(command, &output, "this key can only read");
    }
    assert_same(&everything(folder.path()), &before);
}

#[test]
fn a_login_is_told_what_to_say() {
    let (folder, site) = place();
    let before = everything(folder.path());
    for (options, words, other) in [
        (
            &[][..],
            &[
                "get ",
                "put ",
                "list ",
                "index ",
                "export ",
                "export-since ",
            ][..],
            "config",
        ),
        (
            &["--read-only"],
            &["get ", "list ", "index ", "export ", "export-since "],
            "put ",
        ),
    ] {
        let output = feed(&mut login(&site, options), &archive("new:1"));
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let said = stderr(&output);
        let lines: Vec<&str> = said.lines().map(str::trim_start).collect();
        for word in words {
            assert!(lines.iter().any(|line| line.starts_with(word)), "{said}");
        }
        assert!(!said.contains(other), "{said}");
    }
    assert_same(&everything(folder.path()), &before);
}

#[test]
fn reading_gives_what_the_commands_give() {
    let (folder, site) = place();
    let before = everything(folder.path());
    let listed = succeed(stillage(["list"]).arg(&site));
    for options in [&[][..], &["--read-only"]] {
        let list = succeed(&mut ssh(&site, options, "list"));
        assert_eq!(list.stdout, listed.stdout);
        let index = succeed(&mut ssh(&site, options, "index"));
        assert_eq!(index.stdout, fs::read(site.join("index.json")).unwrap());
        assert!(list.stderr.is_empty() && index.stderr.is_empty());
    }
    assert_same(&everything(folder.path()), &before);
    let none = folder.path().join("none");
    for command in ["list", "index"] {
        let output = ssh(&none, &[], command).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty() && stderr(&output).contains("does not exist"));
    }
    assert!(!none.exists());
}

#[test]
fn a_put_gives_what_the_command_gives() {
    let bytes = archive("org/new:1");
    for (command, name) in [
        ("put", None),
        ("registryput", None),
        ("put app:2", Some("app:2")),
        ("put\tapp", Some("app")),
        ("put mirror/", Some("mirror/")),
    ] {
        let sites = [place(), place()];
        let [(_, one), (_, other)] = &sites;
        let output = feed(&mut ssh(one, &[], command), &bytes);
        assert!(output.status.success(), "{output:?}");
        let mut put = stillage(["put", other.to_str().unwrap()]);
        let by_command = feed(put.args(name), &bytes);
        assert_eq!(stderr(&output), stderr(&by_command));
        assert_same(&tree(one), &tree(other));
        verify(one);
    }
}

#[test]
fn a_key_may_forbid_that_tags_move() {
    let (folder, site) = place();
    let before = everything(folder.path());
    let bytes = archive("other:1");
    for option in ["--no-move", "--no-move=go*"] {
        let output = feed(&mut ssh(&site, &[option], "put good:1"), &bytes);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("`good:1` would move"));
        assert_same(&everything(folder.path()), &before);
    }
    let output = feed(&mut ssh(&site, &["--no-move=go*"], "put"), &bytes);
    assert!(output.status.success(), "{output:?}");
}
