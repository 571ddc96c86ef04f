//! Today's clients, real ones, pull every reference of a site that nginx serves; what they say and
//! what they have unpacked is compared with what is known about the samples.

use std::fmt::Write;

use crate::support::clients::{Client, Ctr, Docker, Podman, Skopeo};
use crate::support::expected::{Expected, Image, Kind, Layers, expected};
use crate::support::judge::{pull_image, same_copy};
use crate::support::refused::as_known;
use crate::support::registry::Registry;

#[test]
fn docker_pulls_every_image() {
    let registry = Registry::start();
    let docker = Docker::start();
    pull_all(&docker, &registry);
}

#[test]
fn podman_pulls_every_image() {
    pull_all(&Podman::new(), &Registry::start());
}

#[test]
fn containerd_pulls_every_image() {
    pull_all(&Ctr::start(), &Registry::start());
}

#[test]
fn skopeo_copies_every_image() {
    pull_all(&Skopeo::new(), &Registry::start());
}

/// Indexes and artifacts, with all that they point to.
#[test]
fn skopeo_copies_whatever_has_a_digest() {
    let registry = Registry::start();
    let skopeo = Skopeo::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for expected in expected() {
        let Some(digest) = &expected.manifest_digest else {
            continue;
        };
        count += 1;
        let reference = registry.reference(&format!("{}@{digest}", expected.name));
        let copied = skopeo.copy(&reference).expect("skopeo copies");
        if let Err(error) = copied.and_then(|got| same_copy(got, &expected)) {
            wrong.push(format!("{reference}: {error:#}"));
        }
    }
    assert!(count > 10, "only {count} references have a digest");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pulls every reference by its tag, its digest and the digests of its children.
fn pull_all(client: &dyn Client, registry: &Registry) {
    let layers = Layers::read();
    let mut wrong = String::new();
    let mut count = 0;
    for expected in expected() {
        for image in &expected.images {
            for reference in references(&expected, image) {
                count += 1;
                let reference = registry.reference(&reference);
                let tried = pull_image(client, &reference, &expected, image, &layers);
                if let Err(error) = as_known(client.name(), expected.kind, tried) {
                    writeln!(wrong, "{} {reference}: {error:#}", client.name()).unwrap();
                }
            }
        }
    }
    println!("{}: {count} pulls", client.name());
    assert!(count > 50, "only {count} references");
    assert!(wrong.is_empty(), "{wrong}{}", registry.log());
}

fn references(expected: &Expected, image: &Image) -> Vec<String> {
    let name = &expected.name;
    let tag = expected.tag.iter().map(|tag| format!("{name}:{tag}"));
    let mut digests = vec![&expected.manifest_digest];
    if expected.kind == Kind::Index {
        digests.push(&image.manifest_digest);
    }
    let digests = digests.into_iter().flatten();
    tag.chain(digests.map(|digest| format!("{name}@{digest}")))
        .collect()
}
