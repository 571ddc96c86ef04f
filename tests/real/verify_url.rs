//! `verify URL`: no server of ours has a problem, servers that were told nothing have those that clients meet.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::expected::build_site;
use crate::support::findings::{found, found_at, kinds, run};
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
        if !server.skills.search {
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

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// A folder with `key.pem` and `cert.pem` for 127.0.0.1, which `ca.pem` issued.
fn issued() -> TempDir {
    let keys = TempDir::new("keys");
    for args in [
        format!("req -x509 {NEW_KEY} -subj /CN=ca -days 2 -keyout ca.key -out ca.pem"),
        format!("req {NEW_KEY} -subj /CN=registry.test -keyout key.pem -out leaf.csr"),
    ] {
        openssl(keys.path(), &args);
    }
    let extensions = keys.path().join("leaf.ext");
    fs::write(extensions, "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        keys.path(),
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out cert.pem",
    );
    keys
}

/// A folder with `key.pem` and `cert.pem` for 127.0.0.1, which is its own CA.
fn self_signed() -> TempDir {
    let keys = TempDir::new("keys");
    openssl(
        keys.path(),
        &format!(
            "req -x509 {NEW_KEY} -subj /CN=own -addext subjectAltName=IP:127.0.0.1 -days 2 -keyout key.pem -out cert.pem"
        ),
    );
    keys
}

fn serve_tls(site: &Path, keys: &Path, tls: u16) -> Nginx {
    Nginx::start_with(|port| crate::nginx::with_tls(site, keys, port, tls))
}

/// The command could not run, and says so with this hint.
fn refused(url: &str, options: &[&str], hint: &str) {
    let output = run(url, options);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(stderr(&output).contains(hint), "{hint}: {output:?}");
}

#[test]
fn a_certificate_that_nobody_trusts_is_an_error_with_a_hint() {
    let site = small_site();
    let keys = issued();
    let tls = free_port();
    let _nginx = serve_tls(site.path(), keys.path(), tls);
    let url = format!("https://127.0.0.1:{tls}");
    let ca = keys.path().join("ca.pem");
    let trusted = ["--ca", ca.to_str().unwrap()];
    refused(&url, &[], "hint: clients fail on this certificate");
    let none = found_at(&url, &trusted);
    let unchecked = found_at(&url, &["--insecure"]);
    assert_eq!(kinds(&unchecked, "error"), [""; 0], "{unchecked:#?}");
    let mut notes = kinds(&unchecked, "note");
    assert!(notes.contains(&"insecure".to_owned()), "{unchecked:#?}");
    notes.retain(|kind| kind != "insecure");
    assert_eq!(notes, kinds(&none, "note"));
    // The certificate is for the address, not for this name.
    let by_name = format!("https://localhost:{tls}");
    refused(&by_name, &trusted, "with the name of the host");
}

#[test]
fn a_certificate_that_is_its_own_ca_is_trusted_by_name() {
    let site = small_site();
    let (keys, other) = (self_signed(), self_signed());
    let tls = free_port();
    let _nginx = serve_tls(site.path(), keys.path(), tls);
    let url = format!("https://127.0.0.1:{tls}");
    let own = keys.path().join("cert.pem");
    let other = other.path().join("cert.pem");
    let trusted = ["--ca", own.to_str().unwrap()];
    let found = found_at(&url, &trusted);
    assert_eq!(kinds(&found, "error"), [""; 0], "{found:#?}");
    let made_itself = "hint: the server presents a certificate of a CA as its own";
    refused(&url, &[], made_itself);
    refused(&url, &["--ca", other.to_str().unwrap()], made_itself);
    let by_name = format!("https://localhost:{tls}");
    refused(&by_name, &trusted, "with the name of the host");
}

#[test]
fn a_server_that_wants_a_certificate_lets_nobody_in() {
    let site = small_site();
    let keys = self_signed();
    let own = keys.path().join("cert.pem");
    let trusted = ["--ca", own.to_str().unwrap()];
    let hint = "hint: only a server, or an address of it, that needs no login";
    let tls = free_port();
    // nginx answers over HTTP.
    let _nginx = Nginx::start_with(|port| {
        let demand = format!(
            "\nssl_verify_client on;\nssl_client_certificate {};\nssl_certificate ",
            own.display()
        );
        let config = crate::nginx::with_tls(site.path(), keys.path(), port, tls);
        config.replace("\nssl_certificate ", &demand)
    });
    refused(&format!("https://127.0.0.1:{tls}"), &trusted, hint);
    // Others answer with an alert.
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let key = keys.path().join("key.pem");
    let (own, key) = (own.to_str().unwrap(), key.to_str().unwrap());
    let args = [
        "s_server", "-accept", &address, "-cert", own, "-key", key, "-Verify", "1", "-tls1_2",
        "-WWW",
    ];
    let log = TempDir::new("s_server");
    let _daemon = Daemon::start(&tool("openssl"), &args, &log.path().join("log"))
        .wait_until(|| std::net::TcpStream::connect(&address).is_ok());
    refused(&format!("https://{address}"), &trusted, hint);
}
