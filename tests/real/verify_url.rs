//! `verify URL`: no server of ours has a problem, servers that were told nothing have those that clients meet.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::expected::build_site;
use crate::support::findings::{found, kinds, run};
use crate::support::http;
use crate::support::process::{Daemon, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::servers::{SERVERS, free_port};
use crate::support::site::{small_site, stderr, succeed};
use crate::support::temp::TempDir;

/// What every server does that was told nothing: no types, a redirect for `tags`.
const UNCONFIGURED: [&str; 4] = [
    "manifest-type",
    "no-tag-digest",
    "referrers",
    "tags-redirect",
];

#[test]
fn no_server_has_a_problem() {
    let site = build_site();
    for server in SERVERS {
        let running = server.start(site.path());
        let mut notes = Vec::new();
        if !server.skills.sizes {
            notes.push("no-docker-size");
        }
        if !server.skills.empty_referrers {
            notes.push("no-referrers");
        }
        if !server.skills.queries {
            notes.push("whole-search");
        }
        let all = [&["--deep", "-j3"][..], &[], &["--fast"]];
        // An edge takes longer to answer; the first does all that the others do.
        for options in &all[..if server.skills.is_copy { 1 } else { 3 }] {
            let found = found(running.port, options);
            assert_eq!(
                kinds(&found, "error"),
                [""; 0],
                "{}: {found:#?}",
                server.name
            );
            assert_eq!(kinds(&found, "note"), notes, "{}: {found:#?}", server.name);
        }
    }
}

#[test]
fn python_serves_v1_alone() {
    let site = small_site();
    let port = free_port().to_string();
    let folder = site.path().to_str().unwrap();
    let args = ["-m", "http.server", "-b", "127.0.0.1", "-d", folder, &port];
    let log = TempDir::new("python");
    let port = port.parse().unwrap();
    let _daemon = Daemon::start(&tool("python3"), &args, &log.path().join("log"))
        .wait_until(|| http::send(port, "GET", "/", &[]).is_ok());
    // Its queue of connections is short.
    let found = found(port, &["-j", "2"]);
    let mut errors = UNCONFIGURED.to_vec();
    errors.insert(1, "no-range");
    assert_eq!(kinds(&found, "error"), errors, "{found:#?}");
    let types = &found[0].breaks;
    let cannot = [
        "docker 1.10-20",
        "docker 28/29",
        "containerd",
        "podman/skopeo/buildah",
    ];
    assert_eq!(types, &cannot);
    assert_eq!(found[4].breaks, ["npm v1 client"]);
    let notes = [
        "dot-stillage",
        "html-error",
        "no-api-version",
        "no-cache-control",
        "no-cors",
        "no-docker-size",
        "no-referrers",
        "no-registry-version",
        "pointer-validator",
        "whole-search",
    ];
    assert_eq!(kinds(&found, "note"), notes, "{found:#?}");
}

#[test]
fn nginx_as_debian_ships_it_serves_v1_alone() {
    let site = small_site();
    let nginx = Nginx::start_with(|port| {
        format!(
            "pid nginx.pid;\nevents {{ }}\nhttp {{\n access_log off;\n \
             default_type application/octet-stream;\n gzip on;\n gzip_min_length 1;\n gzip_types *;\n server {{\n  \
             listen 127.0.0.1:{port};\n  root {};\n  autoindex on;\n }}\n}}\n",
            site.path().display()
        )
    });
    let found = found(nginx.port, &[]);
    assert_eq!(kinds(&found, "error"), UNCONFIGURED, "{found:#?}");
    let notes = [
        "compressed",
        "dot-stillage",
        "html-error",
        "no-accept-ranges",
        "no-api-version",
        "no-cache-control",
        "no-cors",
        "no-docker-size",
        "no-referrers",
        "no-registry-version",
        "pointer-validator",
        "whole-search",
    ];
    assert_eq!(kinds(&found, "note"), notes, "{found:#?}");
}

fn openssl(dir: &Path, args: &str) {
    succeed(
        Command::new("openssl")
            .current_dir(dir)
            .args(args.split(' ')),
    );
}

#[test]
fn a_certificate_that_nobody_trusts_is_an_error_with_a_hint() {
    let site = small_site();
    let keys = TempDir::new("keys");
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        keys.path(),
        &format!("req -x509 {new} -subj /CN=ca -days 2 -keyout ca.key -out ca.pem"),
    );
    openssl(
        keys.path(),
        &format!("req {new} -subj /CN=registry.test -keyout key.pem -out leaf.csr"),
    );
    fs::write(
        keys.path().join("leaf.ext"),
        "subjectAltName=IP:127.0.0.1\n",
    )
    .unwrap();
    openssl(
        keys.path(),
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out cert.pem",
    );
    let tls = free_port();
    let _nginx =
        Nginx::start_with(|port| crate::nginx::with_tls(site.path(), keys.path(), port, tls));
    let ca = keys.path().join("ca.pem");
    let trusted = ["--ca", ca.to_str().unwrap()];
    let output = run(&format!("https://127.0.0.1:{tls}"), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("hint: clients fail on this certificate"),
        "{output:?}"
    );
    let output = run(&format!("https://127.0.0.1:{tls}"), &trusted);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // The certificate is for the address, not for this name.
    let output = run(&format!("https://localhost:{tls}"), &trusted);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("for the name of the host"),
        "{output:?}"
    );
}
