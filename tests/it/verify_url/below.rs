//! A site below a path of a host.

use crate::support::bad_server::{BadServer, Fault, Request};
use crate::support::findings::{Found, found_at};
use crate::support::site::{build, small_site};
use crate::support::temp::TempDir;

/// Everything is below `/deep/hub`, and nothing elsewhere.
fn move_below(asked: &mut Request) {
    let inner = asked.path.strip_prefix("/deep/hub");
    asked.path = inner.unwrap_or("/nowhere").to_owned();
}

/// As [`move_below`], and the root of the host knows the names below `deep/hub`.
fn name_below(asked: &mut Request) {
    if asked.has("/deep/hub/") {
        asked.path = asked.path.replacen("/deep/hub", "", 1);
    } else if asked.path != "/v2/" {
        asked.path = "/nowhere".into();
    }
}

const BELOW: Fault = |asked, reply| {
    if reply.is_none() {
        move_below(asked);
    }
};

const NAMED: Fault = |asked, reply| {
    if reply.is_none() {
        name_below(asked);
    }
};

/// As [`NAMED`], but the root has another manifest under these names.
const MISNAMED: Fault = |asked, reply| {
    if reply.is_none() && asked.path.starts_with("/v2/deep/hub/") {
        asked.path = "/v2/zstd/manifests/2.0".into();
    } else if reply.is_none() {
        name_below(asked);
    }
};

fn check(fault: Fault, end: &str) -> Vec<Found> {
    let site = small_site();
    let server = BadServer::start(site.path(), fault);
    let url = format!("http://127.0.0.1:{}/deep/hub{end}", server.port);
    found_at(&url, &["--deep"])
}

fn path_note(breaks: &[&str]) -> Vec<Found> {
    vec![Found {
        severity: "note".into(),
        kind: "path".into(),
        path: "/deep/hub/".into(),
        breaks: breaks.iter().map(ToString::to_string).collect(),
    }]
}

const ROOT_ONLY: [&str; 4] = ["docker <= 24", "podman/skopeo/buildah", "crane", "oras"];

#[test]
fn a_site_below_a_path_is_checked_there() {
    for end in ["", "/"] {
        assert_eq!(check(BELOW, end), path_note(&ROOT_ONLY), "{end}");
    }
}

#[test]
fn names_below_the_path_may_be_known_at_the_root() {
    assert_eq!(check(NAMED, ""), path_note(&["docker <= 1.9"]));
    assert_eq!(check(MISNAMED, ""), path_note(&ROOT_ONLY));
    let site = TempDir::new("one-api");
    build(&["fixtures/docker-20.10.tar", "--no-v1"], site.path());
    let server = BadServer::start(site.path(), NAMED);
    let url = format!("http://127.0.0.1:{}/deep/hub", server.port);
    assert_eq!(found_at(&url, &[]), path_note(&[]));
}

#[test]
fn paths_of_findings_are_as_they_are_requested() {
    let found = check(
        |asked, reply| {
            if reply.is_none() {
                return move_below(asked);
            }
            if let Some(reply) = reply.filter(|_| asked.path == "/v1/_ping") {
                reply.become_error(404, "application/json", "{}");
            }
        },
        "",
    );
    assert_eq!(found[0].path, "/deep/hub/v1/_ping", "{found:#?}");
}
