//! Sources that other programs make while the test runs.

use std::fs;

use serde_json::json;

use crate::support::clients::Docker;
use crate::support::files::digest;
use crate::support::place::{Place, image, pipe};
use crate::support::process::{run, tool};
use crate::support::site::{assert_same, build, stderr, tree};

/// `skopeo sync` lays out what it copies by names.
#[test]
fn what_skopeo_sync_wrote_is_named_by_its_paths() {
    let registry = crate::support::distribution::Distribution::start();
    let place = Place::new();
    let layout = place.layout("layout", &[image("app:1", "app")]);
    let remote = format!("127.0.0.1:{}", registry.port);
    let skopeo = |args: &[&str]| {
        run(std::process::Command::new(tool("skopeo"))
            .arg("--insecure-policy")
            .args(args))
        .unwrap()
    };
    skopeo(&[
        "copy",
        "-q",
        "--dest-tls-verify=false",
        &format!("oci:{layout}:app:1"),
        &format!("docker://{remote}/org/app:1"),
    ]);
    let synced = place.path("synced");
    fs::create_dir(&synced).unwrap();
    let (from, to) = (format!("{remote}/org/app"), synced.to_str().unwrap());
    skopeo(&[
        "sync",
        "--src-tls-verify=false",
        "--scoped",
        "--src",
        "docker",
        "--dest",
        "dir",
        &from,
        to,
    ]);
    place.build(&[to]);
    assert_eq!(place.catalog(), json!(["org/app"]));
    assert_eq!(
        digest(&place.read("v2/org/app/manifests/1")),
        image("app:1", "app").manifest_digest()
    );
}

/// `docker save | stillage build -`
#[test]
fn docker_save_can_be_piped() {
    let place = Place::new();
    let docker = Docker::start();
    run(docker
        .command()
        .args(["load", "--input", "fixtures/docker-20.10.tar"])
        .current_dir(env!("CARGO_MANIFEST_DIR")))
    .unwrap();
    let saved = docker
        .command()
        .args([
            "save",
            "sample/hello:1.0",
            "sample/hello:latest",
            "sample/child:2.0",
            "tiny:1",
        ])
        .output()
        .unwrap();
    let output = pipe(&saved.stdout, &["-", "-o", place.site().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = place.path("expected");
    build(&["fixtures/docker-20.10.tar"], &expected);
    assert_same(&tree(&place.site()), &tree(&expected));
}
