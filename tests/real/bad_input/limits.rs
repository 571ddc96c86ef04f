//! More than anything honest has: of unpacked bytes, members, names, JSON, folders.

use serde_json::json;
use tar::EntryType;

use super::run::{app, bytes, check, folder, stdin, tar};
use crate::support::archive::{Archive, Image, cut, gzip, header, pax, zstd};
use crate::support::files::digest;

const MIB: usize = 1 << 20;

fn save() -> Archive {
    Archive::docker_20(&[app()])
}

fn without_end(archive: &Archive) -> Vec<u8> {
    let tar = archive.tar();
    let length = tar.len() - 1024;
    cut(tar, length)
}

/// A few kilobytes that become 17 GiB.
fn of_17_gib() -> Vec<u8> {
    let mut start = without_end(&save());
    start.extend(header(b"device", EntryType::Char, 20 << 30));
    let mut packed = zstd(&start);
    let part = zstd(&vec![0; 64 * MIB]);
    (0..17 * 16).for_each(|_| packed.extend(&part));
    packed
}

#[test]
fn of_unpacked_bytes() {
    let words = &["more than 16 GiB and 1100 times its length", "hint:"];
    check(vec![
        bytes("an archive of 17 GiB", words, of_17_gib).within_mib(150),
        stdin("the same on the standard input", words, of_17_gib),
    ]);
}

/// An image whose layer is a file in a folder that is only implied, a header, and 320 MiB of what it
/// announces.
fn fat_layer(kind: EntryType) -> Archive {
    let mut start = without_end(&Archive::default().file("folder/file", "text"));
    start.extend(header(b"name", kind, 320 * MIB as u64));
    let part = vec![b'x'; 64 * MIB];
    let end = [0; 1024];
    let mut packed = gzip(&start);
    let packed_part = gzip(&part);
    let mut tar = start;
    for _ in 0..5 {
        packed.extend(&packed_part);
        tar.extend(&part);
    }
    packed.extend(gzip(&end));
    tar.extend(end);
    let diff_id = digest(&tar);
    let mut archive = Archive::default();
    let layer = archive.blob("application/vnd.oci.image.layer.v1.tar+gzip", &packed);
    let image = Image::new(&["app:1"])
        .config(move |config| config["rootfs"]["diff_ids"] = json!([diff_id]))
        .manifest(move |manifest| manifest["layers"] = json!([layer]));
    archive.and(Archive::oci(&[image]))
}

#[test]
fn of_headers_in_layers() {
    let layer = |kind| move || fat_layer(kind);
    check(vec![
        folder("a long name", &[], layer(EntryType::GNULongName))
            .taken()
            .within_mib(150),
        folder("pax records", &[], layer(EntryType::XHeader))
            .taken()
            .within_mib(150),
    ]);
}

#[test]
fn of_attributes_in_layers() {
    let value = "x".repeat(900_000);
    check(vec![
        tar("400 folders with 900 kB each", &[], move || {
            let mut layer = Vec::new();
            for number in 0..400 {
                let name = format!("folder/{number}");
                layer.extend(pax(&[("SCHILY.xattr.user.x", &value)]));
                layer.extend(header(name.as_bytes(), EntryType::Directory, 0));
            }
            let image = Image::new(&["app:1"]).layer_tar(layer);
            Archive::docker_20(&[image])
        })
        .taken()
        .within_mib(250),
    ]);
}

#[test]
fn of_members_and_names() {
    check(vec![
        bytes("300,000 members", &["has more than 262144 members"], || {
            let mut tar = without_end(&save());
            for number in 0..300_000 {
                let name = number.to_string();
                tar.extend(header(name.as_bytes(), EntryType::Regular, 0));
            }
            gzip(&tar)
        }),
        bytes(
            "1,200 names of 60 KiB",
            &["member names have more than 67108864 bytes"],
            || {
                let mut tar = without_end(&save());
                for number in 0..1200 {
                    let name = format!("{}{number}", "x".repeat(60 << 10));
                    tar.extend(header(name.as_bytes(), EntryType::Regular, 0));
                }
                gzip(&tar)
            },
        ),
    ]);
}

#[test]
fn of_json() {
    check(vec![
        bytes("20 manifests of 3.5 MiB", &["too much JSON"], || {
            let comment = "x".repeat(7 * MIB / 2);
            let images: Vec<Image> = (0..20)
                .map(|number| {
                    let text = format!("{comment}{number}");
                    Image::new(&[&format!("app:{number}")])
                        .layer("a", "b")
                        .manifest(move |manifest| manifest["annotations"] = json!({"x": text}))
                })
                .collect();
            gzip(&Archive::oci(&images).tar())
        }),
        tar(
            "10,000 images with one config of 3.5 MiB",
            &["too much JSON"],
            || {
                let comment = "x".repeat(7 * MIB / 2);
                let image = app().config(move |config| config["comment"] = json!(comment));
                Archive::docker_20(&[image]).edit_json("manifest.json", |list| {
                    *list = vec![list[0].clone(); 10_000].into();
                })
            },
        )
        .within(10),
        tar("1,000 images with one config", &[], || {
            save().edit_json("manifest.json", |list| {
                *list = vec![list[0].clone(); 1000].into();
            })
        })
        .taken(),
    ]);
}

#[test]
fn of_folders_in_folders() {
    let depth = 1200;
    check(vec![
        tar("all of them opaque", &[], move || {
            let (mut below, mut above) = (Vec::new(), Vec::new());
            for number in 1..=depth {
                let path = "d/".repeat(number);
                for name in ["", "x", "y"] {
                    let kind = if name.is_empty() {
                        EntryType::Directory
                    } else {
                        EntryType::Regular
                    };
                    below.extend(header(format!("{path}{name}").as_bytes(), kind, 0));
                }
                let whiteout = format!("{path}.wh..wh..opq");
                above.extend(header(whiteout.as_bytes(), EntryType::Regular, 0));
            }
            let image = Image::new(&["app:1"]).layer_tar(below).layer_tar(above);
            Archive::docker_20(&[image])
        })
        .taken()
        .within(8),
        tar("many deep ones that are only implied", &[], move || {
            let mut layer = Vec::new();
            for number in 0..1000 {
                let path = format!("{number}/{}x", "d/".repeat(depth));
                layer.extend(header(path.as_bytes(), EntryType::Regular, 0));
            }
            Archive::docker_20(&[Image::new(&["app:1"]).layer_tar(layer)])
        })
        .taken()
        .within(8),
    ]);
}
