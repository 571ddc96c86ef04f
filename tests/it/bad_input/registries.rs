//! Storage folders of old registries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::run::{Case, app, case, check, folder, text};
use crate::support::archive::{Archive, Kind, gzip, one_file_tar};
use crate::support::files::digest;

fn id(number: usize) -> String {
    digest(number.to_string().as_bytes()).split_off(7)
}

fn in_image(number: usize, file: &str) -> String {
    format!("images/{}/{file}", id(number))
}

/// The storage of the Python docker-registry with a chain of images, the last one tagged.
fn v1(length: usize) -> Archive {
    let layer = gzip(&one_file_tar("a", "b"));
    let mut archive = Archive::default();
    for number in 0..length {
        let mut json = json!({"id": id(number), "created": "2014-01-02T03:04:05Z"});
        if number > 0 {
            json["parent"] = id(number - 1).into();
        }
        archive = archive
            .json(&in_image(number, "json"), &json)
            .file(in_image(number, "layer"), layer.clone());
    }
    archive.file("repositories/library/app/tag_latest", id(length - 1))
}

#[test]
fn of_docker_registry() {
    let json = in_image(0, "json");
    let layer = in_image(0, "layer");
    let (one, two, three, four, five) = (
        json.clone(),
        json.clone(),
        json.clone(),
        json.clone(),
        json.clone(),
    );
    let (six, seven, eight) = (layer.clone(), layer.clone(), layer.clone());
    check(vec![
        folder("the storage that the others are made of", &[], || v1(2)).taken(),
        folder(
            "a JSON that is missing",
            &["`json`", "missing"],
            move || v1(2).drop(&one),
        ),
        folder(
            "a JSON that is a folder",
            &["is not a regular file"],
            move || v1(2).set(&two, Kind::Folder),
        ),
        folder("a JSON of another image", &["has the id"], move || {
            v1(2).edit_json(&three, |json| json["id"] = id(7).into())
        }),
        folder("a JSON that is cut", &["/json`"], move || {
            v1(2).edit(&four, |bytes| bytes.truncate(20))
        }),
        folder(
            "a JSON of 5 MiB",
            &["more than the limit of 4194304"],
            move || v1(2).edit(&five, |bytes| bytes.resize(5 << 20, b' ')),
        ),
        folder(
            "a layer that is missing",
            &["`layer`", "missing"],
            move || v1(2).drop(&six),
        ),
        folder("a layer that is cut", &["/layer`"], move || {
            v1(2).edit(&seven, |bytes| bytes.truncate(40))
        }),
        folder(
            "a layer that is a folder",
            &["is not a regular file"],
            move || v1(2).set(&eight, Kind::Folder),
        ),
        folder("parents in a circle", &["form a cycle"], || {
            v1(3).edit_json(&in_image(0, "json"), |json| json["parent"] = id(2).into())
        }),
        folder("a parent that is a path", &["is not a v1 image id"], || {
            v1(1).edit_json(&in_image(0, "json"), |json| {
                json["parent"] = "../../x".into();
            })
        }),
        folder("a chain of 1,100", &["more than 1024 layers"], || v1(1100)),
        folder("another checksum", &["has the checksum"], || {
            let sums = json!([digest(b"x")]).to_string();
            v1(1).file(in_image(0, "_checksum"), sums)
        }),
        folder(
            "a checksum without an end",
            &["more than the limit of 65536"],
            || v1(1).file(in_image(0, "_checksum"), vec![b' '; 1 << 20]),
        ),
        folder("a tag that leads out", &["`../x` is not a tag"], || {
            v1(1).rename(
                "repositories/library/app/tag_latest",
                "repositories/library/app/tag_%2e%2e%2fx",
            )
        }),
        folder(
            "a name with escape sequences",
            &["is not a repository name", "\\x1b"],
            || {
                v1(1).rename(
                    "repositories/library/app/tag_latest",
                    "repositories/library/%251b[2J/tag_latest",
                )
            },
        ),
    ]);
}

const V2: &str = "docker/registry/v2";

/// The storage of distribution with an image.
fn v2() -> Archive {
    let mut blobs = Archive::default();
    let manifest = app().seal(&mut blobs)["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let hex = manifest.split_at(7).1.to_owned();
    let repository = format!("{V2}/repositories/org/app/_manifests");
    let mut archive = Archive::default()
        .file(
            format!("{repository}/tags/1/current/link"),
            manifest.clone(),
        )
        .file(
            format!("{repository}/revisions/sha256/{hex}/link"),
            manifest,
        );
    for name in blobs.names("blobs/") {
        archive = archive.file(stored(&name), blobs.bytes(&name));
    }
    archive
}

/// Where distribution has a blob of a layout.
fn stored(name: &str) -> String {
    let hex = name.rsplit('/').next().unwrap();
    format!("{V2}/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn manifest() -> String {
    stored(&app().manifest_digest().replace(':', "/"))
}

/// A blob that is no manifest.
fn blob() -> String {
    let other = |name: &String| *name != manifest();
    v2().names("/data").into_iter().find(other).unwrap()
}

fn changed(name: &'static str, words: &[&'static str], change: fn(&Path)) -> Case {
    case(name, words, move |folder| {
        let path = folder.join("bad");
        v2().folder(&path);
        change(&path);
        vec![text(&path)]
    })
}

#[test]
fn of_distribution() {
    let tag = format!("{V2}/repositories/org/app/_manifests/tags/1/current/link");
    let (one, two, three) = (tag.clone(), tag.clone(), tag);
    check(vec![
        folder("the storage that the others are made of", &[], v2).taken(),
        folder("a blob that is missing", &["the blob sha256:"], || {
            v2().drop(&blob())
        }),
        folder("a blob with a wrong bit", &["/data`"], || {
            v2().flip(&blob())
        }),
        folder(
            "a blob that is a folder",
            &["is not a regular file"],
            || v2().set(&blob(), Kind::Folder),
        ),
        folder("a manifest with a wrong bit", &["/data`"], || {
            v2().flip(&manifest())
        }),
        folder("a manifest that is cut", &["/data`"], || {
            v2().edit(&manifest(), |bytes| bytes.truncate(30))
        }),
        folder(
            "a manifest of 5 MiB",
            &["more than the limit of 4194304"],
            || v2().edit(&manifest(), |bytes| bytes.resize(5 << 20, b' ')),
        ),
        folder(
            "a tag that is no digest",
            &["`org/app:1`", "manifest is gone"],
            move || v2().set_file(&one, "sha256:../../../etc/passwd"),
        ),
        folder(
            "a tag without an end",
            &["`org/app:1`", "manifest is gone"],
            move || v2().set_file(&two, vec![b'a'; 1 << 20]),
        ),
        folder(
            "a tag that is a folder",
            &["is not a regular file"],
            move || v2().set(&three, Kind::Folder),
        ),
        changed("an illegal tag", &["x`", "is not a tag"], |path| {
            let tags = path.join(V2).join("repositories/org/app/_manifests/tags");
            fs::rename(tags.join("1"), tags.join("-\u{1b}x")).unwrap();
        }),
        changed(
            "an illegal name",
            &["`ORG/app`", "is not a repository name"],
            |path| {
                let names = path.join(V2).join("repositories");
                fs::rename(names.join("org"), names.join("ORG")).unwrap();
            },
        ),
        changed("a blob that is a link to itself", &["leads back"], |path| {
            let path = path.join(blob());
            fs::remove_file(&path).unwrap();
            symlink("data", &path).unwrap();
        }),
        changed("folders that lead back", &[], |path| {
            let org = path.join(V2).join("repositories/org");
            for name in ["x", "y", "z"] {
                symlink(".", org.join(name)).unwrap();
            }
        })
        .taken()
        .within(5),
    ]);
}
