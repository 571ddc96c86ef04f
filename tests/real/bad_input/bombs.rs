//! Input that is small and wants much memory or much stack.

use serde_json::{Value, json};
use tar::EntryType;

use super::run::{bytes, check, folder, tar};
use crate::support::archive::{Archive, Image, cut, gzip, header, zstd};

const MIB: usize = 1 << 20;

fn app() -> Image {
    Image::new(&["app:1"]).layer("bin/app", "one")
}

fn save() -> Archive {
    Archive::docker_20(&[app()])
}

/// A gzip of these bytes, then `mebibytes` of one byte, then the end of a tar. Members of a gzip
/// can be repeated, so that the bomb itself costs nothing.
fn bomb(start: &[u8], byte: u8, mebibytes: usize) -> Vec<u8> {
    let mut out = gzip(start);
    let part = gzip(&vec![byte; 64 * MIB]);
    (0..mebibytes / 64).for_each(|_| out.extend(&part));
    out.extend(gzip(&[0; 1024]));
    out
}

/// A gzipped tar in which a member has this many mebibytes of one byte.
fn fat(archive: &Archive, name: &str, byte: u8, mebibytes: usize) -> Vec<u8> {
    let tar = archive.tar();
    let mut start = cut(tar.clone(), tar.len() - 1024);
    start.extend(header(
        name.as_bytes(),
        EntryType::Regular,
        (mebibytes * MIB) as u64,
    ));
    bomb(&start, byte, mebibytes)
}

/// A header whose content is the name of the next member.
fn fat_header(kind: EntryType) -> Vec<u8> {
    let size = (1024 * MIB) as u64;
    bomb(&header(b"name", kind, size), b'x', 1024)
}

#[test]
fn members_of_a_gibibyte() {
    check(vec![
        bytes("manifest.json", &["`manifest.json`", "more than"], || {
            fat(&save().drop("manifest.json"), "manifest.json", b' ', 1024)
        }),
        bytes(
            "a config",
            &[".json`", "more than the limit of 4194304"],
            || {
                let archive = save();
                let config = archive
                    .names(".json")
                    .into_iter()
                    .find(|name| name.len() == 69)
                    .unwrap();
                fat(&archive.drop(&config), &config, 0, 1024)
            },
        ),
        bytes(
            "repositories of a legacy archive",
            &["`repositories`", "more than"],
            || {
                fat(
                    &Archive::docker_1(&[app()]).drop("repositories"),
                    "repositories",
                    b' ',
                    1024,
                )
            },
        ),
        bytes(
            "the JSON of a legacy image",
            &["/json`", "more than the limit of 4194304"],
            || {
                let name = format!("{}/json", Archive::v1_id(&app(), 0));
                fat(&Archive::docker_1(&[app()]).drop(&name), &name, b' ', 1024)
            },
        ),
        bytes(
            "the index.json of a layout",
            &["`index.json`", "more than"],
            || {
                fat(
                    &Archive::oci(&[app()]).drop("index.json"),
                    "index.json",
                    b' ',
                    960,
                )
            },
        ),
        bytes(
            "a manifest of a layout",
            &["blobs/sha256/", "more than the limit of 4194304"],
            || {
                let name = format!("blobs/{}", app().manifest_digest().replace(':', "/"));
                fat(&Archive::oci(&[app()]).drop(&name), &name, b' ', 1024)
            },
        ),
        bytes(
            "a layer of something else",
            &["layer.tar", "has the diff ID"],
            || {
                let name = format!("{}/layer.tar", Archive::v1_id(&app(), 0));
                fat(&save().drop(&name), &name, 0, 1024)
            },
        ),
        bytes("a long name of GNU tar", &["bad.tar"], || {
            fat_header(EntryType::GNULongName)
        }),
        bytes("a long link of GNU tar", &["bad.tar"], || {
            fat_header(EntryType::GNULongLink)
        }),
        bytes("pax records", &["bad.tar"], || {
            fat_header(EntryType::XHeader)
        }),
        bytes("a pax header for all", &["bad.tar"], || {
            fat_header(EntryType::XGlobalHeader)
        }),
    ]);
}

#[test]
fn json_of_many_small_things() {
    let list = |start: &str, item: &str, end: &str| {
        let count = 60 * MIB / item.len();
        format!("{start}{}{end}", item.repeat(count)).into_bytes()
    };
    check(vec![
        bytes("names in manifest.json", &["bad.tar"], move || {
            let json = list(
                r#"[{"Config":"x","Layers":[],"RepoTags":["#,
                r#""","#,
                r#"""]}]"#,
            );
            gzip(&save().set_file("manifest.json", json).tar())
        }),
        bytes("entries of manifest.json", &["bad.tar"], move || {
            let json = list("[", r#"{"Config":""},"#, r#"{"Config":""}]"#);
            gzip(&save().set_file("manifest.json", json).tar())
        }),
        bytes(
            "a legacy JSON that makes a config of more than 4 MiB",
            &["4194304"],
            || {
                let name = format!("{}/json", Archive::v1_id(&app(), 0));
                let comment = "x".repeat(3 * MIB);
                Archive::docker_1(&[app()])
                    .edit_json(&name, |json| json["comment"] = comment.into())
                    .tar()
            },
        ),
    ]);
}

fn deep(depth: usize) -> String {
    "[".repeat(depth)
}

/// A value in a value in a value, closed.
fn nested(depth: usize) -> String {
    deep(depth) + &"]".repeat(depth)
}

#[test]
fn deep_json() {
    let member = |name: &'static str| move || save().set_file(name, deep(10_000));
    let within = |start: &str| format!("{start}{}}}", nested(100_000));
    check(vec![
        tar(
            "manifest.json",
            &["`manifest.json`"],
            member("manifest.json"),
        ),
        tar("manifest.json, closed", &["`manifest.json`"], || {
            save().set_file("manifest.json", nested(10_000))
        }),
        tar("repositories", &["`repositories`"], || {
            Archive::docker_1(&[app()]).set_file("repositories", deep(10_000))
        }),
        folder("index.json", &["index.json"], || {
            Archive::oci(&[app()]).set_file("index.json", deep(10_000))
        }),
        folder("a manifest", &["blobs/sha256/"], || {
            Archive::oci(&[app().manifest_bytes(deep(10_000))])
        }),
        tar("a config", &[".json`"], || {
            Archive::docker_20(&[app().config_bytes(deep(10_000))])
        }),
        tar("a platform of a config", &[".json`"], move || {
            Archive::docker_20(&[app().config_bytes(within(r#"{"os":"#))])
        }),
        tar(
            "a value of a config that nobody reads",
            &[".json`"],
            move || {
                Archive::docker_20(&[
                    app().config_bytes(within(r#"{"rootfs":{"diff_ids":[]},"x":"#))
                ])
            },
        ),
        tar("a legacy JSON", &["/json`"], || {
            let name = format!("{}/json", Archive::v1_id(&app(), 0));
            Archive::docker_1(&[app()]).set_file(&name, deep(10_000))
        }),
        tar("a command of a legacy JSON", &["bad.tar"], move || {
            let id = Archive::v1_id(&app(), 0);
            let json = within(&format!(
                r#"{{"id":"{id}","container_config":{{"Cmd":0}},"container_config":"#
            ));
            Archive::docker_1(&[app()]).set_file(&format!("{id}/json"), json)
        }),
        tar(
            "a value of a legacy JSON that is only passed on",
            &[],
            move || {
                let id = Archive::v1_id(&app(), 0);
                let json = within(&format!(r#"{{"id":"{id}","x":"#));
                Archive::docker_1(&[app()]).set_file(&format!("{id}/json"), json)
            },
        )
        .taken(),
    ]);
}

#[test]
fn packed_layers() {
    let layer = |packed: fn() -> Vec<u8>| {
        move || {
            let mut archive = Archive::default();
            let layer = archive.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed());
            let image =
                app().manifest(move |manifest: &mut Value| manifest["layers"] = json!([layer]));
            archive.and(Archive::oci(&[image]))
        }
    };
    check(vec![
        folder(
            "a layer that unpacks to a gibibyte",
            &["has the diff ID"],
            layer(|| bomb(b"", 0, 1024)),
        ),
        folder(
            "a layer of zstd with a huge window",
            &["blobs/sha256/", "memory"],
            layer(|| [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8][..], &[0x01, 0, 0]].concat()),
        ),
        folder(
            "a layer of zstd that is cut",
            &["blobs/sha256/"],
            layer(|| cut(zstd(&app().layers[0]), 60)),
        ),
        folder(
            "a layer of only a skippable frame",
            &["bad"],
            layer(|| [&[0x50, 0x2a, 0x4d, 0x18][..], &[255, 255, 255, 255]].concat()),
        ),
    ]);
}
