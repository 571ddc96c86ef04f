//! `build --compress zstd`: plain layers of every source become zstd, clients pull them, and v1 clients get gzip.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::crash::scenarios::incompressible;
use crate::support::archive::{Archive, Image, Pack, gzip};
use crate::support::clients::{Buildah, Client, Ctr, Docker, Podman, Skopeo};
use crate::support::files::{Files, digest};
use crate::support::place::pipe;
use crate::support::servers::nginx::Nginx;
use crate::support::site::{
    assert_same, build, json, stderr, stillage, succeed, tree, v1_layers, verify,
};
use crate::support::temp::TempDir;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Two layers; the first becomes three streams of zstd.
fn image(name: &str) -> Image {
    Image::new(&[name])
        .layer("base", &incompressible(9 << 20))
        .layer("text", "text")
}

fn build_zstd(source: &str, site: &Path) {
    succeed(stillage(["build", "-q", "--compress", "zstd", source, "-o"]).arg(site));
}

fn manifest(site: &Path, name: &str) -> Value {
    let (name, tag) = name.split_once(':').unwrap();
    json(site.join(format!("v2/{name}/manifests/{tag}")))
}

/// Checks an image whose layers were compressed to zstd; gives its blobs.
fn check(site: &Path, name: &str, image: &Image) {
    let manifest = manifest(site, name);
    assert_eq!(manifest["mediaType"], OCI);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), image.layers.len());
    for (layer, tar) in layers.iter().zip(&image.layers) {
        let media_type = layer["mediaType"].as_str().unwrap();
        assert_eq!(media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
        let hex = &layer["digest"].as_str().unwrap()[7..];
        let blob = fs::read(site.join("blobs/sha256").join(hex)).unwrap();
        assert!(zstd::decode_all(&blob[..]).unwrap() == *tar, "{media_type}");
    }
    let repository = name.split(':').next().unwrap();
    assert!(v1_layers(site, repository) == image.layers, "by v1");
    for entry in fs::read_dir(site.join("v1/images")).unwrap() {
        let layer = fs::read(entry.unwrap().path().join("layer")).unwrap();
        assert_eq!(layer[..2], [0x1f, 0x8b], "v1 clients get gzip");
    }
    verify(site);
}

#[test]
fn clients_pull_layers_of_zstd() {
    let folder = TempDir::new("zstd");
    let (source, site) = (folder.path().join("app.tar"), folder.path().join("site"));
    let image = image("library/app:1");
    fs::write(
        &source,
        Archive::docker_20(std::slice::from_ref(&image)).tar(),
    )
    .unwrap();
    build_zstd(source.to_str().unwrap(), &site);
    check(&site, "library/app:1", &image);
    let nginx = Nginx::start(&site);
    let reference = format!("127.0.0.1:{}/library/app:1", nginx.port);
    let diff_ids: Vec<String> = image.layers.iter().map(|tar| digest(tar)).collect();
    let files = Files::of_layers(image.layers.iter().map(Vec::as_slice)).unwrap();
    let (podman, ctr, skopeo, buildah) =
        (Podman::new(), Ctr::start(), Skopeo::new(), Buildah::new());
    for client in [&podman as &dyn Client, &ctr, &skopeo, &buildah] {
        let pulled = client.pull(&reference, None);
        let pulled = pulled.unwrap_or_else(|error| panic!("{}: {error:#}", client.name()));
        assert_eq!(pulled.diff_ids, diff_ids, "{}", client.name());
        assert_eq!(pulled.config_digest, Some(digest(&image.config_json())));
        assert_eq!(
            pulled.files.differences(&files),
            [""; 0],
            "{}",
            client.name()
        );
    }
    // Docker since 23.0 reads it; this is 20.10.
    assert!(Docker::start().pull(&reference, None).is_err());
}

#[test]
fn every_source_of_plain_layers_gives_the_same() {
    let folder = TempDir::new("zstd");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let image = image("app:1");
    let save = |name: &str, bytes: Vec<u8>| {
        fs::write(path(name), bytes).unwrap();
        path(name)
    };
    let tar = Archive::docker_20(std::slice::from_ref(&image)).tar();
    let first = folder.path().join("first");
    build_zstd(&save("20.tar", tar.clone()), &first);
    check(&first, "app:1", &image);
    let blobs = |site: &Path| {
        let layers = manifest(site, "app:1")["layers"].clone();
        let digests = layers
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["digest"].clone());
        digests.collect::<Vec<_>>()
    };

    let packed = folder.path().join("packed");
    build_zstd(&save("20.tar.gz", gzip(&tar)), &packed);
    assert_same(&tree(&first), &tree(&packed));

    let piped = folder.path().join("piped");
    let output = pipe(
        &tar,
        &["--compress", "zstd", "-", "-o", piped.to_str().unwrap()],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert_same(&tree(&first), &tree(&piped));

    let old = folder.path().join("old");
    build_zstd(
        &save(
            "1.tar",
            Archive::docker_1(std::slice::from_ref(&image)).tar(),
        ),
        &old,
    );
    check(&old, "app:1", &image);
    assert_eq!(blobs(&old), blobs(&first));

    // Their manifests are kept but for the plain layers.
    let store = folder.path().join("store");
    let plain = image.clone().packed(Pack::Plain);
    build_zstd(&save("28.tar", Archive::docker_28(&[plain]).tar()), &store);
    check(&store, "app:1", &image);
    assert_eq!(blobs(&store), blobs(&first));
}

/// The same layers as zstd and as gzip: each build gives what it is asked for, and takes what an earlier one made.
#[test]
fn a_site_may_have_both() {
    let folder = TempDir::new("zstd");
    let (source, site) = (folder.path().join("app.tar"), folder.path().join("site"));
    fs::write(&source, Archive::docker_20(&[image("app:1")]).tar()).unwrap();
    let source = source.to_str().unwrap();
    build(&[source], &site);
    let gzip = manifest(&site, "app:1");
    build_zstd(source, &site);
    let zstd = manifest(&site, "app:1");
    assert_ne!(gzip, zstd);
    assert_eq!(gzip["config"]["digest"], zstd["config"]["digest"]);
    build(&[source], &site);
    assert_eq!(manifest(&site, "app:1"), gzip);
    build_zstd(source, &site);
    assert_eq!(manifest(&site, "app:1"), zstd);
    assert_eq!(json(site.join("v2/app/tags/list"))["tags"], json!(["1"]));
    verify(&site);
    succeed(&mut stillage([
        "verify",
        "-q",
        "--deep",
        site.to_str().unwrap(),
    ]));
}

/// Docker's manifests have no type for zstd.
#[test]
fn plain_layers_of_a_docker_manifest_become_gzip() {
    let folder = TempDir::new("zstd");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let child = image("").packed(Pack::Plain).manifest(move |manifest| {
        manifest["mediaType"] = docker.into();
        manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
        for layer in manifest["layers"].as_array_mut().unwrap() {
            layer["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar".into();
        }
    });
    let index = Image::index(&["app:1"], vec![child]).manifest(move |index| {
        index["manifests"][0]["mediaType"] = docker.into();
    });
    let (source, site) = (folder.path().join("app.tar"), folder.path().join("site"));
    fs::write(&source, Archive::docker_29(&[index]).tar()).unwrap();
    build_zstd(source.to_str().unwrap(), &site);
    let index = manifest(&site, "app:1");
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = json(site.join("v2/app/manifests").join(child));
    assert_eq!(manifest["mediaType"], docker);
    for layer in manifest["layers"].as_array().unwrap() {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.docker.image.rootfs.diff.tar.gzip"
        );
    }
    verify(&site);
}
