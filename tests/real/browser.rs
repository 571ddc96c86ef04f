//! A real browser: what pages of other origins, such as a registry UI, may read.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::clients::{installed, script};
use crate::support::expected::build_site;
use crate::support::process::{run, tool};
use crate::support::servers::nginx::NGINX;
use crate::support::servers::{SERVERS, Server};

/// What Chromium reads of registries, from a page of another origin.
fn read_by_page(urls: &[String]) -> Vec<Value> {
    installed("clients/node_modules/playwright-core");
    let mut node = Command::new(tool("node"));
    node.arg(script("browser.mjs")).arg(tool("chromium"));
    serde_json::from_str(&run(node.args(urls)).unwrap()).unwrap()
}

#[test]
fn a_page_of_another_origin_reads_tags_and_a_manifest() {
    let site = build_site();
    let manifest = fs::read(site.path().join("v2/tiny/manifests/1")).unwrap();
    let link = fs::read_link(site.path().join("v2/tiny/_tags/1")).unwrap();
    let digest = link.file_name().unwrap().to_str().unwrap();
    let tags = crate::support::site::json(site.path().join("v2/tiny/tags/list"));
    let servers: Vec<&Server> = SERVERS.into_iter().collect();
    let running: Vec<_> = servers
        .iter()
        .map(|server| server.start(site.path()))
        .collect();
    let urls: Vec<String> = running
        .iter()
        .map(|running| format!("http://127.0.0.1:{}", running.port))
        .collect();
    for (server, read) in servers.iter().zip(read_by_page(&urls)) {
        // CloudFront does not run the function for errors, so a page cannot read them.
        if !server.skills.own_errors {
            assert!(read["error"].is_string(), "{}: {read}", server.name);
            continue;
        }
        let expected = json!({"tags": tags["tags"], "digest": digest, "length": manifest.len(), "missing": 404});
        assert_eq!(read, expected, "{}", server.name);
    }
}

#[test]
fn a_page_cannot_read_a_site_with_a_login() {
    let site = build_site();
    let running = NGINX.start_with(site.path(), "127.0.0.1:", &["--auth", "basic"]);
    let read = read_by_page(&[format!("http://127.0.0.1:{}", running.port)]);
    assert!(read[0]["error"].is_string(), "{read:?}");
}
