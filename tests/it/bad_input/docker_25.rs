//! `docker save` of Docker 25 and later.

use serde_json::{Value, json};

use super::run::{app, check, tar};
use crate::support::archive::{Archive, Image, Pack};

fn docker_28() -> Archive {
    Archive::docker_28(&[app()])
}

/// An index in an archive of Docker 29, changed after its digest was taken.
fn multi(edit: impl Fn(&mut Value)) -> Archive {
    let index = Image::index(&["app:1"], vec![app(), app().platform("linux", "arm64")]).attested();
    Archive::docker_29(&[index]).edit_json("index.json", edit)
}

#[test]
fn docker_25() {
    let packed: fn() -> Archive = || Archive::docker_29(&[app().packed(Pack::Gzip)]);
    let cases = vec![
        tar("the archives that the others are made of", &[], docker_28).taken(),
        tar("an archive of the other store", &[], packed).taken(),
        tar("an index with attestations", &[], || multi(|_| ())).taken(),
        tar("index.json is cut", &["index.json"], || {
            docker_28().edit("index.json", |bytes| bytes.truncate(9))
        }),
        tar("index.json is a list", &["index.json"], || {
            docker_28().set_file("index.json", "[]")
        }),
        tar(
            "index.json is a folder",
            &["is not an image in a known format"],
            || {
                docker_28()
                    .drop("index.json")
                    .folder_member("index.json/")
                    .drop("manifest.json")
            },
        ),
        tar(
            "a digest that is a path",
            &["index.json", "is not a sha256 digest"],
            || multi(|index| index["manifests"][0]["digest"] = json!("sha256:../../index.json")),
        ),
        tar(
            "a digest of sha512",
            &["index.json", "`sha512` is not supported"],
            || {
                multi(|index| {
                    index["manifests"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)))
                })
            },
        ),
        tar(
            "a size that is wrong",
            &["blobs/sha256/", " bytes, not 7"],
            || multi(|index| index["manifests"][0]["size"] = json!(7)),
        ),
        tar(
            "an illegal containerd name",
            &["the manifest sha256:", "illegal name", "`A/B`"],
            || {
                multi(|index| {
                    index["manifests"][0]["annotations"]["io.containerd.image.name"] =
                        json!("docker.io/A/B:1")
                })
            },
        ),
        tar(
            "a plain layer with a wrong bit",
            &["blobs/sha256/", "has the diff ID"],
            || {
                let archive = docker_28();
                let manifest: Value =
                    serde_json::from_slice(archive.bytes("manifest.json")).unwrap();
                let layer = manifest[0]["Layers"][0].as_str().unwrap().to_owned();
                archive.flip(&layer)
            },
        ),
        tar(
            "a packed layer with a wrong bit",
            &["blobs/sha256/"],
            move || {
                let archive = packed();
                let manifest: Value =
                    serde_json::from_slice(archive.bytes("manifest.json")).unwrap();
                let layer = manifest[0]["Layers"][0].as_str().unwrap().to_owned();
                archive.flip(&layer)
            },
        ),
        tar(
            "a child with a wrong bit",
            &[
                "served without the manifest sha256:",
                "(linux/arm64)",
                "has the digest",
            ],
            || {
                let child = app().platform("linux", "arm64").manifest_digest();
                multi(|_| ()).edit(&format!("blobs/{}", child.replace(':', "/")), |bytes| {
                    bytes.push(b' ')
                })
            },
        )
        .in_part(),
    ];
    check(cases);
}
