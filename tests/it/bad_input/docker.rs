//! `docker save` of Docker 1.10 to 24.

use serde_json::{Value, json};

use super::run::{app, case, check, folder, tar, text};
use crate::support::archive::{Archive, Image, gzip};

fn save() -> Archive {
    Archive::docker_20(&[app()])
}

fn config_name() -> String {
    save()
        .names(".json")
        .into_iter()
        .find(|name| name.len() == 69)
        .unwrap()
}

fn layer_name() -> String {
    save().names("layer.tar").pop().unwrap()
}

/// An archive whose `manifest.json` has an entry changed.
fn entry(edit: impl Fn(&mut Value)) -> Archive {
    save().edit_json("manifest.json", |list| edit(&mut list[0]))
}

fn tagged(tag: &str) -> Archive {
    entry(|entry| entry["RepoTags"] = json!([tag]))
}

fn configured(config: impl Into<Vec<u8>>) -> Archive {
    Archive::docker_20(&[app().config_bytes(config)])
}

#[test]
fn manifest_json() {
    check(vec![
        tar(
            "manifest.json is no list",
            &["manifest.json", "expected a sequence"],
            || save().set_file("manifest.json", "{}"),
        ),
        folder(
            "manifest.json in a folder is cut",
            &["manifest.json", "EOF"],
            || {
                let id = "1".repeat(64);
                let old = save()
                    .file(format!("{id}/json"), "{}")
                    .file(format!("{id}/layer.tar"), "");
                old.set_file("manifest.json", "[{")
            },
        ),
        tar(
            "manifest.json is a Git LFS pointer",
            &["manifest.json", "git lfs pull"],
            || {
                save().set_file(
                    "manifest.json",
                    "version https://git-lfs.github.com/spec/v1\n",
                )
            },
        ),
        tar("manifest.json is cut", &["manifest.json", "EOF"], || {
            save().edit("manifest.json", |bytes| bytes.truncate(20))
        }),
        tar("manifest.json is empty", &["manifest.json", "EOF"], || {
            save().set_file("manifest.json", "")
        }),
        tar(
            "manifest.json is a list of nothing",
            &["holds no image"],
            || save().set_file("manifest.json", "[]"),
        ),
        tar("manifest.json lists null", &["manifest.json"], || {
            save().set_file("manifest.json", "[null]")
        }),
        tar(
            "a config of the wrong type",
            &["manifest.json", "expected a string"],
            || entry(|entry| entry["Config"] = json!(7)),
        ),
        tar(
            "no config",
            &["manifest.json", "missing field `Config`"],
            || entry(|entry| drop(entry.as_object_mut().unwrap().remove("Config"))),
        ),
        tar(
            "layers that are no list",
            &["manifest.json", "expected a sequence"],
            || entry(|entry| entry["Layers"] = json!("layer.tar")),
        ),
        tar(
            "layers of numbers",
            &["manifest.json", "expected a string"],
            || entry(|entry| entry["Layers"] = json!([1, 2])),
        ),
        tar(
            "tags that are no list",
            &["manifest.json", "expected a sequence"],
            || entry(|entry| entry["RepoTags"] = json!({"app": "1"})),
        ),
        tar("the same key twice", &["`b`", "is missing"], || {
            save().set_file(
                "manifest.json",
                r#"[{"Config":"a","Config":"b","Layers":[]}]"#,
            )
        }),
        tar("a config that is missing", &["is missing"], || {
            save().drop(&config_name())
        }),
        tar(
            "a config outside",
            &["../../etc/passwd", "is missing"],
            || entry(|entry| entry["Config"] = json!("../../etc/passwd")),
        ),
        tar(
            "a layer that is missing",
            &["layer.tar", "is missing"],
            || save().drop(&layer_name()),
        ),
        tar("a layer outside", &["/etc/passwd", "is missing"], || {
            entry(|entry| entry["Layers"][1] = json!("/etc/passwd"))
        }),
        tar(
            "a layer that is a folder",
            &["layer.tar", "is missing"],
            || {
                let name = layer_name();
                save().drop(&name).folder_member(format!("{name}/"))
            },
        ),
        tar(
            "fewer layers than diff IDs",
            &["manifest.json", "1 layers, but there are 2 diff IDs"],
            || entry(|entry| drop(entry["Layers"].as_array_mut().unwrap().pop())),
        ),
        tar(
            "more layers than diff IDs",
            &["manifest.json", "3 layers, but there are 2 diff IDs"],
            || {
                entry(|entry| {
                    entry["Layers"]
                        .as_array_mut()
                        .unwrap()
                        .push(layer_name().into())
                })
            },
        ),
        tar(
            "layers in the wrong order",
            &["layer.tar", "has the diff ID sha256:", "not sha256:"],
            || entry(|entry| entry["Layers"].as_array_mut().unwrap().reverse()),
        ),
        tar("an image without layers", &[], || {
            let image = Image::new(&["empty:1"]).config(|c| c["rootfs"]["diff_ids"] = Value::Null);
            Archive::docker_20(&[image])
                .edit_json("manifest.json", |list| list[0]["Layers"] = Value::Null)
        })
        .taken(),
    ]);
}

#[test]
fn configs_and_layers() {
    let diff_ids = |edit: fn(&mut Value)| {
        move || {
            Archive::docker_20(&[
                app().config(move |config| edit(&mut config["rootfs"]["diff_ids"]))
            ])
        }
    };
    check(vec![
        tar(
            "a layer with a wrong bit",
            &["layer.tar", "has the diff ID"],
            || save().flip(&layer_name()),
        ),
        tar(
            "a config with another digest than its name",
            &[".json", "is not named after its digest"],
            || save().edit(&config_name(), |bytes| bytes.push(b' ')),
        )
        .in_part(),
        tar(
            "a config that is a list",
            &[".json", "not an image config"],
            || configured("[]"),
        ),
        tar(
            "a config that is null",
            &[".json", "not an image config"],
            || configured("null"),
        ),
        tar(
            "a config that is no JSON",
            &[".json", "not an image config"],
            || configured([0xff, 0xfe]),
        ),
        tar(
            "a config without rootfs",
            &[".json", "`rootfs` is missing"],
            || configured(r#"{"os":"linux"}"#),
        ),
        tar(
            "a rootfs that is a list",
            &[".json", "not an image config"],
            || configured(r#"{"rootfs":[7]}"#),
        ),
        tar(
            "diff IDs that are numbers",
            &[".json", "not an image config"],
            diff_ids(|ids| *ids = json!([1, 2])),
        ),
        tar(
            "diff IDs in upper case",
            &[".json", "is not a sha256 digest"],
            diff_ids(|ids| {
                let upper = ids[0].as_str().unwrap()[7..].to_uppercase();
                ids[0] = format!("sha256:{upper}").into();
            }),
        ),
        tar(
            "diff IDs of sha512",
            &[".json", "`sha512` is not supported"],
            diff_ids(|ids| {
                ids[0] = format!("sha512:{}", "ab".repeat(64)).into();
            }),
        ),
        tar(
            "diff IDs that are paths",
            &[".json", "is not a sha256 digest"],
            diff_ids(|ids| {
                ids[0] = "sha256:../../../../etc/passwd".into();
            }),
        ),
        tar("a packed layer with a wrong bit", &["layer.tar"], || {
            save()
                .set_file(&layer_name(), gzip(&app().layers[1]))
                .flip(&layer_name())
        }),
        tar("a packed layer that is cut", &["layer.tar"], || {
            let packed = gzip(&app().layers[1]);
            save().set_file(&layer_name(), &packed[..packed.len() - 9])
        }),
        tar(
            "a packed layer with something behind it",
            &["layer.tar"],
            || {
                let packed = [gzip(&app().layers[1]), b"garbage".to_vec()].concat();
                save().set_file(&layer_name(), packed)
            },
        ),
        tar(
            "a packed layer of another tar",
            &["has the diff ID"],
            || save().set_file(&layer_name(), gzip(b"another")),
        ),
        tar("a broken xz layer", &["layer.tar", "cannot read"], || {
            save().set_file(&layer_name(), *b"\xfd7zXZ\0garbage")
        }),
        tar(
            "a broken bzip2 layer",
            &["layer.tar", "cannot read"],
            || save().set_file(&layer_name(), *b"BZh91AY&SY"),
        ),
    ]);
}

#[test]
fn names_in_manifest_json() {
    let refused =
        |name, tag: &'static str, words: &[&'static str]| tar(name, words, move || tagged(tag));
    check(vec![
        refused("a repository outside", "../x:1", &["manifest.json", "../x"]),
        refused(
            "a repository in upper case",
            "A/B:1",
            &["manifest.json", "`A/B` is not a repository name"],
        ),
        refused(
            "an absolute repository",
            "/etc/passwd:1",
            &["manifest.json", "/etc/passwd"],
        ),
        refused(
            "no repository",
            ":1",
            &["manifest.json", "is not a repository name"],
        ),
        refused("no name at all", "", &["the image `", "has no name"]).cannot_run(),
        refused(
            "no tag behind the colon",
            "app:",
            &["manifest.json", "is not a tag"],
        ),
        refused(
            "two tags",
            "app:1:2",
            &["manifest.json", "`1:2` is not a tag"],
        ),
        refused("a tag outside", "app:../../x", &["manifest.json", "../x"]),
        refused(
            "a tag index.html",
            "app:index.html",
            &["manifest.json", "`index.html`", "hint:"],
        ),
        refused(
            "a tag index.json",
            "app:index.json",
            &["manifest.json", "`index.json`", "hint:"],
        ),
        refused(
            "a tag that drives a terminal",
            "app:\u{1b}[2J\u{202e}",
            &["\\x1b[2J\\u{202e}"],
        ),
        refused("a repository with a line break", "a\nerror-b:1", &["\\n"]),
        refused(
            "the files of the site",
            "_types:1",
            &["`_types` is not a repository name"],
        ),
        refused(
            "the private folder",
            ".stillage/lock:1",
            &["is not a repository name"],
        ),
        refused(
            "the list of all repositories",
            "_catalog:1",
            &["`_catalog` is not a repository name"],
        ),
        tar("a tag of 129 characters", &["is not a tag"], || {
            tagged(&format!("app:{}", "x".repeat(129)))
        }),
        tar(
            "a name of 256 characters",
            &["is not a repository name"],
            || tagged(&format!("{}:1", "x".repeat(256))),
        ),
        tar("an image without a name", &["has no name", "hint:"], || {
            entry(|entry| entry["RepoTags"] = Value::Null)
        })
        .cannot_run(),
        tar(
            "one tag for two images",
            &["holds 2 images", "hint:"],
            || Archive::docker_20(&[app(), Image::new(&["other:1"]).layer("x", "y")]),
        )
        .named("=name:1")
        .cannot_run(),
        tar(
            "one tag on two images",
            &["`app:1` is both sha256:"],
            || {
                let other = Archive::docker_20(&[Image::new(&["other:1"]).layer("x", "y")]);
                let other: Value = serde_json::from_slice(other.bytes("manifest.json")).unwrap();
                let extra = Archive::docker_20(&[Image::new(&["other:1"]).layer("x", "y")])
                    .drop("manifest.json")
                    .drop("repositories");
                save().and(extra).edit_json("manifest.json", |list| {
                    let mut second = other[0].clone();
                    second["RepoTags"] = json!(["docker.io/library/app:1"]);
                    list.as_array_mut().unwrap().push(second);
                })
            },
        ),
        case(
            "one tag in two sources",
            &["`app:1`", "one.tar`", "two.tar`", "hint:"],
            |folder| {
                let sources = ["one", "two"].map(|text| {
                    (
                        format!("{text}.tar"),
                        Image::new(&["app:1"]).layer("x", text),
                    )
                });
                sources
                    .map(|(name, image)| {
                        let path = folder.join(name);
                        std::fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
                        text(&path)
                    })
                    .to_vec()
            },
        ),
    ]);
}
