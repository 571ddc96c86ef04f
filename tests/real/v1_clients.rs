//! Two clients of the v1 API, `docker-registry-client` of npm and of `PyPI`, read a site of all samples:
//! from nginx, and from a web server that knows nothing of registries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::clients::{Npm, PyPi};
use crate::support::expected::{Layers, build_site};
use crate::support::http;
use crate::support::process::{Daemon, tool};
use crate::support::registry::Registry;
use crate::support::servers::free_port;
use crate::support::temp::TempDir;
use crate::support::v1_images::{Tags, V1Layers, check_chain, check_tag, repositories};

#[test]
fn npm_client_reads_everything_from_nginx() {
    let registry = Registry::start();
    let got = Npm::read(registry.port(), repositories().into_keys()).unwrap();
    check_npm(&got, registry.site(), |tags| json!(tops(tags)));
}

/// `tags` is a folder there, and this client takes the redirect to it for an empty list.
#[test]
fn npm_client_reads_all_but_the_list_of_tags_from_any_web_server() {
    let site = build_site();
    let server = WebServer::start(site.path());
    let names = repositories().into_iter().map(|(name, tags)| {
        let tags: Vec<_> = tags.into_keys().collect();
        format!("{name}={}", tags.join(","))
    });
    let got = Npm::read(server.port, names).unwrap();
    check_npm(&got, site.path(), |_| json!({}));
}

#[test]
fn pypi_client_reads_everything_from_nginx() {
    check_pypi(&PyPi::read(Registry::start().port(), []).unwrap());
}

#[test]
fn pypi_client_reads_everything_from_any_web_server() {
    let site = build_site();
    let server = WebServer::start(site.path());
    check_pypi(&PyPi::read(server.port, []).unwrap());
}

/// Python's web server as it comes.
struct WebServer {
    port: u16,
    _daemon: Daemon,
    _log: TempDir,
}

impl WebServer {
    fn start(site: &Path) -> Self {
        let port = free_port();
        let number = port.to_string();
        let log = TempDir::new("web-server");
        #[rustfmt::skip]
        let args = [
            "-m", "http.server", "--bind", "127.0.0.1",
            "--directory", site.to_str().unwrap(), &number,
        ];
        let daemon = Daemon::start(&tool("python3"), &args, &log.path().join("log"))
            .wait_until(|| http::send(port, "GET", "/v1/_ping", &[]).is_ok());
        Self {
            port,
            _daemon: daemon,
            _log: log,
        }
    }
}

fn check_npm(got: &Value, site: &Path, listed: impl Fn(&Tags) -> Value) {
    assert_eq!(got["ping"], json!({}));
    assert_eq!(names(&got["search"]["results"], "name"), searched());
    let mut ids = BTreeSet::new();
    for (name, tags) in repositories() {
        let found = &got["repositories"][&name];
        assert_eq!(found["listed"], listed(&tags), "tags of {name}");
        check_tags(&name, &tags, &found["tags"]);
        let images: BTreeSet<_> = tags.into_values().flatten().collect();
        assert_eq!(names(&found["images"], "id"), images, "images of {name}");
        ids.extend(images);
    }
    let (layers, samples) = (V1Layers::expected(), Layers::read());
    let read = |id: &String| {
        let layer = &got["images"][id]["layer"];
        layers.check(id, layer, site, &samples).unwrap()
    };
    let completed = ids.iter().filter(|id| read(id)).count();
    assert_eq!(completed, 2, "the two layers that umoci wrote");
    for ids in repositories().into_values().flat_map(Tags::into_values) {
        let chain = ids.iter().map(|id| &got["images"][id]["json"]);
        check_chain(&chain.collect::<Vec<_>>(), &ids).unwrap();
    }
}

fn check_pypi(got: &Value) {
    assert_eq!(got["ping"], json!({}));
    assert_eq!(got["namespaces"], json!(["library", "sample", "samples"]));
    let repositories = repositories();
    let found = got["repositories"].as_object().unwrap();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), searched());
    for (name, found) in found {
        let tags = &repositories[name];
        assert_eq!(
            found.as_object().unwrap().len(),
            tags.len(),
            "tags of {name}"
        );
        check_tags(name, tags, found);
        for (tag, ids) in tags {
            let chain = found[tag]["json"].as_array().unwrap();
            check_chain(&chain.iter().collect::<Vec<_>>(), ids).unwrap();
        }
    }
}

fn check_tags(name: &str, tags: &Tags, found: &Value) {
    for (tag, ids) in tags {
        check_tag(&format!("{name}:{tag}"), &found[tag], ids).unwrap();
    }
}

/// The value of a key in each object of a list.
fn names(list: &Value, key: &str) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

/// What `/v1/repositories/<name>/tags` answers.
fn tops(tags: &Tags) -> BTreeMap<&str, &str> {
    let tops = tags
        .iter()
        .map(|(tag, ids)| (tag.as_str(), ids[0].as_str()));
    tops.collect()
}

/// The names that a search finds: a repository without a namespace is one of `library`.
fn searched() -> BTreeSet<String> {
    let names = repositories().into_keys();
    names.filter(|name| name.contains('/')).collect()
}
