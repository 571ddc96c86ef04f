//! A site below a path, and one site as the mirror of several registries.

use std::fs;
use std::path::Path;

use crate::support::clients::{Ctr, Docker, Podman};
use crate::support::expected::build_site;
use crate::support::findings::{found_at, kinds};
use crate::support::http;
use crate::support::process::run;
use crate::support::servers::builtin::SERVE;
use crate::support::servers::nginx::{NGINX, Nginx};
use crate::support::servers::{SERVERS, Server};
use crate::support::site::build;
use crate::support::temp::TempDir;

/// Sources of two registries.
const MIRRORED: [&str; 3] = [
    "fixtures/docker-20.10.tar",
    "fixtures/oci-layout=quay.io/org/",
    "--full-names",
];

pub(crate) fn mirror() -> TempDir {
    let site = TempDir::new("mirror");
    build(&MIRRORED, site.path());
    site
}

/// The digest of a tag, out of the site itself.
pub(crate) fn digest(site: &Path, name: &str, tag: &str) -> String {
    let link = fs::read_link(site.join(format!("v2/{name}/_tags/{tag}"))).unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The servers that `config` can place below a path.
fn placed() -> impl Iterator<Item = &'static Server> {
    let others = ["serve", "apache-shared-host"];
    let placed = SERVERS.into_iter();
    placed.filter(move |server| !others.contains(&server.name))
}

#[test]
fn every_configuration_serves_a_site_below_a_path() {
    let site = build_site();
    let digest = digest(site.path(), "tiny", "1");
    let manifest = fs::read(site.path().join("v2/tiny/manifests/1")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let config = value["config"]["digest"].as_str().unwrap();
    for server in placed() {
        let running = server.start_with(site.path(), "127.0.0.1:", &["--prefix", "/hub.x/y"]);
        let name = server.name;
        // As recorded of Docker 28 (`registry-mirrors` with a path) and of containerd 2.1 (`override_path`) when they
        // pull `tiny:1`, of podman 4.3 (`location`), and of browsers.
        for (path, body) in [
            ("/hub.x/y/v2/", None),
            ("/hub.x/y/v2/library/tiny/manifests/1", Some(&manifest)),
            (
                "/hub.x/y/v2/library/tiny/manifests/1?ns=docker.io",
                Some(&manifest),
            ),
            ("/v2/", None),
            ("/v2/hub.x/y/tiny/manifests/1", Some(&manifest)),
            ("/hub.x/y/", None),
            ("/hub.x/y/index.json", None),
            ("/hub.x/y/v1/_ping", None),
            ("/hub.x/y/v1/repositories/tiny/tags", None),
            (
                &format!("/hub.x/y/v2/library/tiny/manifests/{digest}"),
                Some(&manifest),
            ),
            (&format!("/hub.x/y/v2/library/tiny/blobs/{config}"), None),
            (&format!("/v2/hub.x/y/library/tiny/blobs/{config}"), None),
        ] {
            let answer = http::get(running.port, path);
            assert_eq!(answer.status, 200, "{name}: {path}\n{}", running.log());
            if let Some(body) = body {
                assert_eq!(&answer.body, body, "{name}: {path}");
                let said = answer.header("Docker-Content-Digest");
                assert_eq!(said, Some(digest.as_str()), "{name}: {path}");
            }
        }
        let bare = http::get(running.port, "/hub.x/y");
        let location = bare.header("Location").unwrap_or_default();
        assert_eq!(bare.status, 301, "{name}");
        assert!(location.ends_with("/hub.x/y/"), "{name}: {location}");
        for path in [
            "/",
            "/index.json",
            "/hub.x",
            "/hub.x/",
            "/hubsx/y/v2/",
            "/hub.x/yy/v2/",
            "/hub.x/y/hub.x/y/v2/",
            "/v1/_ping",
            "/v2/tiny/manifests/1",
            "/v2/hub.x/tiny/manifests/1",
            "/hub.x/y/v2/hub.x/y/tiny/manifests/1",
            "/hub.x/y/.stillage/lock",
            "/v2/hub.x/y/../../.stillage/lock",
        ] {
            let answer = http::get(running.port, path);
            assert_eq!(answer.status, 404, "{name}: {path}");
            assert_eq!(
                answer.header("Content-Type"),
                Some("application/json"),
                "{name}: {path}"
            );
        }
        assert_eq!(
            http::get(running.port, "/hub.x/y/../../../etc/passwd").status / 100,
            4
        );
        let url = format!("http://127.0.0.1:{}/hub.x/y/", running.port);
        let found = found_at(&url, &["--fast"]);
        assert_eq!(kinds(&found, "error"), [""; 0], "{name}: {found:#?}");
        let path = found.iter().find(|found| found.kind == "path");
        assert_eq!(
            path.unwrap().breaks,
            ["docker <= 1.9"],
            "{name}: {found:#?}"
        );
    }
}

#[test]
fn clients_pull_from_below_a_path() {
    let site = mirror();
    let running = NGINX.start_with(site.path(), "127.0.0.1:", &["--prefix", "/hub"]);
    // The nginx that serves the rest of the host, as the README has it.
    let front = Nginx::start_with(|port| {
        let pass = format!("{{ proxy_pass http://127.0.0.1:{}; }}", running.port);
        let places =
            ["/hub/", "= /v2/", "/v2/hub/"].map(|place| format!("location {place} {pass}"));
        let server = format!("listen 127.0.0.1:{port}; {}", places.join(" "));
        format!("pid nginx.pid; events {{ }} http {{ access_log off; server {{ {server} }} }}")
    });
    let port = front.port;
    let work = TempDir::new("clients");
    let org = digest(site.path(), "quay.io/org/tiny", "1");

    let hosts = work.path().join("quay.io");
    fs::create_dir(&hosts).unwrap();
    let toml = format!(
        "server = \"http://127.0.0.1:1\"\n[host.\"http://127.0.0.1:{port}/hub/v2/quay.io\"]\n  \
         capabilities = [\"pull\", \"resolve\"]\n  override_path = true\n"
    );
    fs::write(hosts.join("hosts.toml"), toml).unwrap();
    let ctr = Ctr::start();
    let pulled = ctr.pull_by(work.path(), "quay.io/org/tiny:1").unwrap();
    assert_eq!(pulled.manifest_digests, [org.as_str()]);

    let conf = work.path().join("registries.conf");
    let toml = format!(
        "[[registry]]\nprefix = \"quay.io\"\nlocation = \"127.0.0.1:{port}/hub/quay.io\"\ninsecure = true\n"
    );
    fs::write(&conf, toml).unwrap();
    let docker = Docker::start();
    let reference = format!("127.0.0.1:{port}/hub/quay.io/org/tiny");
    run(docker
        .command()
        .args(["pull", "--quiet", &format!("{reference}:1")]))
    .unwrap();
    let image = docker.inspect(&format!("{reference}:1")).unwrap();
    assert_eq!(image["RepoDigests"][0], format!("{reference}@{org}"));

    let podman = Podman::new();
    let mut pull = podman.command();
    pull.env("CONTAINERS_REGISTRIES_CONF", &conf);
    run(pull.args(["pull", "--quiet", "quay.io/org/tiny:1"])).unwrap();
    let inspect = [
        "image",
        "inspect",
        "--format",
        "{{.Digest}}",
        "quay.io/org/tiny:1",
    ];
    assert_eq!(run(podman.command().args(inspect)).unwrap().trim(), org);
}

#[test]
fn one_site_mirrors_several_registries() {
    let site = mirror();
    let hub = digest(site.path(), "docker.io/library/tiny", "1");
    let org = digest(site.path(), "quay.io/org/tiny", "1");
    assert_ne!(hub, org);
    for server in [&NGINX, &SERVE] {
        let running = server.start(site.path());
        let get = |path: &str| http::get(running.port, path);
        for (path, digest, namespace) in [
            ("/v2/org/tiny/manifests/1?ns=quay.io", &org, Some("quay.io")),
            (
                "/v2/org/tiny/manifests/1?x=y&ns=quay.io",
                &org,
                Some("quay.io"),
            ),
            (
                "/v2/org/tiny/manifests/1?ns=quay.io%3A443",
                &org,
                Some("quay.io:443"),
            ),
            (
                "/v2/quay.io/org/tiny/manifests/1?ns=quay.io",
                &org,
                Some("quay.io"),
            ),
            ("/v2/quay.io/org/tiny/manifests/1", &org, None),
            (
                "/v2/library/tiny/manifests/1?ns=docker.io",
                &hub,
                Some("docker.io"),
            ),
            ("/v2/tiny/manifests/1?ns=docker.io", &hub, Some("docker.io")),
            (
                "/v2/docker.io/library/tiny/manifests/1?ns=docker.io",
                &hub,
                Some("docker.io"),
            ),
            ("/v2/library/tiny/manifests/1", &hub, None),
            ("/v2/tiny/manifests/1", &hub, None),
            (
                &format!("/v2/library/tiny/manifests/{hub}?ns=docker.io"),
                &hub,
                Some("docker.io"),
            ),
        ] {
            let answer = get(path);
            let name = format!("{} {path}\n{}", server.name, running.log());
            assert_eq!(answer.status, 200, "{name}");
            assert_eq!(
                answer.header("Docker-Content-Digest"),
                Some(digest.as_str()),
                "{name}"
            );
            assert_eq!(answer.header("OCI-Namespace"), namespace, "{name}");
        }
        for path in [
            "/v2/org/tiny/manifests/1",
            "/v2/org/tiny/manifests/1?ns=docker.io",
            "/v2/library/tiny/manifests/1?ns=quay.io",
            "/v2/library/tiny/manifests/1?ns=ghcr.io",
            "/v2/library/tiny/manifests/1?ns=..",
            "/v2/library/tiny/manifests/1?ns=../..",
            "/v2/library/tiny/manifests/1?ns=%2e%2e",
            "/v2/sample/hello/manifests/1.0?ns=docker.io/sample",
            "/v2/localhost/tiny/manifests/1",
            "/v2/none.test/tiny/manifests/1",
        ] {
            let answer = get(path);
            assert_eq!(answer.status, 404, "{} {path}", server.name);
            assert_eq!(
                answer
                    .header("OCI-Namespace")
                    .filter(|said| *said != "quay.io" && *said != "docker.io"),
                None
            );
        }
        for path in ["/v2/?ns=quay.io", "/v2/_catalog?ns=quay.io"] {
            assert_eq!(get(path).status, 200, "{} {path}", server.name);
        }
    }
}

#[test]
fn a_site_without_hosts_ignores_the_namespace() {
    let site = build_site();
    for server in [&NGINX, &SERVE] {
        let running = server.start(site.path());
        for ns in ["docker.io", "quay.io", "..", "-", ""] {
            let path = format!("/v2/library/tiny/manifests/1?ns={ns}");
            let answer = http::get(running.port, &path);
            assert_eq!(answer.status, 200, "{} {path}", server.name);
            assert_eq!(
                answer.header("OCI-Namespace"),
                None,
                "{} {path}",
                server.name
            );
        }
    }
}

#[test]
fn clients_of_a_mirror_pull_by_the_names_of_the_registries() {
    let site = mirror();
    let hub = digest(site.path(), "docker.io/library/tiny", "1");
    let org = digest(site.path(), "quay.io/org/tiny", "1");
    for server in [&NGINX, &SERVE] {
        let running = server.start(site.path());
        let url = format!("http://127.0.0.1:{}", running.port);

        // containerd asks its `_default` host for every registry, with `ns`.
        let work = TempDir::new("clients");
        let hosts = work.path().join("_default");
        fs::create_dir(&hosts).unwrap();
        fs::write(hosts.join("hosts.toml"), format!("[host.\"{url}\"]\n")).unwrap();
        let ctr = Ctr::start();
        for (name, digest) in [
            ("quay.io/org/tiny:1", &org),
            ("docker.io/library/tiny:1", &hub),
        ] {
            let pulled = ctr.pull_by(work.path(), name).unwrap();
            assert_eq!(
                pulled.manifest_digests,
                [digest.as_str()],
                "{}",
                server.name
            );
        }
        // Never the image of that name on Docker Hub.
        assert!(
            ctr.pull_by(work.path(), "ghcr.test/library/tiny:1")
                .is_err()
        );

        // Docker asks its mirror for what is on Docker Hub, by short names.
        let docker = Docker::start_with(&["--registry-mirror", &url]);
        run(docker.command().args(["pull", "--quiet", "tiny:1"])).unwrap();
        let image = docker.inspect("tiny:1").unwrap();
        assert_eq!(image["RepoDigests"][0], format!("tiny@{hub}"));
    }
}
