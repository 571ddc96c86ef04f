//! Manifests and what they point to, in OCI image layouts.

use serde_json::{Value, json};

use super::run::{Case, app, check, folder, tar};
use crate::support::archive::{Archive, Image, Pack};

fn layout() -> Archive {
    Archive::oci(&[app()])
}

/// A layout whose manifest is changed, with digests that fit.
fn manifest(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Archive {
    Archive::oci(&[app().manifest(edit)])
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

fn schema_1(name: &'static str, end: &'static str) -> Case {
    folder(name, &["blobs/sha256/", "signature"], move || {
        let start = r#"{"schemaVersion":1,"name":"a","tag":"1","fsLayers":[],"history":[]"#;
        Archive::oci(&[app().manifest_bytes(format!("{start}{end}}}"))])
    })
}

#[test]
fn manifests() {
    check(vec![
        folder(
            "an empty manifest",
            &["blobs/sha256/", "not a manifest"],
            || Archive::oci(&[app().manifest_bytes("")]),
        ),
        folder(
            "a manifest that is null",
            &["blobs/sha256/", "are missing"],
            || Archive::oci(&[app().manifest_bytes("null")]),
        ),
        folder(
            "a manifest that is a list",
            &["blobs/sha256/", "not a manifest"],
            || Archive::oci(&[app().manifest_bytes("[]")]),
        ),
        folder(
            "a manifest of nothing",
            &["blobs/sha256/", "required fields of a manifest"],
            || Archive::oci(&[app().manifest_bytes("{}")]),
        ),
        folder(
            "the same key twice",
            &["blobs/sha256/", "`b` are not supported"],
            || Archive::oci(&[app().manifest_bytes(r#"{"mediaType":"a","mediaType":"b"}"#)]),
        ),
        folder(
            "layers that are no list",
            &["blobs/sha256/", "not a manifest"],
            || manifest(|m| m["layers"] = json!({})),
        ),
        folder(
            "layers that are text",
            &["blobs/sha256/", "not a manifest"],
            || manifest(|m| m["layers"] = json!(["x"])),
        ),
        folder(
            "a config that is text",
            &["blobs/sha256/", "not a manifest"],
            || manifest(|m| m["config"] = json!("x")),
        ),
        folder("no config", &[], || manifest(|m| m["config"] = Value::Null)).taken(),
        folder(
            "neither a config nor layers",
            &["blobs/sha256/", "required fields of a manifest"],
            || {
                manifest(|m| {
                    m["config"] = Value::Null;
                    m["layers"] = Value::Null;
                })
            },
        ),
        folder(
            "an image and an index",
            &["blobs/sha256/", "neither an image nor an index"],
            || manifest(|m| m["manifests"] = json!([])),
        ),
        folder(
            "a layer of a negative size",
            &["blobs/sha256/", "not a manifest"],
            || manifest(|m| m["layers"][0]["size"] = json!(-1)),
        ),
        folder(
            "a layer of a size with a fraction",
            &["blobs/sha256/", "not a manifest"],
            || manifest(|m| m["layers"][0]["size"] = json!(1.5)),
        ),
        folder(
            "a layer of a size as text",
            &["blobs/sha256/", "not a manifest"],
            || manifest(|m| m["layers"][0]["size"] = json!("9")),
        ),
        folder(
            "a layer of a size that is wrong",
            &["blobs/sha256/", " bytes, not 9"],
            || manifest(|m| m["layers"][0]["size"] = json!(9)),
        ),
        folder(
            "a layer of 16 EiB",
            &["blobs/sha256/", "not 18446744073709551615"],
            || manifest(|m| m["layers"][0]["size"] = json!(u64::MAX)),
        ),
        folder(
            "a config of a size that is wrong",
            &["blobs/sha256/", " bytes, not 9"],
            || manifest(|m| m["config"]["size"] = json!(9)),
        ),
        folder(
            "a layer of sha512",
            &["blobs/sha256/", "`sha512` is not supported"],
            || {
                manifest(|m| {
                    m["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into()
                })
            },
        ),
        folder(
            "a layer in upper case",
            &["blobs/sha256/", "is not a sha256 digest"],
            || {
                manifest(|m| {
                    m["layers"][0]["digest"] = m["layers"][0]["digest"]
                        .as_str()
                        .unwrap()
                        .to_uppercase()
                        .replace("SHA", "sha")
                        .into()
                })
            },
        ),
        folder(
            "a layer that is missing",
            &["the blob sha256:", "is missing"],
            || layout().drop(&blob("layers/0")),
        ),
        tar(
            "a layer that is missing in an archive",
            &["the blob sha256:", "is missing"],
            || layout().drop(&blob("layers/0")),
        ),
        folder(
            "a config that is missing",
            &["the blob sha256:", "is missing"],
            || layout().drop(&blob("config")),
        ),
        folder(
            "a manifest that is missing",
            &["the manifest sha256:", "is missing"],
            || layout().drop(&manifest_blob()),
        ),
        folder("a layer with a wrong bit", &["blobs/sha256/"], || {
            layout().flip(&blob("layers/0"))
        }),
        tar(
            "a layer with a wrong bit in an archive",
            &["blobs/sha256/"],
            || layout().flip(&blob("layers/0")),
        ),
        folder(
            "a config with a wrong bit",
            &["blobs/sha256/", "has the digest"],
            || layout().flip(&blob("config")),
        ),
        folder(
            "a manifest with another space",
            &["blobs/sha256/", "has the digest"],
            || layout().edit(&manifest_blob(), |bytes| bytes.push(b' ')),
        ),
        folder("a layer that is cut", &["blobs/sha256/"], || {
            layout().edit(&blob("layers/0"), |bytes| bytes.truncate(30))
        }),
        folder("a layer that is empty", &["blobs/sha256/"], || {
            layout().set_file(&blob("layers/0"), "")
        }),
        folder(
            "fewer diff IDs than layers",
            &["has 2 layers, but its config has 1 diff IDs"],
            || {
                Archive::oci(&[
                    app().config(|c| drop(c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()))
                ])
            },
        ),
        folder(
            "more diff IDs than layers",
            &["has 2 layers, but its config has 3 diff IDs"],
            || {
                Archive::oci(&[app().config(|c| {
                    let first = c["rootfs"]["diff_ids"][0].clone();
                    c["rootfs"]["diff_ids"].as_array_mut().unwrap().push(first);
                })])
            },
        ),
        folder(
            "a wrong diff ID",
            &[
                "the layer sha256:",
                "has the diff ID sha256:",
                "as its config says",
            ],
            || {
                Archive::oci(&[
                    app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())
                ])
            },
        ),
        folder(
            "a wrong diff ID, packed with zstd",
            &["has the diff ID sha256:"],
            || {
                Archive::oci(&[app()
                    .packed(Pack::Zstd)
                    .config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())])
            },
        ),
        folder(
            "a wrong diff ID where only v2 is wanted",
            &["has the diff ID sha256:"],
            || {
                Archive::oci(&[
                    app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())
                ])
            },
        )
        .with(&["--dry-run"]),
        folder(
            "a config that is a list",
            &["/bad/blobs/sha256/", "not an image config"],
            || Archive::oci(&[app().config_bytes("[]")]),
        ),
        folder("a config without rootfs", &[], || {
            Archive::oci(&[app().config_bytes("{}")])
        })
        .taken(),
        schema_1("a schema 1 manifest without signatures", "").taken(),
        schema_1("no signature", r#","signatures":[]"#),
        schema_1(
            "a signature of nothing",
            r#","signatures":[{"protected":"AAAA"}]"#,
        ),
        // {"formatLength":9999999999,"formatTail":"fQ"}
        schema_1(
            "a signature of more than there is",
            r#","signatures":[{"protected":"eyJmb3JtYXRMZW5ndGgiOjk5OTk5OTk5OTksImZvcm1hdFRhaWwiOiJmUSJ9"}]"#,
        ),
        // {"formatLength":-1,"formatTail":"fQ"}
        schema_1(
            "a signature of less than nothing",
            r#","signatures":[{"protected":"eyJmb3JtYXRMZW5ndGgiOi0xLCJmb3JtYXRUYWlsIjoiZlEifQ"}]"#,
        ),
        folder(
            "an index of text",
            &["blobs/sha256/", "not a manifest"],
            || {
                Archive::oci(&[Image::index(&["app:1"], vec![app()])
                    .manifest(|m| m["manifests"] = json!(["x"]))])
            },
        ),
        folder(
            "a child of a wrong size",
            &["blobs/sha256/", " bytes, not 3"],
            || {
                Archive::oci(&[Image::index(&["app:1"], vec![app()])
                    .manifest(|m| m["manifests"][0]["size"] = json!(3))])
            },
        ),
        folder(
            "a child with a wrong diff ID",
            &["as its config says"],
            || {
                let child =
                    app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse());
                Archive::oci(&[Image::index(&["app:1"], vec![app(), child])])
            },
        ),
    ]);
}
