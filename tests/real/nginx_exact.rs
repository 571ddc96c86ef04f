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
fn tags_need_no_reload_and_lengths_of_layers_do() {
    let folder = TempDir::new("exact");
    let site = folder.path().join("site");
    build(&[archive(&folder, "one", &["app:1"])], &site);
    let running = EXACT.start(&site);
    let length = |tag: &str| {
        let id = crate::support::site::json(site.join(format!("v1/repositories/app/tags/{tag}")));
        let path = format!("/v1/images/{}/json", id.as_str().unwrap());
        let answer = http::get(running.port, &path);
        answer.header("X-Docker-Size").map(str::to_owned)
    };
    assert!(length("1").is_some());
    build(&[archive(&folder, "two", &["app:2"])], &site);
    assert_eq!(manifest(&running, "2").status, 200);
    assert_eq!(length("2"), None);
    reload(&running, &site, || length("2").is_some());
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
    refused(&["nginx", "--listen", "::1"], "of IPv6 in brackets");
}
