//! What `--json` prints is what its schema says, for every command.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::clients::{installed, script};
use crate::support::servers::builtin;
use crate::support::site::{SMALL, name_of, stderr, stillage};
use crate::support::temp::TempDir;

/// Runs a command, checks what it prints and gives it.
fn checked(schema: &str, args: &[&str]) -> Value {
    let output = stillage(args).arg("--json").output().unwrap();
    conforming(schema, &output)
}

/// The JSON that a command printed, which is what its schema says.
pub(crate) fn conforming(schema: &str, output: &Output) -> Value {
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let file = format!("tests/schemas/{schema}.json");
    let mut check = Command::new(installed(".venv/bin/python"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(script("schema.py"))
        .arg(file)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = check.stdin.take().unwrap();
    stdin.write_all(printed.as_bytes()).unwrap();
    drop(stdin);
    assert!(
        check.wait().unwrap().success(),
        "{schema}: {printed}{}",
        stderr(output)
    );
    serde_json::from_str(&printed).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let folder = TempDir::new("json");
    let path = folder.path().join("site");
    let site = text(&path);
    // A glob that matches nothing gives a note.
    let args = ["build", "-o", site, "--exclude", "none"];
    let first = checked("build", &[&args, &SMALL[..]].concat());
    let count = |value: &Value| value.as_array().unwrap().len();
    assert_eq!(
        count(&first["references"]),
        count(&first["changes"]["added"])
    );
    assert!(count(&first["notes"]) > 0 && first["references"][0]["v1_id"].is_string());
    let tar = folder.path().join("moved.tar");
    let image = Image::new(&["sample/hello:1.0"]).layer("etc/text", "another");
    fs::write(&tar, Archive::docker_20(&[image]).tar()).unwrap();
    let only = ["build", "-o", site, text(&tar)];
    let moved = checked("build", &only);
    assert_eq!(name_of(&moved["changes"]["moved"][0]), "sample/hello:1.0");
    let mirror = checked("build", &[&only, &["--mirror", "--dry-run"][..]].concat());
    assert!(count(&mirror["changes"]["removed"]) > 5);

    let listed = checked("list", &["list", site]);
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row.get("tag").is_none())
    );
    let sizes = checked("list-sizes", &["list", site, "--sizes"]);
    assert!(count(&sizes["repositories"]) > 3);
    let (export, other) = (
        folder.path().join("export.tar"),
        folder.path().join("other"),
    );
    let exported = stillage(["export", site, "-o", text(&export)]).status();
    assert!(exported.unwrap().success());
    checked("build", &["build", text(&export), "-o", text(&other)]);
    let gone = checked("edit", &["remove", text(&other), "zstd", "old:1"]);
    assert!(count(&gone["changes"]["removed"]) > 1);
    checked("edit", &["tag", text(&other), "tiny:1", "own"]);
    let diff = checked("diff", &["diff", site, text(&other)]);
    assert!(count(&diff["added"]) > 1 && count(&diff["removed"]) == 1);
    let diff = checked("diff", &["diff", site, text(&export)]);
    assert!(diff.get("site_lacks").is_none());
    let bytes = fs::read(&export).unwrap();
    fs::write(&export, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(count(&checked("verify", &["verify", text(&export)])), 1);

    let tagged = checked("edit", &["tag", site, "tiny:1", "2"]);
    assert_eq!(name_of(&tagged["changes"]["added"][0]), "tiny:2");
    let removed = checked("edit", &["remove", site, "tiny"]);
    assert!(count(&removed["changes"]["removed"]) > 2);
    checked("prune", &["prune", site, "--untagged", "--grace", "0"]);
    assert_eq!(checked("verify", &["verify", site]), json!([]));
    fs::remove_file(path.join("v2/_catalog")).unwrap();
    fs::write(path.join("v2/other"), "").unwrap();
    let kinds: Vec<Value> = checked("verify", &["verify", site])
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["kind"].clone())
        .collect();
    assert_eq!(kinds, ["missing", "foreign"]);
    let server = builtin::SERVE.start(&path);
    let url = format!("http://127.0.0.1:{}", server.port);
    assert!(count(&checked("verify-url", &["verify", &url])) > 0);
}
