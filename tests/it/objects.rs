//! The list of what a site publishes, as `config headers` prints it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::site::{json, small_site, stillage, succeed};

/// Whoever uploads in this order publishes nothing before what it names.
#[test]
fn objects_are_listed_in_the_order_of_publishing() {
    let site = small_site();
    let output = succeed(stillage(["config", "headers"]).arg(site.path()));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let paths = lines.iter().map(|line| line["path"].as_str().unwrap());
    let place: BTreeMap<&str, usize> = paths.clone().zip(0..).collect();
    assert_eq!(place.len(), lines.len(), "each once");
    let before = |first: &str, then: &str| assert!(place[first] < place[then], "{first}, {then}");
    let (mut manifests, mut tags) = (0, 0);
    for path in paths.clone() {
        let Some((name, reference)) = path.split_once("/manifests/") else {
            continue;
        };
        let manifest = json(site.path().join(&path[1..]));
        if reference.starts_with("sha256:") {
            manifests += 1;
            let layers = manifest["layers"].as_array().into_iter().flatten();
            for blob in layers.chain(manifest.get("config")) {
                before(
                    &format!("{name}/blobs/{}", blob["digest"].as_str().unwrap()),
                    path,
                );
            }
            before(path, &format!("{name}/tags/list"));
        } else {
            tags += 1;
            let digest = lines[place[path]]["digest"].as_str().unwrap();
            before(&format!("{name}/manifests/{digest}"), path);
            before(path, &format!("{name}/tags/list"));
        }
    }
    assert!(
        manifests > 10 && tags > 5,
        "{manifests} manifests, {tags} tags"
    );
    for path in paths.clone().filter(|path| path.ends_with("/json")) {
        for file in ["layer", "ancestry"] {
            before(&path.replace("/json", &format!("/{file}")), path);
        }
    }
    for path in paths.filter(|path| path.ends_with("/tags/list")) {
        before(path, "/v2/_catalog");
    }
    assert_eq!(place["/index.json"], lines.len() - 1);
}
