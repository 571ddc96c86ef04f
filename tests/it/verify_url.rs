//! `verify URL`: no server of ours has a problem, servers that were told nothing have those that clients
//! meet, and damaged content is found from outside.

mod damage;
mod faults;
mod ways;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::bad_server::{BadServer, sound};
use crate::support::expected::build_site;
use crate::support::http;
use crate::support::process::{Daemon, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::servers::{SERVERS, free_port};
use crate::support::site::{build, small_site, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// A finding: severity, kind, path, clients.
#[derive(Debug, PartialEq)]
struct Found {
    severity: String,
    kind: String,
    path: String,
    breaks: Vec<String>,
}

/// A run of `verify URL --json`.
fn run(url: &str, more: &[&str]) -> Output {
    let mut command = stillage(["verify", "--json", url]);
    command.args(more).output().unwrap()
}

/// What is found at a port; the exit code says whether an error is among it.
fn found(port: u16, more: &[&str]) -> Vec<Found> {
    let output = run(&format!("http://127.0.0.1:{port}"), more);
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found: Vec<Found> = listed
        .iter()
        .map(|finding| {
            assert!(finding["count"].as_u64() > Some(0), "{finding}");
            assert!(text(&finding["message"]).len() > 10, "{finding}");
            Found {
                severity: text(&finding["severity"]),
                kind: text(&finding["kind"]),
                path: text(&finding["path"]),
                breaks: finding["breaks"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(text)
                    .collect(),
            }
        })
        .collect();
    let errors = found.iter().any(|found| found.severity == "error");
    assert_eq!(output.status.code(), Some(i32::from(errors)), "{found:#?}");
    found
}

fn kinds(found: &[Found], severity: &str) -> Vec<String> {
    let of = found.iter().filter(|found| found.severity == severity);
    of.map(|found| found.kind.clone()).collect()
}

#[test]
fn no_server_has_a_problem() {
    let site = build_site();
    for server in SERVERS {
        let running = server.start(site.path());
        let mut notes = Vec::new();
        if !server.skills.sizes {
            notes.push("no-docker-size");
        }
        if !server.skills.digest_of_tags {
            notes.push("no-tag-digest");
        }
        for options in [&[][..], &["--deep", "-j3"], &["--fast"]] {
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
fn a_site_of_one_api_has_no_problem_either() {
    for (option, absent) in [("--no-v1", "v1"), ("--no-v2", "v2")] {
        let site = TempDir::new("one-api");
        build(&["fixtures/docker-20.10.tar", option], site.path());
        assert!(!site.path().join(absent).exists());
        let server = BadServer::start(site.path(), sound);
        assert_eq!(found(server.port, &["--deep"]), []);
    }
}

/// What every server does that was told nothing: no types, a redirect for `tags`.
const UNCONFIGURED: [&str; 3] = ["manifest-type", "referrers", "tags-redirect"];

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
    assert_eq!(found[3].breaks, ["npm v1 client"]);
    let notes = [
        "dot-stillage",
        "html-error",
        "no-cache-control",
        "no-docker-size",
        "no-referrers",
        "no-registry-version",
        "no-tag-digest",
        "pointer-validator",
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
        "no-cache-control",
        "no-docker-size",
        "no-referrers",
        "no-registry-version",
        "no-tag-digest",
        "pointer-validator",
    ];
    assert_eq!(kinds(&found, "note"), notes, "{found:#?}");
}

#[test]
fn only_what_can_be_reached_is_checked() {
    let port = free_port();
    for (url, hint) in [
        (format!("http://127.0.0.1:{port}"), false),
        (format!("http://127.0.0.1:{port}/prefix/"), true),
        ("http://user:secret@127.0.0.1/".to_owned(), true),
        ("https://".to_owned(), false),
    ] {
        let output = run(&url, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(output.stdout, b"");
        let messages = stderr(&output);
        assert_eq!(messages.contains("hint: "), hint, "{messages}");
        assert!(!messages.contains("secret"), "{messages}");
    }
    let site = small_site();
    let folder = site.path().to_str().unwrap();
    for options in [&["-j", "2"][..], &["--ca", "x"]] {
        assert_eq!(run(folder, options).status.code(), Some(2), "{options:?}");
    }
    let both = run("http://127.0.0.1:1", &["--deep", "--fast"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn people_read_lines_and_a_summary() {
    let site = small_site();
    let server = BadServer::start(site.path(), |_, reply| {
        if let Some(reply) = reply {
            reply.set("X-Docker-Size", None);
        }
    });
    let url = format!("HTTP://localhost:{}/", server.port);
    let output = succeed(&mut stillage(["verify", &url, "--fast"]));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("note: /v1/images/"), "{text}");
    assert!(
        text.ends_with(" [docker <= 1.9]\n") && text.lines().count() == 1,
        "{text}"
    );
    assert_eq!(stderr(&output), "no problems found, 1 note\n");
}

#[test]
fn what_a_server_says_cannot_drive_a_terminal() {
    let site = small_site();
    let server = BadServer::start(site.path(), |asked, reply| {
        let Some(reply) = reply else {
            return;
        };
        reply.set("Docker-Content-Digest", "\u{202e}`\u{9b}31m");
        reply.set(
            "Cache-Control",
            "max-age=99999999999999999999999, \u{9b}31m",
        );
        if asked.path.ends_with("/tags") || asked.path.ends_with("/list") {
            let list = r#"{"name":"\u001b[2J","tags":["\u001b[2J"],"\u001b[31m":"\u202e"}"#;
            reply.put(list.as_bytes().to_vec());
        }
        if asked.has("/referrers/") {
            reply.put(br#"{"manifests":[{"digest":"\u001b[2J"}]}"#.to_vec());
        }
    });
    let url = format!("http://127.0.0.1:{}", server.port);
    let output = stillage(["verify", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for shown in ["u{1b}[2J", "u{202e}", "u{9b}31m"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(hostile), "{text:?}");
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
