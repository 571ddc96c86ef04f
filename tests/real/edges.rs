//! The edges of CDNs: what else their functions do, and the engine that they run on.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::publish::noise;
use crate::support::archive::{Archive, Image, Pack};
use crate::support::clients::{installed, script};
use crate::support::expected::build_site;
use crate::support::findings::found;
use crate::support::http;
use crate::support::process::{run, tool};
use crate::support::servers::bucket::Store;
use crate::support::servers::cloudflare::CLOUDFLARE;
use crate::support::servers::cloudfront::CLOUDFRONT;
use crate::support::site::{build, small_site, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// `CloudFront` runs functions on an engine that is not that of Node: nginx's, as far as its documentation tells.
/// Prints what the function makes of events.
const EVENTS: &str = r#"
const ID = 'a'.repeat(64), digest = { value: 'sha256:' + 'b'.repeat(64) };
function event(eventType, uri, more) {
    const headers = { 'user-agent': { value: 'Docker-Client/20.10' }, range: { value: 'bytes=1-' } };
    const request = Object.assign({ method: 'GET', uri: uri, querystring: {}, headers: headers, cookies: {} }, more);
    const response = { statusCode: 200, statusDescription: 'OK', headers: { etag: { value: '1' },
        'x-amz-meta-docker-content-digest': digest, 'x-amz-request-id': { value: '1' } } };
    return handler({ version: '1.0', context: { eventType: eventType }, request: request, response: response });
}
['/', '/%', '/v2/', '/v2/../x', '/v2/a//b/manifests/1', '/v2/a/manifests/sha256%3A' + ID, '/v2/a/blobs/sha256:' + ID,
    '/v2/a/referrers/x', '/v1/_ping', '/v1/repositories/a/tags/', '/v1/images/' + ID + '/layer', '/v2/x', '/x'].forEach((uri) => {
    console.log(JSON.stringify([event('viewer-request', uri), event('viewer-response', uri)]));
});
console.log(JSON.stringify(event('viewer-request', '/v1/_ping', { method: 'PUT' })));
console.log(JSON.stringify(event('viewer-request', '/v2/a/tags/list', { querystring: { n: { value: '9' } } })));
"#;

#[test]
fn the_function_of_cloudfront_runs_on_an_engine_like_its_own() {
    let (site, folder) = (small_site(), TempDir::new("njs"));
    let file = folder.path().join("function.js");
    let mut config = stillage(["config", "cloudfront", "-o"]);
    succeed(config.arg(&file).arg(site.path()));
    let function = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{function}{EVENTS}")).unwrap();
    let said = run(Command::new(tool("njs")).arg(&file)).unwrap();
    assert_eq!(said, run(Command::new(tool("node")).arg(&file)).unwrap());
    let once = function.replace("LAYERS_ONCE = false", "LAYERS_ONCE = true");
    fs::write(&file, once + EVENTS).unwrap();
    let once = run(Command::new(tool("njs")).arg(&file)).unwrap();
    let asked = |said: &str| {
        let layer = said.lines().find(|line| line.contains("/layer")).unwrap();
        layer.contains("bytes=1-")
    };
    assert!(asked(&said) && !asked(&once), "{once}");
    assert_eq!(said.lines().count(), 15, "{said}");
    for part in [
        "NAME_UNKNOWN",
        "DIGEST_INVALID",
        "read-only",
        "\"uri\":\"/blobs/sha256/aaa",
        "\"statusCode\":302",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// Nothing in a function depends on the images, so that one serves all that is ever published.
#[test]
fn a_function_does_not_know_the_images() {
    let folder = TempDir::new("edges");
    let sites = ["fixtures/docker-20.10.tar", "fixtures/oci-layout-multiarch"].map(|source| {
        let site = folder.path().join(source.replace('/', "-"));
        build(&[source], &site);
        site
    });
    for edge in ["cloudflare", "cloudfront"] {
        let written = sites.each_ref().map(|site| {
            let file = folder.path().join(edge);
            succeed(stillage(["config", edge, "-o"]).arg(&file).arg(site));
            fs::read(&file).unwrap()
        });
        assert_eq!(written[0], written[1]);
        assert!(!written[0].is_empty());
    }
    // But CloudFront's knows whether there is v1: without, all clients get the version of v2.
    let only_v2 = folder.path().join("v2");
    build(&["fixtures/docker-20.10.tar", "--no-v1"], &only_v2);
    let file = folder.path().join("function");
    succeed(
        stillage(["config", "cloudfront", "-o"])
            .arg(&file)
            .arg(&only_v2),
    );
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains("HAS_V1 = false")
    );
}

#[test]
fn the_headers_for_netlify_are_those_of_its_parser() {
    let (site, folder) = (build_site(), TempDir::new("netlify"));
    // Wildcards must not take these for what they are called.
    let names = ["blobs:1", "a/blobs:1", "a/manifests:1"];
    let odd = names.map(|name| Image::new(&[name]).layer("file", name));
    Archive::oci(&odd).folder(&folder.path().join("odd"));
    build(&[folder.path().join("odd").to_str().unwrap()], site.path());
    let written = |server: &str| {
        let file = folder.path().join(server);
        succeed(
            stillage(["config", server, "-o"])
                .arg(&file)
                .arg(site.path()),
        );
        file
    };
    let (headers, lines) = (written("netlify"), written("headers"));
    installed("clients/node_modules/netlify-headers-parser");
    let mut node = Command::new(tool("node"));
    node.arg(script("netlify.mjs")).args([&headers, &lines]);
    let parsed: Value = serde_json::from_str(&run(&mut node).unwrap()).unwrap();
    let (mut types, mut digests) = (0, 0);
    for line in fs::read_to_string(&lines).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let path = line["path"].as_str().unwrap();
        let found = &parsed[path];
        let kind = path.rsplit('/').nth(1);
        let is = |name: &str| path.starts_with("/v2/") && kind == Some(name);
        if is("manifests") || is("referrers") {
            assert_eq!(found["Content-Type"], line["type"], "{path}");
            types += 1;
        }
        if is("manifests") || is("blobs") {
            assert_eq!(found["Docker-Content-Digest"], line["digest"], "{path}");
            digests += 1;
        }
        let immutable = "public, max-age=31536000, immutable";
        let is_immutable = found["Cache-Control"] == immutable;
        assert_eq!(
            is_immutable,
            line["cache"] == "immutable",
            "{path}: {found}"
        );
        let version = found.get("X-Docker-Registry-Version").is_some();
        assert_eq!(version, path.starts_with("/v1/"), "{path}");
    }
    assert!(types > 50 && digests > 100, "{types} {digests}");
}

#[test]
fn tags_that_netlify_would_mix_up_are_refused() {
    let folder = TempDir::new("netlify");
    let images = ["V1", "v1"].map(|tag| Image::new(&[&format!("app:{tag}")]).layer("file", tag));
    Archive::oci(&images).folder(&folder.path().join("layout"));
    let site = folder.path().join("site");
    build(&[folder.path().join("layout").to_str().unwrap()], &site);
    let output = stillage(["config", "netlify"]).arg(&site).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("hint: remove one"),
        "{}",
        stderr(&output)
    );
}

/// A layer of v1 that is a blob is an empty object. One edge finds the blob, the other sends the client there.
#[test]
fn a_layer_is_stored_once_and_stays_while_v1_needs_it() {
    let folder = TempDir::new("layers");
    let image = |name: &str, pack| {
        let image = Image::new(&[name])
            .layer("file", &noise(40_000))
            .packed(pack);
        let layout = folder.path().join(name.replace(['/', ':'], "-"));
        Archive::oci(&[image]).folder(&layout);
        layout.to_str().unwrap().to_owned()
    };
    // Two manifests with the same v1 images: of one the layers are not compressed.
    let (first, second) = (
        image("o/plain:1", Pack::Plain),
        image("o/gzip:1", Pack::Gzip),
    );
    let sites = [&first, &second].map(|source| {
        let site = folder
            .path()
            .join(format!("{}-site", source.rsplit('/').next().unwrap()));
        build(&[source], &site);
        site
    });
    let once = ["--blobs-once", "--layers-once"];
    let running = CLOUDFRONT.start(&sites[0]);
    let store = running.bucket.as_ref().unwrap();
    let layers: Vec<String> = store.list("v1/images/").into_keys().collect();
    let layer = layers.iter().find(|key| key.ends_with("/layer")).unwrap();
    let layer = format!("v1/images/{layer}");
    let whole = store.object(&layer).unwrap().body;
    store.delete(&layer);
    store.published(&sites[0], &once);
    let stored = store.object(&layer).unwrap();
    assert!(stored.body.is_empty());
    let digest = stored
        .header("x-amz-meta-docker-content-digest")
        .unwrap()
        .to_owned();
    for options in [&[][..], &["--check-headers"]] {
        let said = stderr(&store.published(&sites[0], &[&once, options].concat()));
        assert_eq!(said, "nothing to do\n");
    }

    let moved = http::get(running.port, &format!("/{layer}"));
    let blob = format!("/{}", digest.replace("sha256:", "blobs/sha256/"));
    assert_eq!(
        (moved.status, moved.header("Location")),
        (302, Some(&*blob))
    );
    assert_eq!(http::get(running.port, &blob).body, whole);
    let worker = CLOUDFLARE.start(&sites[0]);
    let plan = fs::read_to_string(worker.dir().join("plan")).unwrap();
    let planned = plan.lines().find(|line| line.contains(&layer)).unwrap();
    assert!(
        planned.contains("\"size\":0") && planned.contains(&digest),
        "{planned}"
    );
    let problems = found(worker.port, &["--deep"]);
    assert!(problems.is_empty(), "{problems:#?}");
    let direct = http::get(worker.port, &format!("/{layer}"));
    assert_eq!((direct.status, &direct.body), (200, &whole));
    let part = http::send(
        worker.port,
        "GET",
        &format!("/{layer}"),
        &[("Range", "bytes=5-9")],
    );
    assert_eq!(part.unwrap().body, whole[5..10]);

    // The blob is only in a manifest that goes, but v1 needs it for the one that stays.
    store.published(&sites[1], &[&once[..], &["--mirror"]].concat());
    assert!(store.object(&layer).unwrap().body.is_empty());
    let prune = ["--mirror", "--prune", "--grace", "0s"];
    for _ in 0..2 {
        store.published(&sites[1], &[&once[..], &prune].concat());
    }
    assert!(store.object("v2/o/plain/manifests/1").is_none());
    assert_eq!(http::get(running.port, &blob).body, whole);

    // Another publisher is about to use the layer again, and has taken it off the list, but not the blob.
    let other = image("o/other:1", Pack::Zstd);
    let site = folder.path().join("other-site");
    build(&[&other], &site);
    store.published(&site, &[&once[..], &["--mirror"]].concat());
    store.put("_publish/unused", format!("0 {}\n", &blob[1..]).as_bytes());
    let waits = ["--prune", "--grace", "1h"];
    store.published(&site, &[&once[..], &waits].concat());
    assert_eq!(http::get(running.port, &blob).body, whole);
    // Without it, the blob goes.
    store.delete(&layer);
    store.put("_publish/unused", format!("0 {}\n", &blob[1..]).as_bytes());
    store.published(&site, &[&once[..], &waits].concat());
    assert!(store.object(&blob[1..]).is_none());

    // Whole layers stay as they are too, whatever the encoding of the next.
    let whole_layers = Store::start();
    for site in &sites {
        whole_layers.published(site, &[]);
        assert_eq!(whole_layers.object(&layer).unwrap().body, whole);
    }
}

/// What no client asks for is answered all the same.
#[test]
fn odd_requests_are_refused() {
    let site = small_site();
    for edge in [&CLOUDFLARE, &CLOUDFRONT] {
        let running = edge.start(site.path());
        let long = format!("/v2/{}/tags/list", "a".repeat(1500));
        for (path, status) in [
            ("/v2/%3Facl%26/manifests/1", 404),
            ("/v2/%3Fx/tags/list", 404),
            ("/v1/repositories/tiny/tags/%256cist?n=1", 404),
            ("/v1/repositories/tiny/tags/a%0d%0ab", 404),
            ("/v1/repositories/tiny/tags/list?n=1", 404),
            ("/_publish/headers.json", 404),
            ("/v2/%/tags/list", 404),
            ("/v2/tiny/tags/list?n=1000", 200),
            (&long, 404),
        ] {
            let answer = http::get(running.port, path);
            assert_eq!(answer.status, status, "{} {path}", edge.name);
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
        }
    }
}
