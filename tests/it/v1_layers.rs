//! The file system of an image is the same by v1 and by v2, although Docker 1.x reads layers in its
//! own way: unpacked as each reads them, and compared file by file.

use tar::{EntryType, Header};

use crate::support::archive::{Archive, Image, Pack};
use crate::support::files::Files;
use crate::support::site::{build, v1_layers, verify};
use crate::support::temp::TempDir;

/// A member of a layer: path, kind, content or target, mode.
type Member<'a> = (&'a str, EntryType, &'a str, u32);

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;

fn layer(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, text, mode) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(u64::from(*mode) % 7);
        header.set_gid(5);
        header.set_mtime(1_400_000_000);
        let data = if *kind == FILE { text.as_bytes() } else { b"" };
        header.set_size(data.len() as u64);
        if *mode == 0o2775 || *mode == 0o1777 {
            let attribute = ("SCHILY.xattr.user.test", &b"\x00value\xff"[..]);
            builder.append_pax_extensions([attribute]).unwrap();
        }
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            builder.append_link(&mut header, path, text).unwrap();
        } else {
            builder.append_data(&mut header, path, data).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

/// Layers with every kind of member, and what Docker 1.x misses in the upper ones.
fn layers() -> Vec<Vec<u8>> {
    let deep = "very/".repeat(40);
    let deep_file = format!("{deep}deep");
    vec![
        layer(&[
            ("bin", FOLDER, "", 0o755),
            ("bin/suid", FILE, "program", 0o4755),
            ("etc", FOLDER, "", 0o750),
            ("etc/conf", FILE, "old", 0o600),
            ("etc/hard", EntryType::Link, "etc/conf", 0o600),
            ("etc/sub", FOLDER, "", 0o700),
            ("etc/sub/one", FILE, "1", 0o644),
            ("etc/sub/two", FILE, "2", 0o644),
            ("etc/sub/nested", FOLDER, "", 0o711),
            ("etc/sub/nested/three", FILE, "3", 0o644),
            ("tmp", FOLDER, "", 0o1777),
            ("tmp/link", EntryType::Symlink, "../etc/conf", 0o777),
            ("var", FOLDER, "", 0o755),
            ("var/lib", FOLDER, "", 0o2775),
            ("var/lib/data", FOLDER, "", 0o750),
            ("var/lib/data/file", FILE, "data", 0o640),
        ]),
        layer(&[
            // Folders that only the layer below has.
            ("tmp/new", FILE, "new", 0o644),
            ("var/lib/data/more", FILE, "more", 0o644),
            ("var/lib/data/.wh.file", FILE, "", 0o644),
            (deep_file.as_str(), FILE, "deep", 0o644),
            ("bäume/ä", FILE, "ü", 0o644),
        ]),
        layer(&[
            // An opaque folder that is partly there again, one of its folders too.
            ("etc/.wh..wh..opq", FILE, "", 0o644),
            ("etc/conf", FILE, "new", 0o644),
            ("etc/sub", FOLDER, "", 0o755),
            ("etc/sub/two", FILE, "2 again", 0o644),
            ("etc/sub/nested/four", FILE, "4", 0o644),
        ]),
        layer(&[
            ("etc", FOLDER, "", 0o755),
            ("etc/.wh.conf", FILE, "", 0o644),
            ("etc/sub", FILE, "a file now", 0o644),
        ]),
        layer(&[
            (".wh..wh..opq", FILE, "", 0o644),
            ("left", FILE, "all that is left", 0o644),
        ]),
    ]
}

#[test]
fn v1_and_v2_unpack_to_the_same_files() {
    let all = layers();
    for depth in 1..=all.len() {
        let layers = &all[..depth];
        let before = Files::of_layers(layers.iter().map(Vec::as_slice)).unwrap();
        for pack in [Pack::Plain, Pack::Gzip, Pack::Zstd] {
            let mut image = Image::new(&["app:1"]).packed(pack);
            image.layers = layers.to_vec();
            let folder = TempDir::new("layers");
            let (source, site) = (folder.path().join("source"), folder.path().join("site"));
            Archive::oci(&[image]).folder(&source);
            build(&[source.to_str().unwrap()], &site);
            verify(&site);
            let v1 = v1_layers(&site, "app");
            let got = Files::of_v1_layers(v1.iter().map(Vec::as_slice)).unwrap();
            let differences = got.differences(&before);
            assert!(
                differences.is_empty(),
                "{depth} {pack:?}\n{}",
                differences.join("\n")
            );
            // Without that, they do differ: the test can fail.
            let plain = Files::of_v1_layers(layers.iter().map(Vec::as_slice)).unwrap();
            assert_eq!(plain.differences(&before).is_empty(), depth == 1, "{depth}");
            assert_eq!(
                v1[0], layers[0],
                "a layer that lacks nothing stays as it is"
            );
        }
    }
}

/// v1 can be added to a site that was built without it, and merged out of others.
#[test]
fn completed_layers_survive_merging_and_adding_v1() {
    let mut image = Image::new(&["app:1"]);
    image.layers = layers();
    let folder = TempDir::new("adding");
    let at = |name: &str| folder.path().join(name);
    Archive::oci(&[image]).folder(&at("source"));
    let source = at("source").to_str().unwrap().to_owned();
    build(&[&source], &at("direct"));
    let direct = crate::support::site::tree(&at("direct"));
    build(&[&source, "--no-v1"], &at("later"));
    build(&["fixtures/oci-layout-multiarch"], &at("later"));
    build(&["fixtures/oci-layout-multiarch"], &at("direct"));
    let both = crate::support::site::tree(&at("direct"));
    crate::support::site::assert_same(&crate::support::site::tree(&at("later")), &both);
    build(&[at("direct").to_str().unwrap()], &at("merged"));
    crate::support::site::assert_same(&crate::support::site::tree(&at("merged")), &both);
    assert!(direct.len() < both.len());
}

/// A layer that is cut short is published all the same, as clients of v2 may take it.
#[test]
fn a_layer_that_is_no_whole_tar_is_left_as_it_is() {
    let whole = layer(&[("only/implied", FILE, &"x".repeat(5000), 0o644)]);
    let mut image = Image::new(&["app:1"]);
    image.layers = vec![whole[..2000].to_vec()];
    let folder = TempDir::new("cut");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    Archive::oci(std::slice::from_ref(&image)).folder(&source);
    build(&[source.to_str().unwrap()], &site);
    assert_eq!(v1_layers(&site, "app"), image.layers);
    verify(&site);
}

/// A link of a lower layer is not replaced by a folder that the upper one implies.
#[test]
fn a_link_below_stays() {
    let paths = paths_above_a_link(&[
        ("lib/deep/new", FILE, "1", 0o644),
        ("usr/lib/new", FILE, "2", 0o644),
    ]);
    let expected = [
        "usr",
        "usr/lib",
        "usr/lib/deep",
        "lib/deep/new",
        "usr/lib/new",
    ];
    assert_eq!(paths, expected);
}

/// A folder that the layer has by the link alone is added where another one is added to it.
#[test]
fn a_folder_by_a_link_is_added_with_what_is_in_it() {
    let paths = paths_above_a_link(&[
        ("lib/deep", FOLDER, "", 0o751),
        ("lib/deep/er/new", FILE, "1", 0o644),
    ]);
    let expected = [
        "usr",
        "usr/lib",
        "usr/lib/deep",
        "usr/lib/deep/er",
        "lib/deep",
        "lib/deep/er/new",
    ];
    assert_eq!(paths, expected);
}

/// The paths of a completed layer above one in which `lib` is a link to `usr/lib`.
fn paths_above_a_link(members: &[Member<'_>]) -> Vec<String> {
    let mut image = Image::new(&["app:1"]);
    image.layers = vec![
        layer(&[
            ("usr", FOLDER, "", 0o755),
            ("usr/lib", FOLDER, "", 0o750),
            ("lib", EntryType::Symlink, "usr/lib", 0o777),
        ]),
        layer(members),
    ];
    let folder = TempDir::new("link");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    Archive::oci(&[image]).folder(&source);
    build(&[source.to_str().unwrap()], &site);
    let layer = v1_layers(&site, "app").pop().unwrap();
    tar::Archive::new(layer.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}
