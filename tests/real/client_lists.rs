//! What clients list: repositories that a search finds, tags, and a pull of all tags.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::clients::{Docker, Podman, Skopeo};
use crate::support::expected::{Kind, expected};
use crate::support::process::run;
use crate::support::registry::Registry;

#[test]
fn docker_searches_and_pulls_all_tags() {
    let registry = Registry::start();
    let docker = Docker::start();
    let search = ["search", "--limit", "100", "--format", "{{.Name}}"];
    let found = run(docker.command().args(search).arg(registry.reference("s"))).unwrap();
    assert_eq!(words(&found), searched());

    let name = "samples/docker-28-classic";
    let repository = registry.reference(name);
    run(docker
        .command()
        .args(["pull", "--quiet", "--all-tags", &repository]))
    .unwrap();
    let images = ["images", "--format", "{{.Tag}}", &repository];
    let got = run(docker.command().args(images)).unwrap();
    assert_eq!(words(&got), tags(name));
}

#[test]
fn podman_searches_and_lists_tags() {
    let registry = Registry::start();
    let podman = Podman::new();
    let search = |what: &str, arguments: &[&str]| {
        let mut command = podman.command();
        command.args(["search", "--tls-verify=false", "--limit", "100"]);
        run(command.args(arguments).arg(registry.reference(what))).unwrap()
    };
    let found = search("s", &["--format", "{{.Name}}"]);
    let expected = searched().into_iter().map(|name| registry.reference(&name));
    assert_eq!(words(&found), expected.collect());

    // A table of names and tags, whatever `--format` says.
    let name = "samples/oci-layout-referrer";
    let found = search(name, &["--list-tags"]);
    let last = found
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().last());
    assert_eq!(last.map(str::to_owned).collect::<BTreeSet<_>>(), tags(name));
}

#[test]
fn skopeo_lists_the_tags_of_every_repository() {
    let registry = Registry::start();
    let skopeo = Skopeo::new();
    let names: BTreeSet<_> = expected().into_iter().map(|e| e.name).collect();
    for name in names {
        let reference = format!("docker://{}", registry.reference(&name));
        let list = ["list-tags", "--tls-verify=false", &reference];
        let list: Value = serde_json::from_str(&run(skopeo.command().args(list)).unwrap()).unwrap();
        let got = list["Tags"].as_array().unwrap().iter();
        let got: BTreeSet<_> = got.map(|tag| tag.as_str().unwrap().to_owned()).collect();
        assert_eq!(got, tags(&name), "{name}");
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The repositories that a v1 search finds: one without a namespace as `library/name`.
fn searched() -> BTreeSet<String> {
    let images = expected().into_iter().filter(|e| e.kind != Kind::Artifact);
    let names = images.map(|e| e.name);
    names.filter(|name| name.contains('/')).collect()
}

fn tags(name: &str) -> BTreeSet<String> {
    let here = expected().into_iter().filter(|e| e.name == name);
    here.filter_map(|e| e.tag).collect()
}
