//! nginx with `stillage config nginx --exact`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::archive::{Archive, Image};
use crate::support::http::{self, Response};
use crate::support::servers::Running;
use crate::support::servers::nginx::EXACT;
use crate::support::site::{build, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// An archive of one image under some names.
fn archive(folder: &TempDir, text: &str, names: &[&str]) -> String {
    let path = folder.path().join(text);
    let image = Image::new(names).layer("etc/text", text);
    std::fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn manifest(running: &Running, reference: &str) -> Response {
    http::get(running.port, &format!("/v2/app/manifests/{reference}"))
}

/// Writes the maps anew and waits until nginx has read them.
fn reload(running: &Running, site: &Path, changed: impl Fn() -> bool) {
    let file = running.dir().join("config");
    let listen = format!("127.0.0.1:{}", running.port);
    let config = ["config", "nginx", "--exact", "--listen", &listen, "-o"];
    succeed(stillage(config).arg(file).arg(site));
    running.reload();
    let start = Instant::now();
    // A worker of before may take another request or two.
    while !(0..50).all(|_| changed()) {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "{}",
            running.log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn tags_move_at_the_reload_and_their_digest_is_always_that_of_the_body() {
    let folder = TempDir::new("exact");
    let site = folder.path().join("site");
    build(&[archive(&folder, "one", &["app:moving"])], &site);
    let running = EXACT.start(&site);
    let check = |answer: &Response| {
        assert_eq!(answer.status, 200);
        let digest = crate::support::files::digest(&answer.body);
        assert_eq!(
            answer.header("Docker-Content-Digest"),
            Some(digest.as_str())
        );
        digest
    };
    let one = check(&manifest(&running, "moving"));
    build(
        &[archive(&folder, "two", &["app:moving", "app:new"])],
        &site,
    );
    assert_eq!(check(&manifest(&running, "moving")), one);
    assert_eq!(manifest(&running, "new").status, 404);
    reload(&running, &site, || manifest(&running, "new").status == 200);
    let two = check(&manifest(&running, "moving"));
    assert!(two != one && check(&manifest(&running, "new")) == two);
}

#[test]
fn tags_that_differ_by_case_are_different_tags() {
    let folder = TempDir::new("exact");
    let site = folder.path().join("site");
    let names = ["V1", "v1", "V-1", "mixed.Case_x"];
    let sources: Vec<String> = names
        .iter()
        .map(|tag| archive(&folder, tag, &[format!("app:{tag}").as_str()]))
        .collect();
    build(&sources, &site);
    let running = EXACT.start(&site);
    for tag in names {
        let file = std::fs::read(site.join("v2/app/manifests").join(tag)).unwrap();
        assert_eq!(manifest(&running, tag).body, file, "{tag}");
    }
    for tag in ["v-1", "MIXED.CASE_X", "none", "V1=sha256", "v1%20v1", "v1 "] {
        let tag = tag.replace(' ', "%20");
        assert_eq!(manifest(&running, &tag).status, 404, "{tag}");
    }
    assert_eq!(http::get(running.port, "/v2/APP/manifests/v1").status, 404);
}

#[test]
fn two_files_need_a_name() {
    let folder = TempDir::new("exact");
    let site: PathBuf = folder.path().join("site");
    build(&["fixtures/docker-20.10.tar"], &site);
    let refused = |arguments: &[&str], words: &str| {
        let output = stillage(["config"])
            .args(arguments)
            .arg(&site)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    };
    refused(&["nginx", "--exact"], "name the first with `-o FILE`");
    refused(
        &["headers", "--exact"],
        "`headers` does not support `--exact`",
    );
    refused(&["iis"], "possible values: nginx");
    refused(&["nginx", "--listen", "::1"], "IPv6 address in brackets");
}
