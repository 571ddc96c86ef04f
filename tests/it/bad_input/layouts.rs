//! The `index.json` of OCI image layouts, as folders and as archives.

use serde_json::{Value, json};

use super::run::{app, check, folder, tar};
use crate::support::archive::{Archive, Image};

fn layout() -> Archive {
    Archive::oci(&[app()])
}

/// A layout whose manifest is changed, with digests that fit.
fn manifest(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Archive {
    Archive::oci(&[app().manifest(edit)])
}

/// A layout whose `index.json` has its entry changed.
fn entry(edit: impl FnOnce(&mut Value)) -> Archive {
    layout().edit_json("index.json", |index| edit(&mut index["manifests"][0]))
}

fn named(name: &str) -> Archive {
    Archive::oci(&[Image::new(&[name]).layer("a", "b")])
}

#[test]
fn index_json() {
    check(vec![
        folder("the layout that the others are made of", &[], layout).taken(),
        tar("the archive that the others are made of", &[], layout).taken(),
        folder("no list", &["index.json", "expected a sequence"], || {
            layout().set_file("index.json", r#"{"schemaVersion":2,"manifests":{}}"#)
        }),
        folder("no manifests", &["holds no image"], || {
            layout().set_file("index.json", "{}")
        }),
        folder("an empty list", &["holds no image"], || {
            layout().set_file("index.json", r#"{"manifests":[]}"#)
        }),
        folder("a cut index", &["index.json", "EOF"], || {
            layout().edit("index.json", |bytes| bytes.truncate(50))
        }),
        folder("an empty index", &["index.json", "EOF"], || {
            layout().set_file("index.json", "")
        }),
        folder("an index of bytes", &["index.json"], || {
            layout().set_file("index.json", [0xff; 9])
        }),
        folder("a negative size", &["index.json", "`-1`"], || {
            entry(|e| e["size"] = json!(-1))
        }),
        folder("a size with a fraction", &["index.json", "1.5"], || {
            entry(|e| e["size"] = json!(1.5))
        }),
        folder("a size as text", &["index.json", "expected u64"], || {
            entry(|e| e["size"] = json!("12"))
        }),
        folder("a size of more than 64 bits", &["index.json"], || {
            layout().set_file(
                "index.json",
                r#"{"manifests":[{"digest":"sha256:00","size":99999999999999999999}]}"#,
            )
        }),
        folder(
            "a size that is wrong",
            &["blobs/sha256/", " bytes, not 5"],
            || entry(|e| e["size"] = json!(5)),
        ),
        folder("no size", &["index.json", "missing field `size`"], || {
            entry(|e| drop(e.as_object_mut().unwrap().remove("size")))
        }),
        folder(
            "no digest",
            &["index.json", "missing field `digest`"],
            || entry(|e| drop(e.as_object_mut().unwrap().remove("digest"))),
        ),
        folder(
            "a digest in upper case",
            &["index.json", "is not a sha256 digest"],
            || entry(|e| e["digest"] = format!("sha256:{}", "AB".repeat(32)).into()),
        ),
        folder(
            "a digest that is a path",
            &["index.json", "is not a sha256 digest"],
            || entry(|e| e["digest"] = "sha256:../../../../../etc/passwd".into()),
        ),
        folder(
            "a digest without an algorithm",
            &["index.json", "is not a digest"],
            || entry(|e| e["digest"] = "0".repeat(64).into()),
        ),
        folder(
            "a digest of sha512",
            &["index.json", "`sha512` is not supported"],
            || entry(|e| e["digest"] = format!("sha512:{}", "0".repeat(128)).into()),
        ),
        folder(
            "a digest of an algorithm that drives a terminal",
            &["index.json", "\\x1b"],
            || entry(|e| e["digest"] = "\u{1b}]0;x\u{7}:00".into()),
        ),
        folder(
            "a digest of nothing",
            &["the manifest sha256:00", "is missing"],
            || entry(|e| e["digest"] = format!("sha256:{}", "0".repeat(64)).into()),
        ),
        folder(
            "annotations of the wrong type",
            &["index.json", "expected a map"],
            || entry(|e| e["annotations"] = json!(["x"])),
        ),
        folder(
            "a name of the wrong type",
            &["index.json", "expected a string"],
            || entry(|e| e["annotations"]["org.opencontainers.image.ref.name"] = json!(1)),
        ),
        folder(
            "a type that no registry serves",
            &["blobs/sha256/", "`text/\\x1bhtml`"],
            || {
                let image =
                    app().manifest(|m| drop(m.as_object_mut().unwrap().remove("mediaType")));
                Archive::oci(&[image]).edit_json("index.json", |i| {
                    i["manifests"][0]["mediaType"] = "text/\u{1b}html".into()
                })
            },
        ),
        folder(
            "the type of an index for an image",
            &["blobs/sha256/"],
            || {
                let index = "application/vnd.oci.image.index.v1+json";
                manifest(move |m| m["mediaType"] = index.into())
            },
        ),
        folder(
            "one tag on two images",
            &["`app:1` is both sha256:"],
            || Archive::oci(&[app(), Image::new(&["docker.io/library/app:1"])]),
        ),
        folder(
            "one tag for two images",
            &["holds 2 images", "hint:"],
            || Archive::oci(&[app(), Image::new(&["other:1"])]),
        )
        .named("=x:1")
        .cannot_run(),
        folder("no name", &["has no name", "hint:"], || {
            Archive::oci(&[Image::new(&[])])
        })
        .cannot_run(),
        folder("only a tag", &["`latest`", "has no name", "hint:"], || {
            named("latest")
        })
        .cannot_run(),
        folder(
            "a reference that is not there",
            &["no image `app:2`"],
            layout,
        )
        .prefixed("oci:")
        .named(":app:2")
        .cannot_run(),
    ]);
}

#[test]
fn names() {
    check(vec![
        folder("a repository outside", &["`../../x`"], || {
            named("../../x:1")
        }),
        folder("a repository in upper case", &["`A/B`"], || named("A/B:1")),
        folder("a tag outside", &["../x"], || named("app:../x")),
        folder("a tag of dots", &["`..`"], || named("..")),
        folder(
            "a tag index.json",
            &["index.json` conflicts with the file", "hint:"],
            || named("app:index.json"),
        ),
        folder(
            "a bare tag index.html",
            &["index.html` conflicts with the file", "hint:"],
            || named("index.html"),
        )
        .named("=app"),
        folder("a name of 10,000 characters", &["is no"], || {
            named(&"x".repeat(10_000))
        }),
        folder("a name that drives a terminal", &["\\x1b"], || {
            named("\u{1b}[31mapp:1")
        }),
        folder("a digest for a tag", &[], || named("app@sha256:12")),
    ]);
}
