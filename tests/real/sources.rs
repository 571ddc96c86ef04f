//! Sources that other programs make while the test runs.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::clients::{Buildah, Client as _, Ctr, Docker, Podman, Skopeo};
use crate::support::files::digest;
use crate::support::place::{Place, image, pipe};
use crate::support::process::{run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::{assert_same, build, stderr, tree};

/// `skopeo sync` lays out what it copies by names.
#[test]
fn what_skopeo_sync_wrote_is_named_by_its_paths() {
    let registry = crate::support::distribution::Distribution::start();
    let place = Place::new();
    let layout = place.layout("layout", &[image("app:1", "app")]);
    let remote = format!("127.0.0.1:{}", registry.port);
    let skopeo = |args: &[&str]| {
        run(Command::new(tool("skopeo"))
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

/// What the tools of Debian write of one image, in each of their formats, has its layer and its name.
#[test]
fn what_tools_write_is_read() {
    let place = Place::new();
    let layout = place.layout("layout", &[image("app:1", "app")]);
    let from = format!("oci:{layout}:app:1");
    let saved = place.tar("saved.tar", &[image("app:1", "app")]);
    let at = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let (podman, buildah, ctr) = (Podman::new(), Buildah::new(), Ctr::start());
    let do_all = |command: &dyn Fn() -> Command, calls: &[&[&str]]| {
        for call in calls {
            run(command().args(*call)).unwrap();
        }
    };
    let skopeo = || {
        let mut command = Command::new(tool("skopeo"));
        command.arg("--insecure-policy");
        command
    };
    let mut written = Vec::new();
    let pulled = run(buildah.command().args(["pull", "-q", &from])).unwrap();
    let id = pulled.trim();
    for (format, suffix) in [
        ("docker-archive", ":app:1"),
        ("oci-archive", ":app:1"),
        ("oci", ":app:1"),
        ("dir", ""),
    ] {
        let path = |tool: &str| at(&format!("{tool}-{format}"));
        let to = |tool: &str| format!("{format}:{}{suffix}", path(tool));
        do_all(&skopeo, &[&["copy", "-q", &from, &to("skopeo")]]);
        do_all(
            &|| buildah.command(),
            &[&["push", "-q", id, &to("buildah")]],
        );
        for tool in ["skopeo", "buildah"] {
            written.push((path(tool), format == "dir"));
        }
    }
    do_all(&|| podman.command(), &[&["load", "-q", "-i", &saved]]);
    for format in ["docker-archive", "oci-archive", "docker-dir", "oci-dir"] {
        let path = at(&format!("podman-{format}"));
        let save = [
            "save",
            "-q",
            "--format",
            format,
            "-o",
            &path,
            "localhost/app:1",
        ];
        do_all(&|| podman.command(), &[&save]);
        // podman names none of these.
        written.push((path, format != "docker-archive"));
    }
    let path = at("ctr.tar");
    do_all(
        &|| ctr.command(),
        &[
            &["images", "import", "--no-unpack", &saved],
            &["images", "export", &path, "docker.io/library/app:1"],
        ],
    );
    written.push((path, false));
    for (path, is_nameless) in written {
        let site = Place::new();
        let name = if is_nameless { "=app:1" } else { "" };
        site.build(&[&format!("{path}{name}")]);
        let manifest: Value = serde_json::from_slice(&site.read("v2/app/manifests/1")).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = site.read(&format!("v2/app/blobs/{config}"));
        let config: Value = serde_json::from_slice(&config).unwrap();
        let layer = digest(&image("", "app").layers[0]);
        assert_eq!(config["rootfs"]["diff_ids"], json!([layer]), "{path}");
        assert!(site.has("v1/repositories/library/app/tags/1"), "{path}");
    }
}

/// umoci makes images of its own.
#[test]
fn what_umoci_makes_is_read() {
    let place = Place::new();
    let layout = place.path("layout").to_str().unwrap().to_owned();
    let umoci = |args: &[&str]| run(Command::new(tool("umoci")).args(args)).unwrap();
    umoci(&["init", "--layout", &layout]);
    place.refused(&[&layout], 1, "holds no image");
    let image = format!("{layout}:1");
    umoci(&["new", "--image", &image]);
    let text = place.path("text");
    fs::write(&text, "umoci").unwrap();
    umoci(&[
        "insert",
        "--rootless",
        "--image",
        &image,
        text.to_str().unwrap(),
        "/etc/text",
    ]);
    place.build(&[&format!("{layout}=app")]);
    let nginx = Nginx::start(&place.site());
    let skopeo = Skopeo::new();
    let pulled = skopeo
        .pull(&format!("127.0.0.1:{}/app:1", nginx.port), None)
        .unwrap();
    assert_eq!(pulled.diff_ids.len(), 1);
}
