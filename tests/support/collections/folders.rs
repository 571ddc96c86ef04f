//! Folders, and packages of layouts, as tools write them; prefixes.

use std::fs;

use serde_json::{Value, json};

use super::Row;
use super::Want::{Image, Legacy, Made};
use super::archives::{saved, write};
use crate::support::archive::Archive;
use crate::support::place::{Place, image};

const NAMES: &str = "org.opencontainers.image.ref.name";

/// The layout of a package of Zarf, in a folder beside others.
fn zarf(old: bool) -> Archive {
    let layout = Archive::oci(&[image("good:1", "good")]).edit_json("index.json", |index| {
        let annotations = &mut index["manifests"][0]["annotations"];
        *annotations = json!({"org.opencontainers.image.base.name": "docker.io/library/good:1"});
        if !old {
            annotations[NAMES] = "docker.io/library/good:1".into();
        }
    });
    let mut package = Archive::default()
        .file("checksums.txt", "")
        .file("zarf.yaml", "kind: ZarfPackageConfig\n");
    for name in layout.names("") {
        package = package.file(format!("images/{name}"), layout.bytes(&name));
    }
    package
}

/// A store of hauler: what is attached to an image has the name of the image.
fn hauler() -> Archive {
    let images = [image("good:1", "good"), image("good:1", "signature")];
    Archive::oci(&images).edit_json("index.json", |index| {
        for (number, kind) in ["image", "sigs"].into_iter().enumerate() {
            index["manifests"][number]["annotations"] = json!({
                "kind": format!("dev.hauler/{kind}"),
                "io.containerd.image.name": "index.docker.io/library/good:1",
                NAMES: "library/good:1",
            });
        }
    })
}

/// What registrish writes: a manifest by its tag and its digest, and blobs.
fn static_tree(place: &Place) {
    let layout = Archive::oci(&[image("good:1", "good")]);
    let manifest = image("", "good").manifest_digest();
    let root = "v2/org/good";
    let mut tree = Archive::default().file("v2/error.json", "{}");
    for name in layout.names("blobs/sha256/") {
        let digest = format!("sha256:{}", &name["blobs/sha256/".len()..]);
        let bytes = layout.bytes(&name).to_vec();
        if digest == manifest {
            tree = tree.file(format!("{root}/manifests/1"), bytes.clone());
            tree = tree.file(format!("{root}/manifests/{digest}"), bytes);
        } else {
            tree = tree.file(format!("{root}/blobs/{digest}"), bytes);
        }
    }
    let tree = tree.file(format!("{root}/manifests/.htaccess"), "ForceType x");
    tree.folder(&place.path("tree"));
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "an unpacked archive, beside files of a file manager",
        make: |place| {
            let archive = saved()
                .file(".DS_Store", "x")
                .symlink("latest", "/etc/hosts");
            archive.folder(&place.path("saved"));
            vec![place.path("saved").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Made("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "an unpacked archive from before Docker 1.10",
        make: |place| {
            Archive::docker_1(&[image("good:1", "good")]).folder(&place.path("saved"));
            vec![place.path("saved").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Legacy("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a package of Zarf",
        make: |place| write(place, &zarf(false)),
        references: &[("good:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a package of Zarf that names images by their base",
        make: |place| write(place, &zarf(true)),
        references: &[("good:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "an unpacked package of Zarf",
        make: |place| {
            zarf(true).folder(&place.path("zarf"));
            vec![place.path("zarf").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Image("good"))],
        notes: &[
            ("leftover", "", "checksums.txt` is not"),
            ("leftover", "", "zarf.yaml` is not"),
        ],
        code: 0,
    },
    Row {
        name: "a store of hauler, with a signature under the name of its image",
        make: |place| write(place, &hauler()),
        references: &[
            ("good:1", Image("good")),
            (
                "good:sha256-2814a21584674c0611f6af9391bef6d3323e5766495d0a796b8f7588397459bb.sig",
                Image("signature"),
            ),
        ],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a static tree of the v2 API",
        make: |place| {
            static_tree(place);
            vec![place.path("tree").to_str().unwrap().to_owned()]
        },
        references: &[("org/good:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a storage folder with what a file manager and a file system leave",
        make: |place| {
            let storage = "docker/registry/v2";
            let mut tree = Archive::default();
            let layout = Archive::oci(&[image("good:1", "good")]);
            for name in layout.names("blobs/sha256/") {
                let hex = &name["blobs/sha256/".len()..];
                let path = format!("{storage}/blobs/sha256/{}/{hex}/data", &hex[..2]);
                tree = tree.file(path, layout.bytes(&name));
            }
            let digest = image("", "good").manifest_digest();
            let hex = digest.replace("sha256:", "");
            let repository = format!("{storage}/repositories/good/_manifests");
            let tree = tree
                .file(format!("{repository}/tags/1/current/link"), digest.clone())
                .file(format!("{repository}/revisions/sha256/{hex}/link"), digest)
                .file(format!("{repository}/tags/.DS_Store"), "x")
                .file(format!("{storage}/repositories/.DS_Store"), "x")
                .folder_member("lost+found")
                .folder_member(format!("{storage}/repositories/lost+found"))
                .file(".DS_Store", "x");
            tree.folder(&place.path("storage"));
            vec![place.path("storage").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a list called manifest.json that is no archive, above an image",
        make: |place| {
            place.tar("folder/sub/good.tar", &[image("good:1", "good")]);
            fs::write(place.path("folder/manifest.json"), r#"[{"name":"x"}]"#).unwrap();
            vec![place.path("folder").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Made("good"))],
        notes: &[("leftover", "", "manifest.json` is not an image")],
        code: 0,
    },
    Row {
        name: "an image without a name, based on another, in a folder of a tar",
        make: |place| {
            let mut tar = Archive::default();
            let layout = Archive::oci(&[image("good:1", "good")]);
            let layout = layout.edit_json("index.json", |index| {
                index["manifests"][0]["annotations"] =
                    json!({"org.opencontainers.image.base.name": "docker.io/library/alpine:3"});
            });
            for name in layout.names("") {
                tar = tar.file(format!("layout/{name}"), layout.bytes(&name));
            }
            write(place, &tar)
        },
        references: &[],
        notes: &[("", "", "has no name")],
        code: 2,
    },
    Row {
        name: "a tar of several layouts",
        make: |place| {
            let mut tar = Archive::default();
            for (folder, text) in [("a", "good"), ("a/b", "other")] {
                let layout = Archive::oci(&[image("good:1", text)]);
                for name in layout.names("") {
                    tar = tar.file(format!("{folder}/{name}"), layout.bytes(&name));
                }
            }
            write(place, &tar)
        },
        references: &[],
        notes: &[("", "", "is not an image in a known format")],
        code: 1,
    },
    Row {
        name: "a static tree with a tag that cannot be read",
        make: |place| {
            static_tree(place);
            let big = place.path("tree/v2/org/good/manifests/big");
            fs::write(big, vec![b'x'; 5 << 20]).unwrap();
            vec![place.path("tree").to_str().unwrap().to_owned()]
        },
        references: &[("org/good:1", Image("good"))],
        notes: &[("fault", "org/good:big", "too large")],
        code: 0,
    },
    Row {
        name: "a layout without oci-layout, by its prefix",
        make: |place| {
            let archive = Archive::oci(&[image("good:1", "good")]).drop("oci-layout");
            archive.folder(&place.path("layout"));
            vec![format!("oci:{}", place.path("layout").display())]
        },
        references: &[("good:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a folder that does not fit its prefix",
        make: |place| {
            Archive::oci(&[image("good:1", "good")]).folder(&place.path("layout"));
            vec![format!("dir:{}", place.path("layout").display())]
        },
        references: &[],
        notes: &[
            (
                "",
                "",
                "is not a source for `dir:`: `manifest.json` is missing",
            ),
            ("", "", "hint: it is an OCI image layout in a folder: `oci:"),
        ],
        code: 2,
    },
    Row {
        name: "a dir: folder that is called an archive",
        make: |place| {
            Archive::dir(&image("", "good")).folder(&place.path("dir"));
            vec![format!("docker-archive:{}", place.path("dir").display())]
        },
        references: &[],
        notes: &[
            ("", "", "its `manifest.json` is not a list of images"),
            (
                "",
                "",
                "hint: it is a folder as `skopeo copy` writes it: `dir:",
            ),
        ],
        code: 2,
    },
    Row {
        name: "what umoci init writes",
        make: |place| {
            let archive = Archive::oci(&[]).edit_json("index.json", |index| {
                index["manifests"] = Value::Null;
            });
            archive.folder(&place.path("layout"));
            vec![place.path("layout").to_str().unwrap().to_owned()]
        },
        references: &[],
        notes: &[("", "", "holds no image")],
        code: 1,
    },
];
