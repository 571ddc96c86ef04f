//! Every server answers the same table of requests, and conditional ones as they must be.

use std::collections::BTreeSet;
use std::fs;

use crate::answers::{hand_rows, rows, v1_json};
use crate::support::archive::{Archive, Image};
use crate::support::expected::build_site;
use crate::support::hand_site::hand_made_site;
use crate::support::http::{self, Response};
use crate::support::row::{IMMUTABLE, Row};
use crate::support::sample::Sample;
use crate::support::servers::{Running, SERVERS, Server, Skills};
use crate::support::site::{build, stderr, stillage};
use crate::support::temp::TempDir;

#[test]
fn every_server_answers_every_row() {
    let site = TempDir::new("site");
    hand_made_site(site.path());
    let built = build_site();
    let signed = TempDir::new("signed");
    Archive::dir(&Image::new(&[]).layer("etc/text", "signed"))
        .file("signature-1", b"\x88\x01signed")
        .folder(signed.path());
    build(
        &[format!("dir:{}=tiny:signed", signed.path().display())],
        built.path(),
    );
    let (_, is_signed) = Sample::read(built.path(), "tiny", "signed").signature();
    assert!(is_signed);
    for server in SERVERS {
        let mut wrong = Vec::new();
        if !server.skills.by_catalogue {
            let running = server.start(site.path());
            let mut all = rows(
                &Sample::read(site.path(), "sample/app", "om"),
                server.skills,
            );
            all.extend(hand_rows());
            wrong.extend(complaints(server, &running, &all));
        }
        let running = server.start(built.path());
        for (name, tag) in [
            ("sample/hello", "1.0"),
            ("tiny", "1"),
            ("library/tiny", "1"),
            ("tiny", "signed"),
        ] {
            let all = rows(&Sample::read(built.path(), name, tag), server.skills);
            assert!(all.len() > 60);
            wrong.extend(complaints(server, &running, &all));
        }
        let of = Sample::read(built.path(), "samples/docker-1.4.1", "1.0");
        assert!(of.checksum().is_some());
        wrong.extend(complaints(server, &running, &[v1_json(&of, server.skills)]));
        judge(server, &wrong, &running);
    }
}

fn complaints(server: &Server, running: &Running, rows: &[Row]) -> Vec<String> {
    let check = |row: &Row| row.check_of(running.port, server.skills.own_errors);
    rows.iter().flat_map(check).collect()
}

/// Every complaint is one that is known of the server, and what is known comes up.
fn judge(server: &Server, wrong: &[String], running: &Running) {
    let known = |complaint: &&String| {
        let mut known = server.otherwise.iter();
        known.any(|(start, _)| complaint.starts_with(start))
    };
    let (known, new): (Vec<_>, Vec<_>) = wrong.iter().partition(known);
    let name = server.name;
    assert!(new.is_empty(), "{name}: {new:#?}\n{}", running.log());
    for (start, _) in server.otherwise {
        let comes_up = known.iter().any(|complaint| complaint.starts_with(start));
        assert!(comes_up, "{name} answers {start} as all do");
    }
}

#[test]
fn immutable_content_is_revalidated_and_resumed() {
    let site = build_site();
    let of = Sample::read(site.path(), "sample/hello", "1.0");
    // Of what was written a moment ago, Apache gives a weak validator, which resumes nothing.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    for server in SERVERS {
        let running = server.start(site.path());
        for (path, digest) in [
            (format!("/v2/{}/blobs/{}", of.name, of.blob), Some(&of.blob)),
            (
                format!("/v2/{}/manifests/{}", of.name, of.digest),
                Some(&of.digest),
            ),
            (format!("/v1/images/{}/layer", of.id), None),
        ] {
            let asked = Asked {
                port: running.port,
                name: format!("{}: {path}", server.name),
                whole: http::get(running.port, &path),
                has_if_range: server.name != "cloudfront",
                path,
            };
            asked.is_revalidated();
            asked.is_resumed(digest.map(String::as_str));
            asked.has_parts(server.skills);
            asked.has_an_end(server.skills.json_416);
        }
    }
}

/// An address of immutable content and what a plain GET of it gave.
struct Asked {
    port: u16,
    path: String,
    /// For messages.
    name: String,
    /// Otherwise it is sent whole where a client asks for a part under a condition.
    has_if_range: bool,
    whole: Response,
}

impl Asked {
    fn with(&self, method: &str, headers: &[(&str, &str)]) -> Response {
        http::send(self.port, method, &self.path, headers).unwrap()
    }

    fn validators(&self) -> [&str; 2] {
        ["ETag", "Last-Modified"].map(|name| self.whole.header(name).unwrap())
    }

    fn is_revalidated(&self) {
        let [etag, date] = self.validators();
        for header in [("If-None-Match", etag), ("If-Modified-Since", date)] {
            for method in ["GET", "HEAD"] {
                let same = self.with(method, &[header]);
                assert_eq!((same.status, same.body.len()), (304, 0), "{}", self.name);
                assert_eq!(
                    same.header("Cache-Control"),
                    Some(IMMUTABLE),
                    "{}",
                    self.name
                );
            }
        }
        let other = self.with("GET", &[("If-None-Match", "\"other\"")]);
        assert_eq!((other.status, &other.body), (200, &self.whole.body));
    }

    fn is_resumed(&self, digest: Option<&str>) {
        let name = &self.name;
        let [etag, date] = self.validators();
        for header in [
            None,
            Some(("If-Range", etag)),
            Some(("If-Range", date)),
            Some(("Accept-Encoding", "gzip")),
        ] {
            let headers: Vec<_> = [("Range", "bytes=10-")].into_iter().chain(header).collect();
            let rest = self.with("GET", &headers);
            // A date is no strong validator of what is younger than a minute (RFC 9110, 13.1.5).
            let is_whole = match header {
                Some(("If-Range", value)) => value == date || !self.has_if_range,
                _ => false,
            };
            if is_whole && rest.status == 200 {
                assert_eq!(rest.body, self.whole.body, "{name}");
                continue;
            }
            assert_eq!(rest.status, 206, "{name} {header:?}");
            assert_eq!(rest.body, self.whole.body[10..], "{name}");
            for (header, value) in [
                ("Cache-Control", Some(IMMUTABLE)),
                ("Docker-Content-Digest", digest),
                ("Content-Type", self.whole.header("Content-Type")),
            ] {
                assert_eq!(rest.header(header), value, "{name}");
            }
        }
        let other = self.with("GET", &[("Range", "bytes=10-"), ("If-Range", "\"other\"")]);
        assert_eq!((other.status, &other.body), (200, &self.whole.body));
        let end = self.with("GET", &[("Range", "bytes=-5")]);
        let size = self.whole.body.len();
        assert_eq!(
            (end.status, &end.body[..]),
            (206, &self.whole.body[size - 5..])
        );
    }

    /// One part is the same everywhere; for several, and for what is no range, a server may answer otherwise.
    fn has_parts(&self, skills: Skills) {
        let whole = &self.whole.body;
        let end = whole.len() - 1;
        for (range, from, to) in [
            ("bytes=0-0", 0, 0),
            ("bytes=2-5", 2, 5),
            ("bytes=10-", 10, end),
            ("bytes=10-99999999", 10, end),
            ("bytes=-5", end - 4, end),
            ("bytes=-99999999", 0, end),
        ] {
            let name = format!("{} {range}", self.name);
            let part = self.with("GET", &[("Range", range)]);
            let said = format!("bytes {from}-{to}/{}", whole.len());
            assert_eq!(part.status, 206, "{name}");
            assert_eq!(part.header("Content-Range"), Some(said.as_str()), "{name}");
            assert_eq!(part.body, whole[from..=to], "{name}");
            let head = self.with("HEAD", &[("Range", range)]);
            let expected = if skills.whole_head { 200 } else { 206 };
            assert_eq!(head.status, expected, "{name}");
        }
        for range in [
            "bytes=+0-1",
            "bytes=5-2",
            "bytes=a-b",
            "items=0-1",
            "bytes=",
        ] {
            let answer = self.with("GET", &[("Range", range)]);
            let is_whole = answer.status == 200 && answer.body == *whole;
            assert!(
                is_whole || answer.status == 416,
                "{} {range}: {answer:?}",
                self.name
            );
        }
        let several = self.with("GET", &[("Range", "bytes=0-1,4-5")]);
        let is_whole = several.status == 200 && several.body == *whole;
        let media_type = several.header("Content-Type").unwrap_or_default();
        let is_multipart = several.status == 206 && media_type.starts_with("multipart/byteranges");
        assert!(is_whole || is_multipart, "{}: {several:?}", self.name);
    }

    /// No cache keeps that a range lies beyond the end.
    fn has_an_end(&self, is_json: bool) {
        let beyond = self.with("GET", &[("Range", "bytes=9999999-")]);
        assert_eq!(beyond.status, 416, "{}", self.name);
        // Once: a browser refuses two.
        if !self.name.starts_with("cloudfront") {
            let origin = beyond.header("Access-Control-Allow-Origin");
            assert_eq!(origin, Some("*"), "{}", self.name);
        }
        // nginx has added its headers when it finds out that the range is wrong; the last word counts. Without any, no
        // cache keeps a 416 (RFC 9110, 15.1).
        let mut control = beyond.headers.iter().rev();
        let control = control.find(|(name, _)| name == "cache-control");
        assert!(control.is_none_or(|(_, value)| value == "no-cache"));
        // JSON must have the form of the API, any other body is as good (distribution-spec, "Error Codes").
        let body = serde_json::from_slice::<serde_json::Value>(&beyond.body);
        assert_eq!(body.is_ok(), is_json, "{}: {beyond:?}", self.name);
        if let Ok(body) = body {
            let is_v2 = self.path.starts_with("/v2/");
            let expected = if is_v2 {
                "UNSUPPORTED"
            } else {
                "No such range"
            };
            let said = if is_v2 {
                &body["errors"][0]["code"]
            } else {
                &body["error"]
            };
            assert_eq!(said, expected, "{}", self.name);
        }
    }
}

/// A pointer moves many times within a second, by files of one size, while a client asks each time
/// whether what it has is still right. `move_tag(turn)` moves it and returns the paths that changed, each
/// with what it holds now.
fn assert_never_old(
    name: &str,
    port: u16,
    mut move_tag: impl FnMut(usize) -> Vec<(String, Vec<u8>)>,
) {
    let mut validators: Vec<(&str, String)> = Vec::new();
    for turn in 0..40 {
        for (path, now) in move_tag(turn) {
            let known = validators.clone();
            let conditions = known
                .iter()
                .map(|(name, value)| Some((*name, value.as_str())));
            for condition in [None].into_iter().chain(conditions) {
                let mut headers = condition.as_slice().to_vec();
                if headers.iter().any(|(name, _)| *name == "If-Range") {
                    headers.push(("Range", "bytes=1-"));
                }
                let answer = http::send(port, "GET", &path, &headers).unwrap();
                let asked = format!("{name}, turn {turn}: {path} {headers:?}");
                assert_eq!(answer.status, 200, "{asked}");
                assert_eq!(answer.body, now, "{asked}");
                remember(&mut validators, &answer);
            }
        }
    }
}

/// What a cache may make of an answer to revalidate it.
fn remember(validators: &mut Vec<(&str, String)>, answer: &Response) {
    let names = [
        ("ETag", "If-None-Match"),
        ("ETag", "If-Range"),
        ("Last-Modified", "If-Modified-Since"),
        ("Date", "If-Modified-Since"),
        ("Date", "If-Range"),
    ];
    for (from, to) in names {
        let value = answer.header(from).map(|value| (to, value.to_owned()));
        if let Some(new) = value.filter(|new| !validators.contains(new)) {
            validators.push(new);
        }
    }
}

#[test]
fn a_tag_moved_back_and_forth_within_a_second_under_conditional_gets_never_yields_old_content() {
    let folder = TempDir::new("moving");
    let sources = ["one", "two"].map(|text| {
        let path = folder.path().join(text);
        let image = Image::new(&["app:moving"]).layer("etc/text", text);
        fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
        path.to_str().unwrap().to_owned()
    });
    for server in SERVERS {
        if server.skills.by_catalogue {
            continue; // it is told about new tags
        }
        let site = folder.path().join(server.name);
        build(&[&sources[0]], &site);
        let running = server.start(&site);
        let mut seen = BTreeSet::new();
        assert_never_old(server.name, running.port, |turn| {
            build(&[&sources[turn % 2]], &site);
            let tags = "v1/repositories/app/tags";
            let moved: Vec<_> = [
                ("v2/app/manifests/moving".to_owned(), ""),
                (format!("{tags}/moving"), ""),
                (tags.to_owned(), "/index.json"),
                ("v2/_catalog".to_owned(), ""),
            ]
            .into_iter()
            .map(|(path, file)| {
                let now = fs::read(site.join(format!("{path}{file}"))).unwrap();
                (format!("/{path}"), now)
            })
            .collect();
            seen.insert(moved[0].1.clone());
            moved
        });
        assert_eq!(seen.len(), 2, "the tag moved between two manifests");
        let sizes: BTreeSet<_> = seen.iter().map(Vec::len).collect();
        assert_eq!(sizes.len(), 1, "they are of one size");
    }
}

#[test]
fn a_folder_may_have_an_odd_name() {
    let parent = TempDir::new("odd");
    for name in ["with space", "a \"b\" 'c' `d`", "semi;colon#x", "ünïcode"] {
        let site = parent.path().join(name);
        build(&["fixtures/docker-20.10.tar", "--server", "apache"], &site);
        for server in SERVERS.iter().filter(|server| !server.skills.is_copy) {
            let running = server.start(&site);
            let answer = http::get(running.port, "/v2/sample/hello/manifests/1.0");
            let asked = format!("{} {name}\n{}", server.name, running.log());
            assert_eq!(answer.status, 200, "{asked}");
        }
    }
}

#[test]
fn a_folder_that_a_server_would_take_for_a_pattern_is_refused() {
    let parent = TempDir::new("pattern");
    let for_caddy = ["a*b", "a?b", "[ab]", "a\\b", "{env.HOME}"].map(|name| ("caddy", name));
    for (server, name) in for_caddy.into_iter().chain([("nginx", "a$b")]) {
        let site = parent.path().join(name);
        hand_made_site(&site);
        let mut command = stillage(["config", server]);
        let output = command.arg(&site).output().unwrap();
        let messages = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {messages}");
        assert!(messages.contains("hint: "), "{name}: {messages}");
    }
}

#[test]
fn what_is_replaced_in_a_template_is_there_once() {
    let site = TempDir::new("site");
    hand_made_site(site.path());
    let out = TempDir::new("out");
    for (server, replaced) in [
        ("caddy", ["http://:5001 {", "\tbind [::1]\n"]),
        (
            "lighttpd",
            ["server.port = 5001\n", "server.bind = \"[::1]\"\n"],
        ),
    ] {
        let file = out.path().join(server);
        let mut command = stillage(["config", server, "--listen", "[::1]:5001", "-o"]);
        let output = command.arg(&file).arg(site.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = fs::read_to_string(&file).unwrap();
        for line in replaced {
            assert_eq!(text.matches(line).count(), 1, "{line}\n{text}");
        }
        let root = format!("\"{}\"", site.path().display());
        assert_eq!(text.matches(&root).count(), 1, "{text}");
        assert!(!text.contains("/srv/registry"), "{text}");
        assert!(!text.contains("/etc/lighttpd/"), "{text}");
    }
}
