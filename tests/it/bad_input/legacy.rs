//! `docker save` before Docker 1.10: v1 images by id.

use serde_json::{Value, json};

use super::run::{app, check, tar};
use crate::support::archive::Archive;

fn save() -> Archive {
    Archive::docker_1(&[app()])
}

fn id(layer: usize) -> String {
    Archive::v1_id(&app(), layer)
}

/// An archive with the JSON of the base or the top changed.
fn image(layer: usize, edit: impl FnOnce(&mut Value)) -> Archive {
    save().edit_json(&format!("{}/json", id(layer)), edit)
}

fn repositories(value: &Value) -> Archive {
    save().set_file("repositories", value.to_string())
}

#[test]
fn parents_and_ids() {
    check(vec![
        tar("the archive that the others are made of", &[], save).taken(),
        tar("a parent that is missing", &["/json", "is missing"], || {
            let base = save().names(&id(0));
            base.iter().fold(save(), |archive, name| archive.drop(name))
        }),
        tar("a parent that is the image", &["form a cycle"], || {
            image(1, |json| json["parent"] = id(1).into())
        }),
        tar("parents in a cycle", &["form a cycle"], || {
            image(0, |json| json["parent"] = id(1).into())
        }),
        tar("parents in a cycle, and no names", &["cycle"], || {
            image(0, |json| json["parent"] = id(1).into()).drop("repositories")
        })
        .named("=app:1"),
        tar("a parent outside", &["/json", "../../x"], || {
            image(1, |json| json["parent"] = "../../x".into())
        }),
        tar(
            "a parent of the wrong type",
            &[
                "/json",
                "`parent`: invalid type: sequence, expected a string",
            ],
            || image(1, |json| json["parent"] = json!([id(0)])),
        ),
        tar(
            "an id in upper case",
            &["/json", "is not a v1 image id"],
            || image(1, |json| json["id"] = id(1).to_uppercase().into()),
        ),
        tar("an id of another image", &["/json", "has the id"], || {
            image(1, |json| json["id"] = "0".repeat(64).into())
        }),
        tar("no id", &["/json", "missing field `id`"], || {
            image(1, |json| drop(json.as_object_mut().unwrap().remove("id")))
        }),
        tar(
            "JSON that is a list",
            &["/json", "not an image config"],
            || image(1, |json| *json = json!([])),
        ),
        tar("JSON that is cut", &["/json", "EOF while parsing"], || {
            save().edit(&format!("{}/json", id(1)), |bytes| bytes.truncate(30))
        }),
        tar("no JSON", &["/json", "is missing"], || {
            save().drop(&format!("{}/json", id(0)))
        }),
        tar("no layer", &["/layer.tar", "is missing"], || {
            save().drop(&format!("{}/layer.tar", id(0)))
        }),
        tar(
            "a layer that is a link to nothing",
            &["/layer.tar", "is missing"],
            || {
                save()
                    .drop(&format!("{}/layer.tar", id(0)))
                    .symlink(format!("{}/layer.tar", id(0)), "../none")
            },
        ),
        tar("a time that is none", &["/json", "`created`"], || {
            image(1, |json| json["created"] = "yesterday".into())
        }),
        tar("a time of the wrong type", &["/json", "`created`"], || {
            image(1, |json| json["created"] = json!(1_400_000_000))
        }),
        tar("a command of the wrong type", &["/json"], || {
            image(1, |json| json["container_config"] = json!({"Cmd": 7}))
        }),
    ]);
}

#[test]
fn repositories_file() {
    let named =
        |name: &'static str, tag: &'static str| move || repositories(&json!({name: {tag: id(1)}}));
    check(vec![
        tar(
            "repositories is a list",
            &["`repositories`", "expected a map"],
            || repositories(&json!([])),
        ),
        tar("a repository is a list", &["`repositories`"], || {
            repositories(&json!({"app": []}))
        }),
        tar("a tag is a number", &["`repositories`"], || {
            repositories(&json!({"app": {"1": 1}}))
        }),
        tar(
            "a tag is no id",
            &["`repositories`", "is not a v1 image id"],
            || repositories(&json!({"app": {"1": "../../x"}})),
        ),
        tar("a tag of a missing image", &["/json", "is missing"], || {
            repositories(&json!({"app": {"1": "0".repeat(64)}}))
        }),
        tar("no repository at all", &["holds no image"], || {
            repositories(&json!({}))
        }),
        tar("an image without a name", &["has no name", "hint:"], || {
            save().drop("repositories")
        })
        .cannot_run(),
        tar(
            "a repository outside",
            &["`repositories`", "../x"],
            named("../x", "1"),
        ),
        tar(
            "a repository in upper case",
            &["`repositories`", "`A/B`"],
            named("A/B", "1"),
        ),
        tar(
            "a tag with a slash",
            &["`repositories`", "`a/b` is not a tag"],
            named("app", "a/b"),
        ),
        tar(
            "a tag index.html",
            &["`repositories`", "`index.html`"],
            named("app", "index.html"),
        ),
        tar(
            "a tag in the name",
            &["`repositories`", "app:2"],
            named("app:2", "1"),
        ),
        tar(
            "a digest in the name",
            &["`repositories`", "app@sha256"],
            || {
                let name = format!("app@sha256:{}", "0".repeat(64));
                repositories(&json!({name: {"1": id(1)}}))
            },
        ),
    ]);
}
