//! Collections survive their worst member.

use std::fs;

use serde_json::{Value, json};

use super::Want::{Artifact, Entry, Image, Legacy, Made};
use super::{IMAGE, Row, blob, entry, layer_of, layout, multi, with_child};
use crate::support::archive::{Archive, OCI_INDEX};
use crate::support::files::digest;
use crate::support::place::{Place, image};
use crate::support::storage::{registry_v1, registry_v2, registry_v2_of};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "a blob of another type in index.json",
        make: |place| {
            vec![layout(place, &[], |archive, entries| {
                entries.push(archive.blob("application/xml", b"<x/>"));
            })]
        },
        references: &[("good:1", Image("good"))],
        notes: &[(
            "fault",
            "",
            "`application/xml`, which is not that of a manifest",
        )],
        code: 0,
    },
    Row {
        name: "a build cache",
        make: |place| {
            vec![layout(place, &[], |archive, entries| {
                let cache = build_cache(archive);
                entries.push(entry(cache, OCI_INDEX, "app:cache"));
            })]
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "app:cache", "it is a build cache of BuildKit")],
        code: 0,
    },
    Row {
        name: "an image with an empty config",
        make: |place| {
            vec![layout(
                place,
                &[image("policy:1", "x").config_bytes("{}")],
                |_, _| (),
            )]
        },
        references: &[("good:1", Image("good")), ("policy:1", Artifact(1))],
        notes: &[(
            "client",
            "policy:1",
            "has no v1 form: its config has no `rootfs`",
        )],
        code: 0,
    },
    Row {
        name: "a layer that is missing",
        make: |place| {
            with_bad(place, |archive, manifest| {
                let layer = layer_of(&archive, manifest);
                archive.drop(&layer)
            })
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "bad:1", "is missing in")],
        code: 0,
    },
    Row {
        name: "a manifest that is empty",
        make: |place| {
            with_bad(place, |archive, manifest| {
                archive.set_file(&blob(manifest), "")
            })
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "bad:1", "not a manifest: EOF")],
        code: 0,
    },
    Row {
        name: "an entry by sha512",
        make: |place| {
            vec![layout(place, &[], |_, entries| {
                let digest = format!("sha512:{}", "0".repeat(128));
                entries.push(json!({"mediaType": IMAGE, "digest": digest, "size": 2}));
            })]
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "", "`sha512` is not supported")],
        code: 0,
    },
    Row {
        name: "a child by sha512",
        make: |place| {
            with_child(place, |child| {
                child["digest"] = format!("sha512:{}", "0".repeat(128)).into();
            })
        },
        references: &[("good:1", Image("good")), ("multi:1", Entry(1))],
        notes: &[("fault", "multi:1", "is served without the manifest sha512:")],
        code: 0,
    },
    Row {
        name: "a folder with a root file system, a cut archive and nested layouts",
        make: |place| {
            Archive::oci(&[image("1", "a")]).folder(&place.path("walk/a"));
            Archive::oci(&[image("2", "b")]).folder(&place.path("walk/a/b"));
            let rootfs = Archive::default().symlink("etc/mtab", "/proc/self/mounts");
            fs::write(place.path("walk/rootfs.tar"), rootfs.tar()).unwrap();
            let whole = Archive::docker_20(&[image("cut:1", "x")]).tar();
            fs::write(place.path("walk/cut.tar"), &whole[..whole.len() / 2]).unwrap();
            vec![place.path("walk").to_str().unwrap().to_owned()]
        },
        references: &[("a:1", Image("a")), ("a/b:2", Image("b"))],
        notes: &[("leftover", "", "/rootfs.tar"), ("fault", "", "/cut.tar")],
        code: 0,
    },
    Row {
        name: "a layer that is empty",
        make: |place| {
            with_bad(place, |archive, manifest| {
                let layer = layer_of(&archive, manifest);
                archive.set_file(&layer, "")
            })
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "bad:1", "is empty")],
        code: 0,
    },
    Row {
        name: "a registry whose garbage collection took a layer of a child and that of an image",
        make: |place| {
            let images = [image("good:1", "good"), multi(), image("bad:1", "bad")];
            let mut archive = Archive::oci(&images);
            for lost in [&images[1].children[1], &images[2]] {
                let layer = layer_of(&archive, &lost.manifest_digest());
                archive = archive.drop(&layer);
            }
            archive.folder(&place.path("layout"));
            registry_v2_of(&place.path("storage"), &archive, &images);
            vec![place.path("storage").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Image("good")), ("multi:1", Entry(1))],
        notes: &[
            ("fault", "bad:1", "is missing in"),
            ("fault", "multi:1", "(linux/arm64): the blob sha256:"),
        ],
        code: 0,
    },
    Row {
        name: "a registry with a build cache, a tag whose manifest is gone, and an illegal tag",
        make: |place| {
            let good = image("good:1", "good");
            let mut archive = Archive::oci(std::slice::from_ref(&good));
            let cache = build_cache(&mut archive);
            let cache = cache["digest"].as_str().unwrap().to_owned();
            let gone = format!("sha256:{}", "0".repeat(64));
            let tags = [
                ("good", "1", good.manifest_digest()),
                ("good", "+", good.manifest_digest()),
                ("team/app", "cache", cache),
                ("team/app", "gone", gone),
            ];
            registry_v2(&place.path("storage"), &archive, &tags);
            vec![place.path("storage").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Image("good"))],
        notes: &[
            ("fault", "team/app:cache", "it is a build cache of BuildKit"),
            ("fault", "team/app:gone", "its manifest is gone"),
            ("fault", "good:+", "is not a tag"),
        ],
        code: 0,
    },
    Row {
        name: "an old registry with a broken image and a tag on a missing one",
        make: |place| {
            let images = [
                image("o/good:1", "good"),
                image("o/bad:1", "bad"),
                image("o/gone:1", "gone"),
            ];
            let bad = format!("{}/json", Archive::v1_id(&images[1], 0));
            let archive = Archive::docker_1(&images).set_file(&bad, "{");
            let storage = place.path("storage");
            registry_v1(&storage, &archive, &images);
            let gone = storage.join("images").join(Archive::v1_id(&images[2], 0));
            fs::remove_dir_all(gone).unwrap();
            vec![storage.to_str().unwrap().to_owned()]
        },
        references: &[("o/good:1", Legacy("good"))],
        notes: &[
            ("fault", "o/bad:1", "cannot read"),
            ("fault", "o/gone:1", "is missing"),
        ],
        code: 0,
    },
    Row {
        name: "an old archive with a broken image and an illegal name",
        make: |place| {
            let images = [image("good:1", "good"), image("bad:1", "bad")];
            let bad = format!("{}/json", Archive::v1_id(&images[1], 0));
            let archive = Archive::docker_1(&images)
                .set_file(&bad, "{")
                .edit_json("repositories", |names| names["Ill"] = names["good"].clone());
            fs::write(place.path("old.tar"), archive.tar()).unwrap();
            vec![place.path("old.tar").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Legacy("good"))],
        notes: &[
            ("fault", "bad:1", "cannot read"),
            ("fault", "Ill:1", "is not a repository name"),
        ],
        code: 0,
    },
    Row {
        name: "an archive with an image of two names whose config is broken",
        make: |place| {
            let mut bad = image("bad:1", "bad");
            bad.names.push("bad:2".to_owned());
            let archive = Archive::docker_20(&[image("good:1", "good"), bad.clone()]);
            let config = format!("{}.json", &digest(&bad.config_json())[7..]);
            fs::write(place.path("two.tar"), archive.set_file(&config, "{").tar()).unwrap();
            vec![place.path("two.tar").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Made("good"))],
        notes: &[
            ("fault", "bad:1", "cannot read"),
            ("fault", "bad:2", "cannot read"),
        ],
        code: 0,
    },
];

/// Adds a build cache of `BuildKit`, and returns the descriptor of its index.
fn build_cache(archive: &mut Archive) -> Value {
    let layer = archive.blob("application/vnd.oci.image.layer.v1.tar+gzip", b"layer");
    let config = archive.blob("application/vnd.buildkit.cacheconfig.v0", b"{}");
    let cache = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [layer, config]});
    archive.blob(OCI_INDEX, cache.to_string().as_bytes())
}

/// A layout with `good:1` and `bad:1`, after a change that gets the digest of the manifest of `bad:1`.
fn with_bad(place: &Place, change: impl FnOnce(Archive, &str) -> Archive) -> Vec<String> {
    vec![layout(
        place,
        &[image("bad:1", "bad")],
        |archive, entries| {
            let manifest = entries[1]["digest"].as_str().unwrap();
            *archive = change(std::mem::take(archive), manifest);
        },
    )]
}
