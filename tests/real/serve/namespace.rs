//! The built-in server as a mirror of other registries, with a site of full names.

use std::fs;
use std::path::PathBuf;

use super::body;
use crate::support::archive::{Archive, Image};
use crate::support::clients::Ctr;
use crate::support::http;
use crate::support::servers::builtin::SERVE;
use crate::support::site::{stillage, succeed};
use crate::support::temp::TempDir;

/// A site with the full names of these images.
fn full_site(folder: &TempDir, names: &[&str]) -> PathBuf {
    let archive = folder.path().join("archive.tar");
    let images = names
        .iter()
        .map(|name| Image::new(&[*name]).layer("etc/name", name));
    let images: Vec<_> = images.collect();
    fs::write(&archive, Archive::docker_20(&images).tar()).unwrap();
    let site = folder.path().join("site");
    let mut build = stillage(["build", "--full-names", "-o"]);
    succeed(build.arg(&site).arg(&archive));
    site
}

#[test]
fn a_site_mirrors_many_registries() {
    let folder = TempDir::new("serve");
    let names = [
        "app:1",
        "app:2",
        "quay.io/library/app:1",
        "quay.io/library/app:2",
    ];
    let site = full_site(&folder, &names);
    let running = SERVE.start(&site);
    let digest = |path: &str| {
        let answer = http::get(running.port, path);
        let digest = answer.header("Docker-Content-Digest").map(str::to_owned);
        let namespace = answer.header("OCI-Namespace").map(str::to_owned);
        (answer.status, digest, namespace)
    };
    let [hub, quay] = ["docker.io", "quay.io"].map(|host| {
        let (status, digest, namespace) = digest(&format!("/v2/{host}/library/app/manifests/1"));
        assert_eq!((status, namespace), (200, None));
        digest
    });
    assert_ne!(hub, quay);
    let ns = |ns: &str| Some(ns.to_owned());
    for (path, expected) in [
        ("library/app/manifests/1", (200, hub.clone(), None)),
        (
            "library/app/manifests/1?ns=docker.io",
            (200, hub.clone(), ns("docker.io")),
        ),
        (
            "docker.io/library/app/manifests/1?ns=docker.io",
            (200, hub.clone(), ns("docker.io")),
        ),
        (
            "library/app/manifests/1?ns=quay.io%3A443",
            (200, quay, ns("quay.io:443")),
        ),
        (
            "library/app/manifests/3?ns=quay.io",
            (404, None, ns("quay.io")),
        ),
        ("library/app/manifests/1?ns=ghcr.io", (404, None, None)),
        (
            "library/app/manifests/1?ns=quay.io%0d%0aX:%20y",
            (200, hub.clone(), None),
        ),
        (
            "library/app/manifests/1?ns=..%2F..%2Fv2%2Fquay.io",
            (200, hub, None),
        ),
    ] {
        assert_eq!(digest(&format!("/v2/{path}")), expected, "{path}");
    }
    // The blobs too.
    let manifest = http::get(running.port, "/v2/library/app/manifests/1?ns=quay.io");
    let config = body(&manifest)["config"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let blob = format!("/v2/library/app/blobs/{config}?ns=quay.io");
    assert_eq!(digest(&blob), (200, Some(config), ns("quay.io")));
    // A page links to the next under the path that was asked.
    let page = http::get(running.port, "/v2/library/app/tags/list?ns=quay.io&n=1");
    let link = "</v2/library/app/tags/list?ns=quay.io&n=1&last=1>; rel=\"next\"";
    assert_eq!(page.header("Link"), Some(link));
    let page = http::get(running.port, "/v2/library/app/tags/list?n=1");
    let link = "</v2/library/app/tags/list?n=1&last=1>; rel=\"next\"";
    assert_eq!(page.header("Link"), Some(link));
}

/// containerd asks a mirror for all names of a registry, with `ns`, or below a path of its own.
#[test]
fn containerd_pulls_from_a_mirror() {
    let folder = TempDir::new("serve");
    let site = full_site(&folder, &["app:1", "quay.io/library/app:1"]);
    let running = SERVE.start(&site);
    let hosts = folder.path().join("hosts");
    let configure = |registry: &str, lines: &str| {
        let place = hosts.join(registry);
        fs::create_dir_all(&place).unwrap();
        // The registry itself is not there.
        let text = format!("server = \"http://127.0.0.1:1\"\n{lines}");
        fs::write(place.join("hosts.toml"), text).unwrap();
    };
    let url = format!("http://127.0.0.1:{}", running.port);
    let pull = "capabilities = [\"pull\", \"resolve\"]\n";
    for registry in ["docker.io", "ghcr.io"] {
        configure(registry, &format!("[host.\"{url}\"]\n{pull}"));
    }
    let own_path = "override_path = true\n";
    configure(
        "quay.io",
        &format!("[host.\"{url}/v2/quay.io\"]\n{pull}{own_path}"),
    );
    let ctr = Ctr::start();
    let pulled = |name: &str| ctr.pull_by(&hosts, name).unwrap().manifest_digests;
    for host in ["docker.io", "quay.io"] {
        let path = format!("/v2/{host}/library/app/manifests/1");
        let answer = http::get(running.port, &path);
        let digest = answer.header("Docker-Content-Digest").unwrap();
        assert_eq!(pulled(&format!("{host}/library/app:1")), [digest]);
    }
    // Not the image of that name on Docker Hub.
    assert!(ctr.pull_by(&hosts, "ghcr.io/library/app:1").is_err());
    assert!(
        running
            .log()
            .contains("/v2/library/app/manifests/1?ns=ghcr.io")
    );
}
