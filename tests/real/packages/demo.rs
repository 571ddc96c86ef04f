//! The demo, and the image that it serves, run as its text says.

use std::fs;
use std::path::Path;

use super::{IMAGE, package};
use crate::support::clients::Docker;
use crate::support::http;
use crate::support::process::{Daemon, run, tool};
use crate::support::servers::free_port;
use crate::support::temp::TempDir;

#[test]
#[ignore = "compiles a release"]
fn the_image_of_the_demo_runs() {
    // What takes minutes comes before what is waited for.
    run(&mut package(&["--binary"])).unwrap();
    let folder = TempDir::new("demo");
    let (port, log) = (free_port(), folder.path().join("log"));
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo.sh");
    let site = folder.path().join("site");
    #[rustfmt::skip]
    let args = [
        &format!("PORT={port}"), &format!("SITE={}", site.display()), demo.to_str().unwrap(),
    ];
    let args = args.map(|arg| arg as &str);
    let text = || fs::read_to_string(&log).unwrap_or_default();
    let demo = Daemon::start(&tool("env"), &args, &log).wait_until(|| text().contains("Ctrl-C"));
    let text = text();
    let line = text.lines().find(|line| line.contains("docker run"));
    let line = line.unwrap_or_else(|| panic!("{text}")).trim();
    let image = format!("127.0.0.1:{port}/{IMAGE}");
    assert_eq!(line, format!("docker run --rm {image} --version"));

    let docker = Docker::start();
    let mut words = line.split(' ').skip(1);
    let printed = run(docker.command().args(words.by_ref())).unwrap();
    assert_eq!(
        printed,
        concat!("stillage ", env!("CARGO_PKG_VERSION"), "\n")
    );
    // It works on folders of the machine.
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mounts = [
        format!("--volume={}:/work:ro", fixtures.display()),
        format!("--volume={}:/out", folder.path().display()),
    ];
    let build = ["build", "docker-20.10.tar", "-o", "/out/built"];
    run(docker
        .command()
        .args(["run", "--rm"])
        .args(mounts)
        .arg(&image)
        .args(build))
    .unwrap();
    assert!(folder.path().join("built/index.json").is_file());
    drop(demo);
    assert!(
        http::send(port, "GET", "/v2/", &[]).is_err(),
        "the demo still serves"
    );
}
