//! Queries on lists: search, pages, filters.

use serde_json::{Value, json};

use super::{body, site};
use crate::support::archive::{Archive, Image};
use crate::support::http;
use crate::support::row::POINTER;
use crate::support::servers::Running;
use crate::support::servers::builtin::SERVE;
use crate::support::site::build;
use crate::support::temp::TempDir;

fn names(value: &Value) -> Vec<&str> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn a_search_has_terms_and_pages() {
    let folder = TempDir::new("serve");
    let mut all: Vec<String> = (0..60).map(|n| format!("team/app{n:02}:1")).collect();
    all.push("other:1".into());
    let running = SERVE.start(&site(&folder, &all));
    let search = |query: &str| body(&http::get(running.port, &format!("/v1/search{query}")));

    let whole = search("");
    assert_eq!(whole["num_results"], 61);
    assert_eq!(names(&whole["results"]).len(), 61);
    let found = search("?q=app");
    let facts = |value: &Value| {
        ["num_results", "num_pages", "page", "page_size", "query"].map(|key| value[key].clone())
    };
    assert_eq!(
        facts(&found),
        [json!(60), json!(3), json!(1), json!(25), json!("app")]
    );
    assert_eq!(names(&found["results"])[24], "team/app24");
    let last = search("?q=APP&page=3&n=25");
    assert_eq!(names(&last["results"]).len(), 10);
    assert_eq!(last["query"], "APP");
    assert_eq!(names(&search("?q=app&page=4")["results"]).len(), 0);
    assert_eq!(search("?q=team%2Fapp0&n=3")["num_pages"], 4);
    assert_eq!(names(&search("?q=library/o")["results"]), ["library/other"]);
    // The bounds of the specification.
    assert_eq!(search("?q=app&n=1000")["page_size"], 100);
    assert_eq!(search("?q=app&n=0")["page_size"], 1);
    assert_eq!(search("?q=app&n=x&page=0")["page_size"], 25);
    assert_eq!(
        search("?q=app&page=18446744073709551615")["results"],
        json!([])
    );
}

/// Follows `Link` from page to page, as clients do.
fn pages(running: &Running, path: &str, list: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = http::get(running.port, &path);
        assert_eq!(
            (answer.status, answer.header("Cache-Control")),
            (200, Some(POINTER))
        );
        pages.push(serde_json::from_value(body(&answer)[list].clone()).unwrap());
        next = answer.header("Link").map(|link| {
            let link = link.strip_suffix(">; rel=\"next\"").unwrap();
            link.strip_prefix('<').unwrap().to_owned()
        });
        assert!(pages.len() < 50, "{pages:?}");
    }
    pages
}

#[test]
fn lists_come_in_pages() {
    let folder = TempDir::new("serve");
    let tags = ["app:1", "app:2", "app:V3", "app:v3", "deep/er:1", "x:1"].map(str::to_owned);
    let running = SERVE.start(&site(&folder, &tags));
    let tags = |query: &str| pages(&running, &format!("/v2/app/tags/list?{query}"), "tags");
    assert_eq!(tags("n=3"), [vec!["1", "2", "V3"], vec!["v3"]]);
    assert_eq!(tags("n=4"), [["1", "2", "V3", "v3"]]);
    assert_eq!(tags("n=9&last=2"), [["V3", "v3"]]);
    assert_eq!(tags("last=V3"), [["v3"]]);
    assert_eq!(tags("n=0"), [Vec::<&str>::new()]);
    let library = pages(&running, "/v2/library/app/tags/list?n=2", "tags");
    assert_eq!(library.concat(), ["1", "2", "V3", "v3"]);
    let catalog = pages(&running, "/v2/_catalog?n=2", "repositories");
    assert_eq!(catalog, [vec!["app", "deep/er"], vec!["x"]]);
    let wrong = http::get(running.port, "/v2/app/tags/list?n=-1");
    assert_eq!(wrong.status, 400);
    assert_eq!(body(&wrong)["errors"][0]["code"], "UNSUPPORTED");
    assert_eq!(
        http::get(running.port, "/v2/none/tags/list?n=1").status,
        404
    );
}

/// A page of a mirror links to the next under the path that was asked.
#[test]
fn pages_of_a_mirror_stay_in_their_registry() {
    let folder = TempDir::new("serve");
    let archive = folder.path().join("archive.tar");
    let names = ["quay.io/library/app:1", "quay.io/library/app:2", "app:3"];
    let images = names.map(|name| Image::new(&[name]).layer("etc/name", name));
    std::fs::write(&archive, Archive::docker_20(&images).tar()).unwrap();
    let site = folder.path().join("site");
    build(&[archive.to_str().unwrap(), "--full-names"], &site);
    let running = SERVE.start(&site);
    let of_quay = pages(&running, "/v2/library/app/tags/list?ns=quay.io&n=1", "tags");
    assert_eq!(of_quay, [["1"], ["2"]]);
    assert_eq!(
        pages(&running, "/v2/library/app/tags/list?n=1", "tags"),
        [["3"]]
    );
}

#[test]
fn referrers_are_filtered_by_their_type() {
    let folder = TempDir::new("serve");
    let site = folder.path().join("site");
    build(&["fixtures/oci-layout-referrer=app"], &site);
    let referrers = std::fs::read_dir(site.join("v2/app/referrers")).unwrap();
    let lists = referrers.map(|entry| crate::support::site::json(entry.unwrap().path()));
    let list = lists
        .into_iter()
        .find(|list| list["manifests"] != json!([]))
        .unwrap();
    let kind = list["manifests"][0]["artifactType"]
        .as_str()
        .unwrap()
        .to_owned();
    let running = SERVE.start(&site);
    let mut seen = 0;
    for entry in std::fs::read_dir(site.join("v2/app/referrers")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("/v2/app/referrers/{name}");
        let ask = |kind: &str| {
            let kind = kind.replace('+', "%2B");
            http::get(running.port, &format!("{path}?artifactType={kind}"))
        };
        let right = ask(&kind);
        assert_eq!(right.header("OCI-Filters-Applied"), Some("artifactType"));
        assert_eq!(
            body(&right)["manifests"],
            body(&http::get(running.port, &path))["manifests"]
        );
        seen += body(&right)["manifests"].as_array().unwrap().len();
        assert_eq!(body(&ask("other/kind"))["manifests"], json!([]));
    }
    assert!(seen > 0);
}
