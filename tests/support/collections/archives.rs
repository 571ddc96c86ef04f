//! Archives and folders as tools write them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::Row;
use super::Want::{Image, Kept, Legacy, Made};
use crate::support::archive::{self, Archive, Kind, Pack, zstd};
use crate::support::place::{Place, image};

pub(super) fn write(place: &Place, archive: &Archive) -> Vec<String> {
    let path = place.path("saved.tar");
    fs::write(&path, archive.tar()).unwrap();
    vec![path.to_str().unwrap().to_owned()]
}

pub(super) fn saved() -> Archive {
    Archive::docker_20(&[image("good:1", "good")])
}

fn layer() -> String {
    saved().names("layer.tar").pop().unwrap()
}

/// The same, packed again by GNU tar.
fn packed(place: &Place, archive: &Archive, options: &[&str]) -> Vec<String> {
    let (path, folder) = (place.path("saved"), place.path("folder"));
    archive.folder(&folder);
    let mut copy = Command::new("cp");
    copy.args(["-R", "--sparse=always"]).args([&folder, &path]);
    assert!(copy.status().expect("cp").success(), "{copy:?}");
    let tar = place.path("saved.tar");
    let mut command = Command::new("tar");
    command.args(["-C", path.to_str().unwrap(), "-cf", tar.to_str().unwrap()]);
    let status = command.args(options).arg(".").status().expect("tar");
    assert!(status.success(), "{command:?}");
    vec![tar.to_str().unwrap().to_owned()]
}

/// Text that is a hole in a file.
const HOLE: &str = match str::from_utf8(&[0; 1 << 16]) {
    Ok(text) => text,
    Err(_) => "",
};

/// The same with sparse members.
fn sparse(place: &Place, archive: &Archive, format: &str) -> Vec<String> {
    let options = ["-S", "--hole-detection=raw"]
        .into_iter()
        .chain(format.split(' '));
    let args = packed(place, archive, &options.collect::<Vec<_>>());
    let tar = fs::read(&args[0]).unwrap();
    let is_old = tar.chunks(512).any(|block| block.get(156) == Some(&b'S'));
    let is_pax = tar.windows(10).any(|bytes| bytes == b"GNU.sparse");
    assert!(is_old || is_pax, "it is sparse");
    args
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An image whose layer is gzip and called plain.
fn mislabelled() -> archive::Image {
    image("good:1", "good")
        .packed(Pack::Gzip)
        .manifest(|manifest| {
            for layer in manifest["layers"].as_array_mut().unwrap() {
                layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
            }
        })
}

fn mislabelled_index() -> archive::Image {
    let arm = image("", "arm64").platform("linux", "arm64");
    archive::Image::index(&["good:1"], vec![mislabelled(), arm])
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "keys in lower case, as Jib wrote them",
        make: |place| {
            let archive = saved().edit("manifest.json", |bytes| {
                let keys = [
                    ("Config", "config"),
                    ("RepoTags", "repoTags"),
                    ("Layers", "layers"),
                ];
                let text = keys.iter().fold(text(bytes), |text, (key, lower)| {
                    text.replace(&format!("\"{key}\""), &format!("\"{lower}\""))
                });
                *bytes = text.into_bytes();
            });
            write(place, &archive)
        },
        references: &[("good:1", Made("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a key twice and nulls, as Go reads them",
        make: |place| {
            let archive = saved().edit("manifest.json", |bytes| {
                let text = text(bytes).replace("[{", r#"[{"RepoTags":["bad:1"],"Parent":null,"#);
                *bytes = text.into_bytes();
            });
            let null = |config: &mut Value| config["architecture"] = Value::Null;
            let null = archive::Image::new(&["null:1"])
                .layer("etc/text", "x")
                .config(null);
            let null = Archive::oci(&[null]).edit_json("index.json", |index| {
                index["manifests"][0]["annotations"]["x"] = Value::Null;
            });
            null.folder(&place.path("null"));
            let null = place.path("null").to_str().unwrap().to_owned();
            [write(place, &archive), vec![null]].concat()
        },
        references: &[
            ("good:1", Made("good")),
            (
                "null:1",
                Kept(
                    || image("", "x").config(|config| config["architecture"] = Value::Null),
                    "x",
                ),
            ),
        ],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a member twice with the same content",
        make: |place| {
            let archive = saved();
            let bytes = archive.bytes(&layer()).to_vec();
            write(place, &archive.file(layer(), bytes))
        },
        references: &[("good:1", Made("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a large member twice with the same content, packed",
        make: |place| {
            let archive = saved()
                .file("x", vec![7; 1 << 20])
                .file("x", vec![7; 1 << 20]);
            let path = place.path("saved.tar.zst");
            fs::write(&path, zstd(&archive.tar())).unwrap();
            vec![path.to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Made("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "names with a dot, an empty part and a slash in manifest.json",
        make: |place| {
            let archive = saved().edit_json("manifest.json", |entries| {
                let config = entries[0]["Config"].as_str().unwrap();
                entries[0]["Config"] = format!("/./{config}").into();
                entries[0]["Layers"][0] = layer().replace('/', "//").into();
            });
            packed(place, &archive, &[])
        },
        references: &[("good:1", Made("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a sparse tar: --format=gnu",
        make: |place| {
            sparse(
                place,
                &Archive::docker_20(&[image("good:1", HOLE)]),
                "--format=gnu",
            )
        },
        references: &[("good:1", Made(HOLE))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a sparse tar: --format=posix --sparse-version=0.0",
        make: |place| {
            sparse(
                place,
                &Archive::docker_20(&[image("good:1", HOLE)]),
                "--format=posix --sparse-version=0.0",
            )
        },
        references: &[("good:1", Made(HOLE))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a sparse tar: --format=posix --sparse-version=0.1",
        make: |place| {
            sparse(
                place,
                &Archive::docker_20(&[image("good:1", HOLE)]),
                "--format=posix --sparse-version=0.1",
            )
        },
        references: &[("good:1", Made(HOLE))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a sparse tar: --format=posix --sparse-version=1.0",
        make: |place| {
            sparse(
                place,
                &Archive::docker_20(&[image("good:1", HOLE)]),
                "--format=posix --sparse-version=1.0",
            )
        },
        references: &[("good:1", Made(HOLE))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a sparse tar of an image from before Docker 1.10",
        make: |place| {
            sparse(
                place,
                &Archive::docker_1(&[image("good:1", HOLE)]),
                "--format=posix --sparse-version=0.0",
            )
        },
        references: &[("good:1", Legacy(HOLE))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "layers that are gzip and called plain",
        make: |place| write(place, &Archive::docker_29(&[mislabelled()])),
        references: &[("good:1", Kept(mislabelled, "good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "layers of an index that are gzip and called plain",
        make: |place| write(place, &Archive::docker_29(&[mislabelled_index()])),
        references: &[("good:1", Kept(mislabelled_index, "good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a config under another name",
        make: |place| {
            let config = saved()
                .names(".json")
                .into_iter()
                .find(|name| name.len() == 69)
                .unwrap();
            let other = format!("{}.json", "b".repeat(64));
            let archive = saved()
                .rename(&config, &other)
                .edit_json("manifest.json", |entries| {
                    entries[0]["Config"] = other.into();
                });
            write(place, &archive)
        },
        references: &[("good:1", Made("good"))],
        notes: &[("choice", "", "is not named after its digest")],
        code: 0,
    },
    Row {
        name: "links out and names that are no text beside an image",
        make: |place| {
            let archive = saved()
                .symlink("latest", "/etc/hosts")
                .symlink("up", "../../x")
                .symlink("round", "round")
                .file([0xff, b'/', 0xfe], "x")
                .add("device", Kind::Symlink("missing".into()));
            write(place, &archive)
        },
        references: &[("good:1", Made("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a digest as a tag beside a tag",
        make: |place| {
            let two = [image("good:1", "good"), image("other:1", "other")];
            let archive = Archive::docker_1(&two).edit_json("repositories", |names| {
                let other = names["other"].as_object_mut().unwrap();
                let id = other.remove("1").unwrap();
                other.insert(format!("sha256:{}", "a".repeat(64)), id);
            });
            write(place, &archive)
        },
        references: &[("good:1", Legacy("good"))],
        notes: &[("choice", "other", "has no tag")],
        code: 0,
    },
];
