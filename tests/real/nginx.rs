//! `nginx.conf.example` by real requests.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::answers::{hand_rows, rows};
use super::support::expected::build_site;
use super::support::hand_site::{ODD_NAMES, hand_made_site};
use super::support::http::{self, Response};
use super::support::row::Row;
use super::support::sample::Sample;
use super::support::servers::Skills;
use super::support::servers::nginx::{Nginx, check, configured, example};
use super::support::temp::TempDir;

fn hand_made() -> TempDir {
    let site = TempDir::new("site");
    hand_made_site(site.path());
    site
}

fn assert_rows(nginx: &Nginx, rows: &[Row]) {
    let wrong: Vec<_> = rows.iter().flat_map(|row| row.check(nginx.port)).collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), nginx.log());
}

#[test]
fn every_row_is_answered_right() {
    let site = hand_made();
    let nginx = Nginx::start(site.path());
    let rows = rows(&Sample::read(site.path(), "sample/app", "om"), Skills::NONE);
    assert!(rows.len() > 50);
    assert_rows(&nginx, &rows);
    assert_rows(&nginx, &hand_rows());
}

#[test]
fn every_row_holds_for_odd_repositories() {
    let site = hand_made();
    let nginx = Nginx::start(site.path());
    for name in ["tiny", "library/tiny"].iter().chain(&ODD_NAMES) {
        assert_rows(
            &nginx,
            &rows(&Sample::read(site.path(), name, "latest"), Skills::NONE),
        );
    }
}

#[test]
fn a_site_without_one_api_says_that_it_has_none() {
    let site = hand_made();
    for api in ["v1", "v2"] {
        fs::rename(site.path().join(api), site.path().join(format!("no-{api}"))).unwrap();
    }
    let nginx = Nginx::start(site.path());
    for path in ["/v1/_ping", "/v2/", "/v2/_catalog"] {
        assert_eq!(http::get(nginx.port, path).status, 404, "{path}");
    }
}

#[test]
fn an_unreadable_file_is_not_found_and_logged() {
    let site = hand_made();
    let path = "v2/sample/app/tags/list";
    let nginx = Nginx::start_as_plain_user(site.path());
    assert_eq!(http::get(nginx.port, &format!("/{path}")).status, 200);
    let no_rights = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(site.path().join(path), no_rights).unwrap();
    let answer = http::get(nginx.port, &format!("/{path}"));
    assert_eq!(
        (answer.status, answer.header("Cache-Control")),
        (404, Some("no-cache"))
    );
    assert!(nginx.log().contains("Permission denied"), "{}", nginx.log());
}

#[test]
fn what_a_user_replaces_is_there_once() {
    for text in ["/srv/registry", "listen 5000", "listen [::]:5000"] {
        assert_eq!(example().matches(text).count(), 1, "{text}");
    }
}

/// The example for a site, its TLS lines uncommented and with this certificate.
pub(crate) fn with_tls(site: &Path, keys: &Path, plain: u16, tls: u16) -> String {
    let mut lines = Vec::new();
    for line in configured(site, plain).lines() {
        let text = line.trim_start();
        let is_tls = text.starts_with("# listen 443 ssl;") || text.starts_with("# ssl_");
        let is_tls = is_tls && !text.contains("client");
        lines.push(if is_tls {
            text[2..].to_owned()
        } else {
            line.to_owned()
        });
    }
    let config = lines.join("\n");
    for text in [
        "\nlisten 443 ssl;",
        "\nssl_certificate ",
        "\nssl_certificate_key ",
    ] {
        assert!(config.contains(text), "no TLS line {text:?}");
    }
    config
        .replace("listen 443", &format!("listen 127.0.0.1:{tls}"))
        .replace(
            "/etc/ssl/registry/fullchain.pem",
            keys.join("cert.pem").to_str().unwrap(),
        )
        .replace(
            "/etc/ssl/registry/privkey.pem",
            keys.join("key.pem").to_str().unwrap(),
        )
}

fn openssl(dir: &Path, args: &str) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(args.split(' '));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `GET path` over TLS, the certificate checked.
fn get_over_tls(keys: &Path, port: u16, path: &str) -> Response {
    let args =
        format!("s_client -quiet -verify_return_error -CAfile cert.pem -connect 127.0.0.1:{port}");
    let mut client = openssl(keys, &args).spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    stdin
        .write_all(http::request("GET", path, &[]).as_bytes())
        .unwrap();
    let output = client.wait_with_output().unwrap();
    Response::parse(&output.stdout)
}

#[test]
fn the_tls_lines_work() {
    let site = hand_made();
    let keys = TempDir::new("keys");
    let args = "req -x509 -newkey rsa:2048 -nodes -subj /CN=registry.test -days 2 \
                -keyout key.pem -out cert.pem";
    let made = openssl(keys.path(), args).output();
    let made = made.expect("openssl is missing: run tests/run.sh");
    assert!(made.status.success(), "{made:?}");

    let tls_port = std::cell::Cell::new(0);
    let config = |port| {
        tls_port.set(super::support::servers::free_port());
        with_tls(site.path(), keys.path(), port, tls_port.get())
    };
    let accepted = check(&config(1));
    assert!(accepted.status.success(), "{accepted:?}");

    let nginx = Nginx::start_with(config);
    for path in ["/v2/", "/v1/_ping", "/v2/sample/app/manifests/om"] {
        let answer = get_over_tls(keys.path(), tls_port.get(), path);
        assert_eq!(
            (answer.status, answer.body),
            (200, http::get(nginx.port, path).body)
        );
    }
}

#[test]
fn every_row_holds_for_a_built_site() {
    let site = build_site();
    let nginx = Nginx::start(site.path());
    for (name, tag) in [
        ("sample/hello", "1.0"),
        ("tiny", "1"),
        ("library/tiny", "1"),
        ("samples/docker-1.4.1", "2.0"),
        ("samples/oci-layout-zstd", "latest"),
        ("samples/dir-s2", "latest"),
    ] {
        assert_rows(
            &nginx,
            &rows(&Sample::read(site.path(), name, tag), Skills::NONE),
        );
    }
}
