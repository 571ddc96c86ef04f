//! Names are neither invented nor lost.

use std::fs;

use serde_json::json;

use super::Want::{Image, Legacy, Made};
use super::{IMAGE, Row, entry, layout};
use crate::support::archive::Archive;
use crate::support::place::{Place, image};

/// An archive as `ctr images export` writes it of an image by its digest.
fn by_digest(place: &Place) -> String {
    let image = image("good:1", "good");
    let name = format!("app@{}", image.manifest_digest());
    let archive = Archive::docker_29(&[image])
        .edit_json("manifest.json", |entries| {
            entries[0]["RepoTags"] = json!([name]);
        })
        .edit_json("index.json", |index| {
            index["manifests"][0]["annotations"] = json!({
                "io.containerd.image.name": format!("docker.io/library/{name}"),
                "org.opencontainers.image.ref.name": name,
            });
        });
    fs::write(place.path("ctr.tar"), archive.tar()).unwrap();
    place.path("ctr.tar").to_str().unwrap().to_owned()
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "an old image without a name beside a named one",
        make: |place| {
            let path = layout(place, &[image("old:1", "old")], |_, entries| {
                let old = entries[1].as_object_mut().unwrap();
                old.remove("annotations");
            });
            vec![format!("{path}=org/app")]
        },
        references: &[("org/app:1", Image("good"))],
        notes: &[("leftover", "", "it has no name, and other images in")],
        code: 0,
    },
    Row {
        name: "an illegal tag beside a legal one",
        make: |place| {
            vec![layout(place, &[image("bad:1", "bad")], |_, entries| {
                entries[1] = entry(entries[1].clone(), IMAGE, "1.0+git");
            })]
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "1.0+git", "is not a tag")],
        code: 0,
    },
    Row {
        name: "an illegal tag that is renamed",
        make: |place| {
            let path = layout(place, &[], |_, entries| {
                entries[0] = entry(entries[0].clone(), IMAGE, "1.0+git");
            });
            vec![format!("{path}=app:1")]
        },
        references: &[("app:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "a name by another digest, without a tag",
        make: |place| {
            vec![layout(place, &[], |_, entries| {
                let name = format!("app@sha256:{}", "0".repeat(64));
                entries[0] = entry(entries[0].clone(), IMAGE, &name);
            })]
        },
        references: &[],
        notes: &[("choice", "app@sha256:", "has no tag: its digest is sha256:")],
        code: 0,
    },
    Row {
        name: "a name by another digest, renamed",
        make: |place| {
            let path = layout(place, &[], |_, entries| {
                let name = format!("app@sha256:{}", "0".repeat(64));
                entries[0] = entry(entries[0].clone(), IMAGE, &name);
            });
            vec![format!("{path}=app:1")]
        },
        references: &[("app:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "an archive whose image is called <none>:<none>",
        make: |place| vec![place.tar("none.tar", &[image("<none>:<none>", "x")]) + "=app:1"],
        references: &[("app:1", Made("x"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "an archive of ctr by digest",
        make: |place| vec![by_digest(place)],
        references: &[],
        notes: &[("choice", "app", "has no tag")],
        code: 0,
    },
    Row {
        name: "an archive of ctr by digest, named",
        make: |place| vec![by_digest(place) + "=app:1"],
        references: &[("app:1", Image("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "an archive with an image without a name",
        make: |place| {
            let mut nameless = image("", "other");
            nameless.names.clear();
            vec![place.tar("two.tar", &[image("good:1", "good"), nameless])]
        },
        references: &[("good:1", Made("good"))],
        notes: &[("leftover", "", "it has no name, and other images in")],
        code: 0,
    },
    Row {
        name: "an old archive with an image without a name",
        make: |place| {
            let images = [image("good:1", "good"), image("other:1", "other")];
            let archive = Archive::docker_1(&images).edit_json("repositories", |names| {
                names.as_object_mut().unwrap().remove("other");
            });
            fs::write(place.path("old.tar"), archive.tar()).unwrap();
            vec![place.path("old.tar").to_str().unwrap().to_owned()]
        },
        references: &[("good:1", Legacy("good"))],
        notes: &[("leftover", "", "it has no name, and other images in")],
        code: 0,
    },
    Row {
        name: "an old archive with an illegal name that is renamed",
        make: |place| {
            let archive = Archive::docker_1(&[image("Ill:1", "good")]);
            fs::write(place.path("old.tar"), archive.tar()).unwrap();
            vec![place.path("old.tar").to_str().unwrap().to_owned() + "=app:1"]
        },
        references: &[("app:1", Legacy("good"))],
        notes: &[],
        code: 0,
    },
    Row {
        name: "paths that can be read as names with and without tags",
        make: |place| {
            Archive::oci(&[image("2", "a")]).folder(&place.path("walk/a:1"));
            Archive::dir(&image("", "b")).folder(&place.path("walk/b/1.0"));
            Archive::dir(&image("", "c")).folder(&place.path("walk/c:1.0"));
            vec![place.path("walk").to_str().unwrap().to_owned()]
        },
        references: &[
            ("a:2", Image("a")),
            ("b/1.0:latest", Image("b")),
            ("c:1.0", Image("c")),
        ],
        notes: &[
            ("choice", "a:2", "`a:1` is read as `a:2`"),
            (
                "choice",
                "b/1.0:latest",
                "`b/1.0` is read as `b/1.0:latest`",
            ),
        ],
        code: 0,
    },
    Row {
        name: "one name on two hosts",
        make: |place| {
            vec![place.tar(
                "hosts.tar",
                &[
                    image("docker.io/a/x:1", "a"),
                    image("quay.io/a/x:1", "b"),
                    image("quay.io/a/y:1", "c"),
                    image("docker.io/a/y:1", "d"),
                ],
            )]
        },
        references: &[],
        notes: &[
            ("", "", "`a/x:1` is"),
            ("", "", "`a/y:1` is"),
            ("", "", "--keep-host"),
        ],
        code: 1,
    },
    Row {
        name: "one name on two hosts, one of which is requested",
        make: |place| {
            let images = [image("docker.io/a/x:1", "a"), image("quay.io/a/x:1", "b")];
            let path = place.tar("hosts.tar", &images);
            vec![format!("docker-archive:{path}:quay.io/a/x:1")]
        },
        references: &[("a/x:1", Made("b"))],
        notes: &[],
        code: 0,
    },
];
