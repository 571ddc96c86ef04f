//! Pages for people, in a real browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::clients::{installed, script};
use crate::support::process::{run, tool};
use crate::support::servers::builtin::SERVE;
use crate::support::servers::nginx::NGINX;
use crate::support::site::{build, verify};
use crate::support::temp::TempDir;

/// Tags of `sample/versions` in the order of versions, each with the day of its image.
const VERSIONS: [(&str, &str); 7] = [
    ("edge", "2024-01-09"),
    ("v1.10.2", "2024-01-03"),
    ("1.9", "2024-01-08"),
    ("1.0", "2024-01-05"),
    ("1.0-rc1", "2024-01-04"),
    ("0.10", "2024-01-02"),
    ("0.9", "2024-01-07"),
];

/// Images of several names, dates and kinds, among them one that tries to run scripts.
fn site() -> TempDir {
    let (folder, site) = (TempDir::new("images"), TempDir::new("site"));
    let version = |(tag, day): &(&'static str, &'static str)| {
        let created = json!(format!("{day}T00:00:00Z"));
        Image::new(&[&format!("sample/versions:{tag}")])
            .layer("tag", tag)
            .config(move |config| config["created"] = created.clone())
    };
    let images: Vec<Image> = VERSIONS.iter().map(version).collect();
    let archive = folder.path().join("versions.tar");
    fs::write(&archive, Archive::oci(&images).tar()).unwrap();
    build(
        &[
            archive.to_str().unwrap(),
            "fixtures/docker-20.10.tar",
            "fixtures/injection.tar",
            "fixtures/oci-layout-multiarch",
            "fixtures/oci-layout-referrer=team/referrer",
        ],
        site.path(),
    );
    site
}

/// The pages below a folder of a site, relative to the site.
fn pages(site: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(site.join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names
        .filter(|name| name.contains(".html"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    pages.sort();
    pages
}

/// What Chromium sees of a site at a URL that ends in a slash.
fn seen(url: &str, paths: &[String]) -> Value {
    for package in ["playwright-core", "axe-core"] {
        installed(&format!("clients/node_modules/{package}"));
    }
    // Pictures stay where somebody wants to look at them.
    let temporary = TempDir::new("pictures");
    let kept = std::env::var_os("STILLAGE_PICTURES").map(PathBuf::from);
    let folder = kept.as_deref().unwrap_or(temporary.path());
    let mut node = Command::new(tool("node"));
    node.arg(script("pages.mjs"))
        .arg(tool("chromium"))
        .arg(folder)
        .arg(url);
    serde_json::from_str(&run(node.args(paths)).unwrap()).unwrap()
}

/// Checks what [`seen`] gives for the site of [`site`] at a host, with a path if there is one.
fn check(seen: &Value, host: &str) {
    let names = [
        "injection",
        "tiny",
        "sample/child",
        "sample/hello",
        "sample/multi",
        "sample/versions",
        "team/referrer",
    ];
    assert_eq!(seen["title"], "Container images");
    assert_eq!(seen["names"], json!(names));
    assert_eq!(seen["namespaces"], json!(["sample/", "team/"]));
    let newest = seen["newest"].as_array().unwrap();
    assert_eq!(newest.len(), names.len());
    assert_eq!(
        newest[4..],
        [
            json!("sample/multi"),
            json!("injection"),
            json!("sample/versions")
        ]
    );
    assert_eq!(seen["focused"], "query");
    assert_eq!(
        seen["found"],
        json!({"links": ["sample/child"], "count": "1 found"})
    );
    let by_version: Vec<&str> = VERSIONS.iter().map(|(tag, _)| *tag).collect();
    let mut by_date = VERSIONS;
    by_date.sort_by_key(|(_, day)| std::cmp::Reverse(*day));
    let by_date: Vec<&str> = by_date.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(seen["by_version"], json!(by_version));
    assert_eq!(seen["by_date"], json!(by_date));
    let repository = format!("{host}/sample/versions");
    assert_eq!(
        seen["podman"],
        format!("podman pull --tls-verify=false {repository}:edge")
    );
    assert_eq!(
        seen["tag"],
        format!("podman pull --tls-verify=false {repository}:0.9")
    );
    let digest = seen["digest"].as_str().unwrap();
    assert!(
        digest.starts_with(&format!("docker pull {repository}@sha256:")),
        "{digest}"
    );
    let plain = repository.replace("127.0.0.1", "registry.test");
    assert_eq!(
        seen["pasted"],
        format!("skopeo copy --src-tls-verify=false docker://{plain}:edge dir:FOLDER")
    );
    // The image that was created last.
    assert_eq!(seen["tags"], "edge");
    let without = &seen["without_script"];
    assert_eq!(without["names"], json!(names));
    assert_eq!(without["newest"], seen["newest"]);
    assert_eq!(without["by_date"], json!(by_date));
    assert_eq!(without["search"], false);
    assert_eq!(without["buttons"], 0);
    assert_eq!(without["command"], "docker pull HOST/sample/versions:edge");
    assert_eq!(without["layers"], 1);
    assert_eq!(seen["problems"], json!([]));
    assert_eq!(seen["violations"], json!([]));
    assert_eq!(seen["wide"], json!([]));
}

#[test]
fn people_find_and_copy_what_they_look_for() {
    let site = site();
    let mut paths = vec![String::new(), "_pages/_newest.html".into()];
    for repository in [
        "sample/versions",
        "sample/multi",
        "team/referrer",
        "injection",
    ] {
        paths.extend(
            pages(site.path(), &format!("_pages/{repository}"))
                .into_iter()
                .rev()
                .take(3),
        );
    }
    let running = SERVE.start(site.path());
    let host = format!("127.0.0.1:{}", running.port);
    let seen = seen(&format!("http://{host}/"), &paths);
    check(&seen, &host);
    let (light, dark) = ("rgb(255, 255, 255)", "rgb(21, 25, 27)");
    assert_eq!(
        seen["backgrounds"],
        json!({"light": light, "dark": dark, "phone": light})
    );
    verify(site.path());
}

#[test]
fn pages_work_below_a_path() {
    let site = site();
    let running = NGINX.start_with(site.path(), "127.0.0.1:", &["--prefix", "/our/hub"]);
    let host = format!("127.0.0.1:{}/our/hub", running.port);
    check(&seen(&format!("http://{host}/"), &[]), &host);
}
