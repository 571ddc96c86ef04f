//! OCI image layouts, as folders and as archives.

use serde_json::{Value, json};

use super::run::{check, folder, tar};
use crate::support::archive::{Archive, Image, Pack};

fn app() -> Image {
    Image::new(&["app:1"]).layer("bin/app", "one").layer("etc/app", "two")
}

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

/// The member of a descriptor in the manifest: `config`, `layers/0`.
fn blob(pointer: &str) -> String {
    let mut sealed = Archive::default();
    let manifest = app().seal(&mut sealed)["digest"].clone();
    let path = |digest: &Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
    let manifest: Value = serde_json::from_slice(sealed.bytes(&path(&manifest))).unwrap();
    path(manifest.pointer(&format!("/{pointer}/digest")).unwrap())
}

fn manifest_blob() -> String {
    format!("blobs/{}", app().manifest_digest().replace(':', "/"))
}

#[test]
fn index_json() {
    check(vec![
        folder("the layout that the others are made of", &[], layout).is_taken(),
        tar("the archive that the others are made of", &[], layout).is_taken(),
        folder("no list", &["index.json", "expected a sequence"], || {
            layout().set_file("index.json", r#"{"schemaVersion":2,"manifests":{}}"#)
        }),
        folder("no manifests", &["index.json", "missing field `manifests`"], || layout().set_file("index.json", "{}")),
        folder("an empty list", &["holds no image"], || layout().set_file("index.json", r#"{"manifests":[]}"#)),
        folder("a cut index", &["index.json", "EOF"], || layout().edit("index.json", |bytes| bytes.truncate(50))),
        folder("an empty index", &["index.json", "EOF"], || layout().set_file("index.json", "")),
        folder("an index of bytes", &["index.json"], || layout().set_file("index.json", [0xff; 9])),
        folder("a negative size", &["index.json", "`-1`"], || entry(|e| e["size"] = json!(-1))),
        folder("a size with a fraction", &["index.json", "1.5"], || entry(|e| e["size"] = json!(1.5))),
        folder("a size as text", &["index.json", "expected u64"], || entry(|e| e["size"] = json!("12"))),
        folder("a size of more than 64 bits", &["index.json"], || {
            layout().set_file("index.json", r#"{"manifests":[{"digest":"sha256:00","size":99999999999999999999}]}"#)
        }),
        folder("a size that is wrong", &["blobs/sha256/", " bytes, not 5"], || entry(|e| e["size"] = json!(5))),
        folder("no size", &["index.json", "missing field `size`"], || {
            entry(|e| drop(e.as_object_mut().unwrap().remove("size")))
        }),
        folder("no digest", &["index.json", "missing field `digest`"], || {
            entry(|e| drop(e.as_object_mut().unwrap().remove("digest")))
        }),
        folder("a digest in upper case", &["index.json", "is no sha256"], || {
            entry(|e| e["digest"] = format!("sha256:{}", "AB".repeat(32)).into())
        }),
        folder("a digest that is a path", &["index.json", "is no sha256"], || {
            entry(|e| e["digest"] = "sha256:../../../../../etc/passwd".into())
        }),
        folder("a digest without an algorithm", &["index.json", "is no digest"], || {
            entry(|e| e["digest"] = "0".repeat(64).into())
        }),
        folder("a digest of sha512", &["index.json", "`sha512` is not supported"], || {
            entry(|e| e["digest"] = format!("sha512:{}", "0".repeat(128)).into())
        }),
        folder("a digest of an algorithm that drives a terminal", &["index.json", "\\u{1b}"], || {
            entry(|e| e["digest"] = "\u{1b}]0;x\u{7}:00".into())
        }),
        folder("a digest of nothing", &["the manifest sha256:00", "is missing"], || {
            entry(|e| e["digest"] = format!("sha256:{}", "0".repeat(64)).into())
        }),
        folder("annotations of the wrong type", &["index.json", "expected a map"], || {
            entry(|e| e["annotations"] = json!(["x"]))
        }),
        folder("a name of the wrong type", &["index.json", "expected a string"], || {
            entry(|e| e["annotations"]["org.opencontainers.image.ref.name"] = json!(1))
        }),
        folder("a type that no registry serves", &["blobs/sha256/", "`text/\\u{1b}html`"], || {
            let image = app().manifest(|m| drop(m.as_object_mut().unwrap().remove("mediaType")));
            Archive::oci(&[image]).edit_json("index.json", |i| i["manifests"][0]["mediaType"] = "text/\u{1b}html".into())
        }),
        folder("the type of an index for an image", &["blobs/sha256/"], || {
            let index = "application/vnd.oci.image.index.v1+json";
            manifest(move |m| m["mediaType"] = index.into())
        }),
        folder("one tag on two images", &["`app:1` is sha256:"], || {
            Archive::oci(&[app(), Image::new(&["docker.io/library/app:1"])])
        }),
        folder("one tag for two images", &["holds 2 images", "hint:"], || Archive::oci(&[app(), Image::new(&["other:1"])]))
            .named("=x:1"),
        folder("no name", &["has no name", "hint:"], || Archive::oci(&[Image::new(&[])])),
        folder("only a tag", &["`latest`", "has no name", "hint:"], || named("latest")),
        folder("a reference that is not there", &["no image `app:2`"], layout).prefixed("oci:").named(":app:2"),
    ]);
}

#[test]
fn names() {
    check(vec![
        folder("a repository outside", &["`../../x`"], || named("../../x:1")),
        folder("a repository in upper case", &["`A/B`"], || named("A/B:1")),
        folder("a tag outside", &["../x"], || named("app:../x")).bug("`app:..` is taken for a host, and the name is x"),
        folder("a tag of dots", &["`..`"], || named("..")),
        folder("a tag index.json", &["index.json` is the name of a file", "hint:"], || named("app:index.json")),
        folder("a bare tag index.html", &["index.html` is the name of a file", "hint:"], || named("index.html")).named("=app"),
        folder("a name of 10,000 characters", &["is no"], || named(&"x".repeat(10_000))).bug("the error shows all of it"),
        folder("a name that drives a terminal", &["\\u{1b}"], || named("\u{1b}[31mapp:1")),
        folder("a digest for a tag", &[], || named("app@sha256:12")),
    ]);
}

const STAGED: &str = "the error names the copy in staging, not the source";

#[test]
fn manifests() {
    check(vec![
        folder("an empty manifest", &["blobs/sha256/", "no manifest"], || {
            Archive::oci(&[app().manifest_bytes("")])
        }),
        folder("a manifest that is null", &["blobs/sha256/", "no manifest"], || Archive::oci(&[app().manifest_bytes("null")])),
        folder("a manifest that is a list", &["blobs/sha256/", "no manifest"], || Archive::oci(&[app().manifest_bytes("[]")])),
        folder("a manifest of nothing", &["blobs/sha256/", "lacks its content"], || Archive::oci(&[app().manifest_bytes("{}")])),
        folder("the same key twice", &["blobs/sha256/", "duplicate field"], || {
            Archive::oci(&[app().manifest_bytes(r#"{"mediaType":"a","mediaType":"b"}"#)])
        }),
        folder("layers that are no list", &["blobs/sha256/", "no manifest"], || manifest(|m| m["layers"] = json!({}))),
        folder("layers that are text", &["blobs/sha256/", "no manifest"], || manifest(|m| m["layers"] = json!(["x"]))),
        folder("a config that is text", &["blobs/sha256/", "no manifest"], || manifest(|m| m["config"] = json!("x"))),
        folder("no config", &["blobs/sha256/", "lacks its content"], || manifest(|m| m["config"] = Value::Null)),
        folder("an image and an index", &["blobs/sha256/", "neither an image nor an index"], || {
            manifest(|m| m["manifests"] = json!([]))
        }),
        folder("a layer of a negative size", &["blobs/sha256/", "no manifest"], || manifest(|m| m["layers"][0]["size"] = json!(-1))),
        folder("a layer of a size with a fraction", &["blobs/sha256/", "no manifest"], || manifest(|m| m["layers"][0]["size"] = json!(1.5))),
        folder("a layer of a size as text", &["blobs/sha256/", "no manifest"], || manifest(|m| m["layers"][0]["size"] = json!("9"))),
        folder("a layer of a size that is wrong", &["blobs/sha256/", " bytes, not 9"], || manifest(|m| m["layers"][0]["size"] = json!(9))),
        folder("a layer of 16 EiB", &["blobs/sha256/", "not 18446744073709551615"], || manifest(|m| m["layers"][0]["size"] = json!(u64::MAX))),
        folder("a config of a size that is wrong", &["blobs/sha256/", " bytes, not 9"], || manifest(|m| m["config"]["size"] = json!(9))),
        folder("a layer of sha512", &["blobs/sha256/", "`sha512` is not supported"], || {
            manifest(|m| m["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into())
        }),
        folder("a layer in upper case", &["blobs/sha256/", "is no sha256"], || {
            manifest(|m| m["layers"][0]["digest"] = m["layers"][0]["digest"].as_str().unwrap().to_uppercase().replace("SHA", "sha").into())
        }),
        folder("a layer that is missing", &["the blob sha256:", "is missing"], || layout().drop(&blob("layers/0"))),
        tar("a layer that is missing in an archive", &["the blob sha256:", "is missing"], || layout().drop(&blob("layers/0"))),
        folder("a config that is missing", &["the blob sha256:", "is missing"], || layout().drop(&blob("config"))),
        folder("a manifest that is missing", &["the manifest sha256:", "is missing"], || layout().drop(&manifest_blob())),
        folder("a layer with a wrong bit", &["blobs/sha256/"], || layout().flip(&blob("layers/0"))),
        tar("a layer with a wrong bit in an archive", &["blobs/sha256/"], || layout().flip(&blob("layers/0"))),
        folder("a config with a wrong bit", &["blobs/sha256/", "has the digest"], || layout().flip(&blob("config"))),
        folder("a manifest with another space", &["blobs/sha256/", "has the digest"], || {
            layout().edit(&manifest_blob(), |bytes| bytes.push(b' '))
        }),
        folder("a layer that is cut", &["blobs/sha256/"], || layout().edit(&blob("layers/0"), |bytes| bytes.truncate(30))),
        folder("a layer that is empty", &["blobs/sha256/"], || layout().set_file(&blob("layers/0"), "")),
        folder("fewer diff IDs than layers", &["has 2 layers, its config 1 diff IDs"], || {
            Archive::oci(&[app().config(|c| drop(c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()))])
        }),
        folder("more diff IDs than layers", &["has 2 layers, its config 3 diff IDs"], || {
            Archive::oci(&[app().config(|c| {
                let first = c["rootfs"]["diff_ids"][0].clone();
                c["rootfs"]["diff_ids"].as_array_mut().unwrap().push(first);
            })])
        }),
        folder("a wrong diff ID", &["the layer sha256:", "has the diff ID sha256:", "as its config says"], || {
            Archive::oci(&[app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())])
        }),
        folder("a wrong diff ID, packed with zstd", &["has the diff ID sha256:"], || {
            Archive::oci(&[app().packed(Pack::Zstd).config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())])
        }),
        folder("a wrong diff ID where only v2 is wanted", &["has the diff ID sha256:"], || {
            Archive::oci(&[app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())])
        })
        .with(&["--dry-run"]),
        folder("a config that is a list", &["/bad/blobs/sha256/", "no image config"], || Archive::oci(&[app().config_bytes("[]")])).bug(STAGED),
        folder("a config without rootfs", &["/bad/blobs/sha256/", "`rootfs` is missing"], || Archive::oci(&[app().config_bytes("{}")])).bug(STAGED),
        folder("a schema 1 manifest", &["blobs/sha256/", "schema 1"], || {
            Archive::oci(&[app().manifest_bytes(
                r#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws","fsLayers":[],"history":[]}"#,
            )])
        }),
        folder("an index of text", &["blobs/sha256/", "no manifest"], || {
            Archive::oci(&[Image::index(&["app:1"], vec![app()]).manifest(|m| m["manifests"] = json!(["x"]))])
        }),
        folder("a child of a wrong size", &["blobs/sha256/", " bytes, not 3"], || {
            Archive::oci(&[Image::index(&["app:1"], vec![app()]).manifest(|m| m["manifests"][0]["size"] = json!(3))])
        }),
        folder("a child with a wrong diff ID", &["as its config says"], || {
            let child = app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse());
            Archive::oci(&[Image::index(&["app:1"], vec![app(), child])])
        }),
    ]);
}
