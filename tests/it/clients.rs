//! Today's clients, real ones, pull every reference of a site that nginx serves; what they say and
//! what they have unpacked is compared with what is known about the samples.

use std::fmt::Write;

use anyhow::{Result, ensure};

use crate::support::clients::{Client, Ctr, Docker, Podman, Pulled, Skopeo};
use crate::support::expected::{Expected, Image, Kind, Layers, expected};
use crate::support::registry::Registry;

/// What a client cannot pull from any registry, and its words for it: it is tried and must fail so.
const REFUSED: [(&str, Kind, &[&str]); 5] = [
    // Docker learnt zstd in 23.0; before, such a layer is read as a tar.
    (
        "docker",
        Kind::Zstd,
        &["failed to register layer: ApplyLayer"],
    ),
    ("docker", Kind::Artifact, &["unsupported media type"]),
    (
        "podman",
        Kind::Artifact,
        &["unexpected EOF", "image-specific operation on artifact"],
    ),
    (
        "ctr",
        Kind::Artifact,
        &["no processor for media-type", "mismatched image rootfs"],
    ),
    // It copies them, see below.
    ("skopeo", Kind::Artifact, &["not an image"]),
];

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
        let mut known: Vec<_> = expected
            .images
            .iter()
            .flat_map(|i| i.blobs.clone())
            .collect();
        if expected.kind == Kind::Index {
            known.extend(
                expected
                    .images
                    .iter()
                    .filter_map(|i| i.manifest_digest.clone()),
            );
        }
        known.sort();
        known.dedup();
        let reference = registry.reference(&format!("{}@{digest}", expected.name));
        match skopeo.copy_all(&reference) {
            Ok(mut got) => {
                let manifest = got.remove(0);
                got.sort();
                if manifest != *digest || got != known {
                    wrong.push(format!(
                        "{reference}: expected {known:?}, got {manifest} and {got:?}"
                    ));
                }
            }
            Err(error) => wrong.push(format!("{error:#}")),
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
                let pulled = client.pull(&reference, image.platform.as_deref());
                if let Err(error) = judge(client, &expected, image, &layers, pulled) {
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

fn judge(
    client: &dyn Client,
    expected: &Expected,
    image: &Image,
    layers: &Layers,
    pulled: Result<Pulled>,
) -> Result<()> {
    let refused = REFUSED
        .iter()
        .find(|(name, kind, _)| *name == client.name() && *kind == expected.kind);
    if let Some((_, _, words)) = refused {
        let error = pulled.err().map(|error| format!("{error:#}"));
        let error = error.unwrap_or_else(|| "it was pulled".into());
        let known = words.iter().any(|words| error.contains(words));
        ensure!(known, "expected one of {words:?}, got {error}");
        return Ok(());
    }
    let pulled = pulled?;
    ensure!(
        pulled.config_digest == image.config_digest,
        "expected the config {}, got {}",
        image.config_digest,
        pulled.config_digest
    );
    ensure!(
        pulled.diff_ids == image.diff_ids,
        "expected the diff IDs {:?}, got {:?}",
        image.diff_ids,
        pulled.diff_ids
    );
    let mut known = expected
        .manifest_digest
        .iter()
        .chain(&image.manifest_digest)
        .peekable();
    ensure!(
        known.peek().is_none() || known.any(|digest| pulled.manifest_digests.contains(digest)),
        "expected the manifest {:?}, got {:?}",
        expected.manifest_digest,
        pulled.manifest_digests
    );
    let differences = pulled.files.differences(&layers.files(&image.diff_ids));
    ensure!(differences.is_empty(), "{}", differences.join("\n  "));
    Ok(())
}
