//! Apache with the `.htaccess` files of a site.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::answers::rows;
use super::support::archive::{Archive, Image};
use super::support::clients::Skopeo;
use super::support::expected::build_site;
use super::support::files::digest;
use super::support::hand_site::TYPES;
use super::support::http;
use super::support::sample::Sample;
use super::support::servers::apache::APACHE;
use super::support::site::{build, json, verify};
use super::support::temp::TempDir;

pub(crate) const ONE: &str = "fixtures/docker-20.10.tar";
pub(crate) const FOR_APACHE: [&str; 2] = ["--server", "apache"];
pub(crate) const TAGS: &str = "v2/sample/hello/manifests/.htaccess";

fn write(folder: &TempDir, name: &str, archive: &Archive) -> String {
    let path = folder.path().join(name);
    fs::write(&path, archive.tar()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A site that verifies.
pub(crate) fn built(sources: &[&str]) -> TempDir {
    let site = TempDir::new("apache");
    build(sources, site.path());
    verify(site.path());
    site
}

#[test]
fn one_api_alone_is_served() {
    for (option, has, lacks) in [
        ("--no-v2", "/v1/_ping", "/v2/"),
        ("--no-v1", "/v2/", "/v1/_ping"),
    ] {
        let site = built(&[ONE, option, FOR_APACHE[0], FOR_APACHE[1]]);
        assert_eq!(site.path().join(TAGS).exists(), option == "--no-v1");
        let apache = APACHE.start(site.path());
        assert_eq!(http::get(apache.port, has).status, 200, "{option}");
        let answer = http::get(apache.port, lacks);
        assert_eq!(answer.status, 404, "{option}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
}

/// Tags that differ by case or by what a dot stands for, and repositories called like parts of the APIs.
#[test]
fn names_are_taken_literally() {
    let folder = TempDir::new("names");
    let names = [
        "app:a.b",
        "app:aXb",
        "app:A.B",
        "app:a.b.html",
        "app:a.cgi",
        "app:a.gz",
        "app:tags",
        "app:_-.",
        "ns/a.b/manifests:1",
        "ns/axb/manifests:1",
        "ns/c.d/tags/list:manifests",
        "v2/x:1",
    ];
    let images = names.map(|name| Image::new(&[name]).layer("etc/name", name));
    let source = write(&folder, "all.tar", &Archive::docker_20(&images));
    let site = folder.path().join("a [site]* \\of \"mine\"");
    build(&[&source, FOR_APACHE[0], FOR_APACHE[1]], &site);
    verify(&site);
    let apache = APACHE.start(&site);
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        let (name, tag) = name.split_once(':').unwrap();
        let of = Sample::read(&site, name, tag);
        seen.insert(of.digest.clone());
        let wrong: Vec<_> = rows(&of, APACHE.skills)
            .iter()
            .flat_map(|row| row.check(apache.port))
            .collect();
        assert!(
            wrong.is_empty(),
            "{name}:{tag}: {wrong:#?}\n{}",
            apache.log()
        );
    }
    assert_eq!(seen.len(), names.len());
    for absent in [
        "app/manifests/axb",
        "app/manifests/a-b",
        "app/manifests/A.b",
        "ns/a-b/manifests/manifests/1",
    ] {
        assert_eq!(
            http::get(apache.port, &format!("/v2/{absent}")).status,
            404,
            "{absent}"
        );
    }
}

#[test]
fn every_row_holds_for_every_source() {
    let site = build_site();
    let apache = APACHE.start(site.path());
    for (name, tag) in [
        ("samples/docker-1.4.1", "2.0"),
        ("samples/oci-layout-zstd", "latest"),
        ("samples/dir-s2", "latest"),
    ] {
        let wrong: Vec<_> = rows(&Sample::read(site.path(), name, tag), APACHE.skills)
            .iter()
            .flat_map(|row| row.check(apache.port))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{}", apache.log());
    }
    let skopeo = Skopeo::new();
    let catalogue = json(site.path().join("index.json"));
    for entry in catalogue["manifests"].as_array().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap();
        let Some((name, tag)) = name.rsplit_once(':').filter(|_| !name.contains('@')) else {
            continue;
        };
        let digest = entry["digest"].as_str().unwrap();
        let reference = format!("127.0.0.1:{}/{name}:{tag}", apache.port);
        assert_eq!(skopeo.copy_all(&reference).unwrap()[0], digest);
        for reference in [tag, digest] {
            let answer = http::get(apache.port, &format!("/v2/{name}/manifests/{reference}"));
            assert_eq!(
                answer.header("Content-Type"),
                entry["mediaType"].as_str(),
                "{name}"
            );
            assert_eq!(
                answer.header("Docker-Content-Digest"),
                Some(digest),
                "{name}"
            );
        }
    }
}

/// Types that no sample has; each by its tag and by its digest.
#[test]
fn manifests_have_the_type_of_their_second_name() {
    let site = built(&[ONE, FOR_APACHE[0], FOR_APACHE[1]]);
    let folder = site.path().join("v2/sample/hello");
    let mut tags = fs::read_to_string(site.path().join(TAGS)).unwrap();
    for (extension, _) in TYPES {
        let digest = digest(extension.as_bytes());
        for path in [
            format!("manifests/{digest}"),
            format!("_types/{digest}/{digest}.{extension}"),
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, extension).unwrap();
        }
        writeln!(
            tags,
            "SetEnvIf Request_URI /{extension}$ manifest={digest}.{extension}"
        )
        .unwrap();
    }
    fs::write(site.path().join(TAGS), tags).unwrap();
    let apache = APACHE.start(site.path());
    for (extension, media_type) in TYPES {
        let digest = digest(extension.as_bytes());
        for reference in [extension, &digest] {
            for method in ["GET", "HEAD"] {
                let path = format!("/v2/sample/hello/manifests/{reference}");
                let answer = http::send(apache.port, method, &path, &[]).unwrap();
                assert_eq!(answer.header("Content-Type"), Some(media_type), "{path}");
                assert_eq!(
                    answer.header("Docker-Content-Digest"),
                    Some(&*digest),
                    "{path}"
                );
            }
        }
    }
}

/// A body that is not read must not be taken for the next request.
#[test]
fn what_is_sent_to_be_stored_is_no_request() {
    let site = built(&[ONE, FOR_APACHE[0], FOR_APACHE[1]]);
    let apache = APACHE.start(site.path());
    let hidden = "GET /v1/_ping HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = hidden.len();
    for header in [
        format!("Content-Length: {length}"),
        "Transfer-Encoding: chunked".into(),
    ] {
        let body = if header.starts_with('T') {
            format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n")
        } else {
            hidden.to_owned()
        };
        let request =
            format!("PUT /v1/images/x/json HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n{body}");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", apache.port)).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
}

/// Two archives that give `app:moving` to manifests of different types.
pub(crate) fn moving(folder: &TempDir) -> [String; 2] {
    let image = |text: &str| Image::new(&["app:moving"]).layer("etc/text", text);
    let oci = folder.path().join("oci");
    Archive::oci(&[image("two")]).folder(&oci);
    [
        write(folder, "docker.tar", &Archive::docker_20(&[image("one")])),
        oci.to_str().unwrap().to_owned(),
    ]
}

#[test]
fn body_type_and_digest_of_a_moving_tag_never_disagree() {
    let folder = TempDir::new("moving");
    let sources = moving(&folder);
    let site = folder.path().join("site");
    build(&[&sources[0], FOR_APACHE[0], FOR_APACHE[1]], &site);
    let apache = APACHE.start(&site);
    let path = "/v2/app/manifests/moving";
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let answer = http::get(apache.port, path);
                assert_eq!(answer.status, 200);
                let body = digest(&answer.body);
                assert_eq!(answer.header("Docker-Content-Digest"), Some(body.as_str()));
                let manifest: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(
                    answer.header("Content-Type"),
                    manifest["mediaType"].as_str()
                );
                seen.insert(body);
            }
            seen.len()
        });
        for turn in 1..=20 {
            build(&[&sources[turn % 2]], &site);
            let now = fs::read(site.join(&path[1..])).unwrap();
            let answer = http::get(apache.port, path);
            assert_eq!(answer.body, now, "turn {turn}: exact without a reload");
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(asking.join().unwrap(), 2);
    });
    verify(&site);
}
