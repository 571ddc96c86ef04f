//! Two clients of the v1 API, `docker-registry-client` of npm and of `PyPI`, read a site of all samples:
//! from nginx, and from a web server that knows nothing of registries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::expected::{Expected, Layers, build_site, expected};
use crate::support::files::{decompressed, digest};
use crate::support::http;
use crate::support::process::{Daemon, run, tool};
use crate::support::registry::Registry;
use crate::support::servers::free_port;
use crate::support::temp::TempDir;

/// The tags of a repository, each with its image ids from the top to the base.
type Tags = BTreeMap<String, Vec<String>>;

#[test]
fn npm_client_reads_everything_from_nginx() {
    let registry = Registry::start();
    let got = npm(registry.port(), repositories().into_keys());
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
    let got = npm(server.port, names);
    check_npm(&got, site.path(), |_| json!({}));
}

#[test]
fn pypi_client_reads_everything_from_nginx() {
    check_pypi(&pypi(Registry::start().port()));
}

#[test]
fn pypi_client_reads_everything_from_any_web_server() {
    let site = build_site();
    let server = WebServer::start(site.path());
    check_pypi(&pypi(server.port));
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

fn npm(port: u16, repositories: impl IntoIterator<Item = String>) -> Value {
    let script = installed(
        "clients/v1.mjs",
        "clients/node_modules/docker-registry-client",
    );
    let mut command = Command::new(tool("node"));
    command.arg(script).arg(format!("http://127.0.0.1:{port}"));
    let text = run(command.args(repositories)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn pypi(port: u16) -> Value {
    let script = installed("clients/v1.py", ".venv/bin/python");
    let mut command = Command::new(in_tests(".venv/bin/python"));
    command.arg(script).arg(format!("http://127.0.0.1:{port}"));
    serde_json::from_str(&run(&mut command).unwrap()).unwrap()
}

/// A script, if what it needs is there.
fn installed(script: &str, needs: &str) -> PathBuf {
    let needs = in_tests(needs);
    let missing = format!("{} is missing: run tests/run.sh", needs.display());
    assert!(needs.exists(), "{missing}");
    in_tests(script)
}

fn in_tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
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
    let layers = layers();
    let samples = Layers::read();
    let mut completed = 0;
    for id in &ids {
        let layer = &got["images"][id]["layer"];
        let file = fs::read(site.join("v1/images").join(id).join("layer")).unwrap();
        let plain = decompressed(&file).unwrap();
        assert_eq!(layer["diffId"], digest(&plain), "layer of {id}");
        // Folders that a layer only implies go before it: Docker 1.x would make them unreadable.
        assert!(plain.ends_with(samples.plain(&layers[id])), "layer of {id}");
        completed += usize::from(layer["diffId"] != *layers[id]);
        assert_eq!(layer["size"], file.len(), "layer of {id}");
        let sha256 = layer["sha256"].as_str().unwrap();
        assert_eq!(format!("sha256:{sha256}"), digest(&file), "layer of {id}");
    }
    assert_eq!(completed, 2, "the two layers that umoci wrote");
    for ids in repositories().into_values().flat_map(Tags::into_values) {
        for (number, id) in ids.iter().enumerate() {
            let json = &got["images"][id]["json"];
            check_json(json, id, ids.get(number + 1));
        }
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
            check_json(&found[tag]["json"], &ids[0], ids.get(1));
        }
    }
}

fn check_tags(name: &str, tags: &Tags, found: &Value) {
    for (tag, ids) in tags {
        assert_eq!(found[tag]["id"], ids[0], "{name}:{tag}");
        assert_eq!(found[tag]["ancestry"], json!(ids), "{name}:{tag}");
    }
}

fn check_json(json: &Value, id: &str, parent: Option<&String>) {
    assert_eq!(json["id"], id);
    assert_eq!(json.get("parent"), parent.map(|id| json!(id)).as_ref());
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

/// What the site has in v1, by repository: images, and of an index the one for linux/amd64.
fn repositories() -> BTreeMap<String, Tags> {
    let mut repositories: BTreeMap<_, Tags> = BTreeMap::new();
    for Expected {
        name, tag, images, ..
    } in expected()
    {
        let platform = Some("linux/amd64");
        let image = images
            .into_iter()
            .find(|i| i.platform.is_none() || i.platform.as_deref() == platform)
            .unwrap();
        if let (Some(tag), false) = (tag, image.v1_ids.is_empty()) {
            let tags = repositories.entry(name).or_default();
            tags.insert(tag, image.v1_ids);
        }
    }
    repositories
}

/// The names that a search finds: a repository without a namespace is one of `library`.
fn searched() -> BTreeSet<String> {
    let names = repositories().into_keys();
    names.filter(|name| name.contains('/')).collect()
}

/// The diff ID of each v1 image's layer. Where a source brings ids that are derived from another
/// source's image, the derived form is served.
fn layers() -> BTreeMap<String, String> {
    let images = expected().into_iter().flat_map(|e| e.images);
    let (legacy, modern): (Vec<_>, Vec<_>) = images.partition(|image| image.legacy);
    let mut layers = BTreeMap::new();
    for image in modern.into_iter().chain(legacy) {
        for (id, diff_id) in image.v1_ids.iter().rev().zip(image.diff_ids) {
            layers.entry(id.clone()).or_insert(diff_id);
        }
    }
    layers
}
