//! `verify URL`: what is wrong with a server or its content is found from outside.

mod below;
mod damage;
mod faults;
mod locked;
mod ways;

use crate::support::bad_server::{BadServer, Fault, sound};
use crate::support::findings::{found, run};
use crate::support::servers::free_port;
use crate::support::site::{build, small_site, stderr, stillage, succeed};
use crate::support::temp::TempDir;

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

#[test]
fn only_what_can_be_reached_is_checked() {
    let port = free_port();
    for (url, hint) in [
        (format!("http://127.0.0.1:{port}"), false),
        (format!("http://127.0.0.1:{port}/prefix/"), false),
        (format!("http://127.0.0.1:{port}/prefix?x"), true),
        (format!("http://127.0.0.1:{port}/prefix#x"), true),
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
    for options in [&["-j", "2"][..], &["--ca", "x"], &["--insecure"]] {
        assert_eq!(run(folder, options).status.code(), Some(2), "{options:?}");
    }
    for options in [&["--deep", "--fast"][..], &["--insecure", "--ca", "x"]] {
        let both = run("http://127.0.0.1:1", options);
        assert_eq!(both.status.code(), Some(2), "{options:?}");
        assert!(stderr(&both).contains("cannot be used with"), "{both:?}");
    }
}

#[test]
fn an_address_without_its_scheme_gets_a_hint() {
    let place = TempDir::new("addresses");
    let verify = |path: &str| {
        let mut command = stillage(["verify", path]);
        command.current_dir(place.path()).output().unwrap()
    };
    for (path, url) in [
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("registry.example:443/x", "https://registry.example:443/x"),
    ] {
        let output = verify(path);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let hint = format!("hint: to check a server, give its URL: `{url}`\n");
        assert!(stderr(&output).ends_with(&hint), "{output:?}");
    }
    for path in ["site", "./site.old"] {
        assert!(!stderr(&verify(path)).contains("URL"), "{path}");
    }
    // What exists is a path.
    let existing = place.path().join("localhost:5000");
    build(&["fixtures/docker-20.10.tar"], &existing);
    assert_eq!(verify("localhost:5000").status.code(), Some(0));
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
    assert!(text.ends_with("\n    affects docker <= 1.9\n"), "{text}");
    let body = text.lines().skip(1);
    for line in body {
        assert!(line.starts_with("    ") && line.len() <= 80, "{text}");
    }
    assert_eq!(stderr(&output), "no problems found, 1 note\n");
}

#[test]
fn a_configuration_is_named_for_what_it_mends() {
    let site = small_site();
    for (fault, mends) in [
        (
            (|asked, reply| {
                if let Some(reply) = reply.filter(|_| asked.has("/manifests/")) {
                    reply.set("Content-Type", "application/octet-stream");
                }
            }) as Fault,
            true,
        ),
        (
            |asked, reply| {
                if let Some(reply) = reply.filter(|_| asked.path == "/v1/_ping") {
                    reply.put(b"yes".to_vec());
                }
            },
            false,
        ),
    ] {
        let server = BadServer::start(site.path(), fault);
        let url = format!("http://127.0.0.1:{}", server.port);
        let output = stillage(["verify", &url, "--fast"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let messages = stderr(&output);
        assert!(
            messages.starts_with("1 problem and 0 notes found\n"),
            "{messages}"
        );
        let hint = "hint: `stillage config SERVER SITE`";
        assert_eq!(messages.contains(hint), mends, "{messages}");
    }
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
    for shown in ["x1b[2J", "u{202e}", "u{9b}31m"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(hostile), "{text:?}");
}
