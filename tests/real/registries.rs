//! Storage folders of old registries: the samples, folders made by hand, and one of a registry that
//! runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::archive::{Archive, Image, one_file_tar};
use crate::support::clients::Docker;
use crate::support::distribution::Distribution;
use crate::support::files::{decompressed, digest};
use crate::support::process::{run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::{
    assert_same, build, inodes, json as read, stderr, stillage, succeed, verify,
};
use crate::support::temp::TempDir;

const V1: &str = "fixtures/docker-registry-0.9.1";

#[test]
fn v1_storage_is_kept_byte_for_byte() {
    let site = TempDir::new("v1");
    let storage = Path::new(env!("CARGO_MANIFEST_DIR")).join(V1);
    let before = inodes(&storage);
    let output = build(&[V1, "--include-private"], site.path());
    assert_same(&inodes(&storage), &before);
    let expected = &read("fixtures/expected.json")["docker-registry-0.9.1"];
    for (reference, facts) in expected
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !name.starts_with('('))
    {
        let (name, tag) = reference.rsplit_once(':').unwrap();
        let top = read(
            site.path()
                .join(format!("v1/repositories/{name}/tags/{tag}")),
        );
        let ids = read(
            site.path()
                .join(format!("v1/images/{}/ancestry", top.as_str().unwrap())),
        );
        assert_eq!(ids[0], top);
        let known = [
            "v1_ids_in_file_top_first",
            "v1_ids_top_first",
            "v1_push_ids_top_first",
        ];
        let known = known
            .iter()
            .find_map(|key| facts.get(key))
            .unwrap_or_else(|| panic!("{facts}"));
        assert_eq!(ids, *known, "{reference}");
    }
    let mut kept = 0;
    for entry in fs::read_dir(storage.join("images")).unwrap() {
        let folder = entry.unwrap().path();
        let image = site
            .path()
            .join("v1/images")
            .join(folder.file_name().unwrap());
        if folder.join("_inprogress").exists() {
            assert!(!image.exists(), "an upload that never finished");
            continue;
        }
        for name in ["json", "layer"] {
            assert_eq!(
                fs::read(image.join(name)).unwrap(),
                fs::read(folder.join(name)).unwrap(),
                "{name}"
            );
        }
        kept += 1;
    }
    assert_eq!(kept, 8);
    assert!(
        !stderr(&output).contains("cannot be verified"),
        "{}",
        stderr(&output)
    );
    verify(site.path());
}

#[test]
fn private_repositories_are_left_out_and_named() {
    let site = TempDir::new("private");
    let output = build(&[V1], site.path());
    assert!(
        stderr(&output).contains("sample/child is left out: it is private"),
        "{}",
        stderr(&output)
    );
    assert!(!site.path().join("v2/sample/child").exists());
    assert!(site.path().join("v2/sample/hello/manifests/1.0").exists());
}

/// A storage folder with what makes them hard to read.
fn odd_storage(folder: &Path, break_checksum: bool) -> Vec<(String, Vec<u8>)> {
    let mut layers = Vec::new();
    let mut parent = None;
    let tar = one_file_tar("etc/x", "x");
    for packed in [tar.clone(), xz(&tar), crate::support::archive::gzip(&tar)] {
        let id = digest(format!("{}", layers.len()).as_bytes()).split_off(7);
        let mut json = json!({"id": id, "created": "2014-01-02T03:04:05Z", "os": "linux", "docker_version": "1.8.3"});
        if let Some(parent) = &parent {
            json["parent"] = String::clone(parent).into();
        }
        let json = json.to_string();
        let image = folder.join("images").join(&id);
        fs::create_dir_all(&image).unwrap();
        fs::write(image.join("json"), &json).unwrap();
        fs::write(image.join("layer"), &packed).unwrap();
        let sum = digest(
            &[
                json.as_bytes(),
                b"\n",
                if break_checksum { b"?" } else { &packed[..] },
            ]
            .concat(),
        );
        let sums = if parent.is_none() {
            "tarsum+sha256:00".to_owned()
        } else {
            json!(["tarsum+sha256:00", sum]).to_string()
        };
        fs::write(image.join("_checksum"), sums).unwrap();
        parent = Some(id.clone());
        layers.push((id, packed));
    }
    let repository = folder.join("repositories/a%2Db/deep%252Fname");
    fs::create_dir_all(&repository).unwrap();
    fs::write(repository.join("tag_1%2E0"), parent.unwrap()).unwrap();
    fs::write(repository.join("tag_valid_json"), r#"{"last_update": 1}"#).unwrap();
    fs::write(repository.join("tag1.0_json"), "{}").unwrap();
    layers
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let folder = TempDir::new("xz");
    let file = folder.path().join("layer");
    fs::write(&file, bytes).unwrap();
    succeed(Command::new(tool("xz")).arg(&file));
    fs::read(folder.path().join("layer.xz")).unwrap()
}

#[test]
fn v1_storage_has_traps() {
    let folder = TempDir::new("odd");
    let storage = folder.path().join("storage");
    let layers = odd_storage(&storage, false);
    let site = folder.path().join("site");
    let output = build(&[storage.to_str().unwrap()], &site);
    assert!(
        stderr(&output).contains("its checksum cannot be verified"),
        "a bare tarsum"
    );
    assert_eq!(
        read(site.join("v2/a-b/deep/name/tags/list"))["tags"],
        json!(["1.0"])
    );
    let manifest = read(site.join("v2/a-b/deep/name/manifests/1.0"));
    for (layer, (id, packed)) in manifest["layers"].as_array().unwrap().iter().zip(&layers) {
        assert_eq!(
            fs::read(site.join(format!("v1/images/{id}/layer"))).unwrap(),
            *packed,
            "v1 gets what was pushed"
        );
        let blob = fs::read(
            site.join("v2/a-b/deep/name/blobs")
                .join(layer["digest"].as_str().unwrap()),
        )
        .unwrap();
        assert_eq!(blob[..2], [0x1f, 0x8b], "v2 clients know gzip");
        assert_eq!(decompressed(&blob).unwrap(), one_file_tar("etc/x", "x"));
    }
    verify(&site);

    let broken = folder.path().join("broken");
    odd_storage(&broken, true);
    for option in ["--quiet", "--no-v1"] {
        let fresh = folder.path().join("fresh");
        let refused = stillage(["build", option, broken.to_str().unwrap(), "-o"])
            .arg(fresh)
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            stderr(&refused).contains("has the checksum"),
            "{}",
            stderr(&refused)
        );
    }
}

/// The layer of a v1 image is a link to the blob, so it is as damaged.
#[test]
fn a_lost_blob_comes_from_the_source() {
    let site = TempDir::new("lost");
    build(&[V1], site.path());
    build(&[V1], site.path());
    let manifest = read(site.path().join("v2/sample/hello/manifests/1.0"));
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = site.path().join("blobs/sha256").join(&layer[7..]);
    let mut bytes = fs::read(&blob).unwrap();
    let right = bytes.clone();
    bytes[20] ^= 1;
    fs::write(&blob, bytes).unwrap();
    fs::remove_file(&blob).unwrap();
    build(&[V1], site.path());
    assert!(fs::read(&blob).unwrap() == right, "the right bytes");
}

#[test]
fn the_sample_of_distribution_keeps_every_digest() {
    let site = TempDir::new("v2");
    let output = build(&["fixtures/distribution-2.8"], site.path());
    let expected = &read("fixtures/expected.json")["distribution-2.8"];
    for (reference, facts) in expected
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !name.starts_with('('))
    {
        let (name, tag) = reference.rsplit_once(':').unwrap();
        let bytes = fs::read(site.path().join(format!("v2/{name}/manifests/{tag}"))).unwrap();
        assert_eq!(digest(&bytes), facts["manifest_digest"], "{reference}");
    }
    assert!(
        stderr(&output).contains("6 references"),
        "{}",
        stderr(&output)
    );
    verify(site.path());
}

/// Debian's registry after real pushes, and while it runs: every image that it serves is pulled from
/// the new site with the same digest.
#[test]
fn a_running_registry_moves_house() {
    let registry = Distribution::start();
    push_all(&registry);
    let before = inodes(&registry.storage());
    let folder = TempDir::new("moved");
    let site = folder.path().join("site");
    let output = build(&[registry.storage().to_str().unwrap()], &site);
    assert_same(&inodes(&registry.storage()), &before);
    assert!(
        stderr(&output).contains("gone/image"),
        "{}",
        stderr(&output)
    );
    verify(&site);

    let nginx = Nginx::start(&site);
    let mut compared = 0;
    for name in [
        "org/app",
        "tiny",
        "library/tiny",
        "sample/hello",
        "old/schema1",
        "sample/multi",
    ] {
        for tag in read(site.join(format!("v2/{name}/tags/list")))["tags"]
            .as_array()
            .unwrap()
        {
            let of = |port: u16| {
                digest_of(&format!(
                    "127.0.0.1:{port}/{name}:{}",
                    tag.as_str().unwrap()
                ))
            };
            if name != "tiny" {
                assert_eq!(of(nginx.port), of(registry.port), "{name}:{tag}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 6, "{compared}");
    let referrers = read(site.join(format!("v2/org/app/referrers/{}", app().manifest_digest())));
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
}

fn app() -> Image {
    Image::new(&["app:1"]).layer("etc/app", "app")
}

/// An image with something attached that has no tag, images by docker and skopeo of every kind, and
/// a repository without manifests.
fn push_all(registry: &Distribution) {
    let folder = TempDir::new("push");
    let layout = folder.path().join("layout");
    let about = app().manifest_digest();
    let attached = Image::new(&[]).layer("etc/sbom", "sbom").manifest(move |manifest| {
        manifest["artifactType"] = "application/spdx+json".into();
        manifest["subject"] = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": about, "size": 1});
    });
    let by_digest = format!("org/app@{}", attached.manifest_digest());
    let mut named = attached;
    named.names = vec!["attached".into()];
    Archive::oci(&[app(), named]).folder(&layout);
    let layout = layout.to_str().unwrap();
    let copy = |from: &str, to: &str, options: &[&str]| {
        let to = format!("docker://127.0.0.1:{}/{to}", registry.port);
        let mut skopeo = Command::new(tool("skopeo"));
        skopeo
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--dest-tls-verify=false",
            ])
            .args(options);
        run(skopeo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args([from, &to]))
        .unwrap();
    };
    copy(&format!("oci:{layout}:app:1"), "org/app:1", &[]);
    copy(&format!("oci:{layout}:attached"), &by_digest, &[]);
    copy(
        "oci:fixtures/oci-layout-multiarch:sample/multi:3.0",
        "sample/multi:3.0",
        &["--all"],
    );
    copy(
        "docker-archive:fixtures/skopeo-1.9-docker-archive.tar",
        "old/schema1:1",
        &["--format", "v2s1"],
    );
    copy("oci:fixtures/oci-layout-zstd:tiny:1", "gone/image:1", &[]);
    fs::remove_dir_all(
        registry
            .storage()
            .join("docker/registry/v2/repositories/gone/image/_manifests"),
    )
    .unwrap();

    let docker = Docker::start();
    run(docker
        .command()
        .args(["load", "--input", "fixtures/docker-20.10.tar"])
        .current_dir(env!("CARGO_MANIFEST_DIR")))
    .unwrap();
    for name in ["tiny:1", "sample/hello:1.0", "sample/hello:latest"] {
        let to = format!(
            "127.0.0.1:{}/{}",
            registry.port,
            name.replace("tiny", "library/tiny")
        );
        run(docker.command().args(["tag", name, &to])).unwrap();
        run(docker.command().args(["push", "--quiet", &to])).unwrap();
    }
}

/// The digest that a registry gives for a reference, by a real client.
fn digest_of(reference: &str) -> String {
    let mut skopeo = Command::new(tool("skopeo"));
    skopeo.args([
        "inspect",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{reference}"),
    ]);
    let raw = run(&mut skopeo).unwrap();
    let mut by_digest = Command::new(tool("skopeo"));
    let folder = TempDir::new("manifest");
    let file = folder.path().join("manifest");
    fs::write(&file, raw).unwrap();
    run(by_digest.arg("manifest-digest").arg(&file))
        .unwrap()
        .trim()
        .to_owned()
}
