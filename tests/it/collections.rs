//! Collections survive their worst member, names are neither invented nor lost, and wrong is wrong: each row is
//! an input modelled on a public report, with what a build takes of it and says about the rest.

use std::fs;

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image, OCI_INDEX};
use crate::support::place::{Place, image};
use crate::support::site::{stderr, stillage, verify};

/// What a build says.
struct Row {
    name: &'static str,
    /// Makes the input, and gives the arguments.
    make: fn(&Place) -> Vec<String>,
    /// `repository:tag` of what is built.
    references: &'static [&'static str],
    /// Kind, reference if any, and part of the message of each note; of an error only the message.
    notes: &'static [(&'static str, &'static str, &'static str)],
    code: i32,
}

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The layout of a good image and what `edit` makes of its index and the blobs.
fn layout(
    place: &Place,
    more: &[Image],
    edit: impl FnOnce(&mut Archive, &mut Vec<Value>),
) -> String {
    let images = [&[image("good:1", "good")], more].concat();
    let mut archive = Archive::oci(&images);
    let mut index: Value = serde_json::from_slice(archive.bytes("index.json")).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    edit(&mut archive, entries);
    let archive = archive.set_file("index.json", index.to_string());
    archive.folder(&place.path("layout"));
    place.path("layout").to_str().unwrap().to_owned()
}

fn entry(mut descriptor: Value, media_type: &str, name: &str) -> Value {
    descriptor["mediaType"] = media_type.into();
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

/// The path of a blob in a layout.
fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn multi() -> Image {
    let (one, other) = (image("", "amd64"), image("", "arm64"));
    let children = vec![
        one.platform("linux", "amd64"),
        other.platform("linux", "arm64"),
    ];
    Image::index(&["multi:1"], children)
}

/// The layout with an index, one of whose children is changed.
fn with_child(place: &Place, edit: fn(&mut Value)) -> Vec<String> {
    let path = layout(place, &[multi()], |archive, entries| {
        let index = entries.last_mut().unwrap();
        let old = blob(index["digest"].as_str().unwrap());
        let mut manifest: Value = serde_json::from_slice(archive.bytes(&old)).unwrap();
        edit(&mut manifest["manifests"][1]);
        let new = archive.blob(OCI_INDEX, manifest.to_string().as_bytes());
        *index = entry(new, OCI_INDEX, "multi:1");
    });
    vec![path]
}

const ROWS: &[Row] = &[
    Row {
        name: "a blob of another type in index.json",
        make: |place| {
            vec![layout(place, &[], |archive, entries| {
                entries.push(archive.blob("application/xml", b"<x/>"));
            })]
        },
        references: &["good:1"],
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
                let layer = archive.blob("application/vnd.oci.image.layer.v1.tar+gzip", b"layer");
                let config = archive.blob("application/vnd.buildkit.cacheconfig.v0", b"{}");
                let cache = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [layer, config]});
                let cache = archive.blob(OCI_INDEX, cache.to_string().as_bytes());
                entries.push(entry(cache, OCI_INDEX, "app:cache"));
            })]
        },
        references: &["good:1"],
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
        references: &["good:1", "policy:1"],
        notes: &[(
            "client",
            "policy:1",
            "has no v1 form: its config has no `rootfs`",
        )],
        code: 0,
    },
    Row {
        name: "a config that no later build could read",
        make: |place| {
            let odd = image("odd:1", "x").config(|config| config["architecture"] = json!(1.5));
            vec![layout(place, &[odd], |_, _| ()), "--no-v1".into()]
        },
        references: &["good:1"],
        notes: &[("fault", "odd:1", "`architecture` is not a string")],
        code: 0,
    },
    Row {
        name: "a layer that is missing",
        make: |place| {
            vec![layout(
                place,
                &[image("bad:1", "bad")],
                |archive, entries| {
                    let manifest = archive.bytes(&blob(entries[1]["digest"].as_str().unwrap()));
                    let manifest: Value = serde_json::from_slice(manifest).unwrap();
                    let layer = blob(manifest["layers"][0]["digest"].as_str().unwrap());
                    *archive = std::mem::take(archive).drop(&layer);
                },
            )]
        },
        references: &["good:1"],
        notes: &[("fault", "bad:1", "is missing in")],
        code: 0,
    },
    Row {
        name: "a manifest that is empty",
        make: |place| {
            vec![layout(
                place,
                &[image("bad:1", "bad")],
                |archive, entries| {
                    let path = blob(entries[1]["digest"].as_str().unwrap());
                    *archive = std::mem::take(archive).set_file(&path, "");
                },
            )]
        },
        references: &["good:1"],
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
        references: &["good:1"],
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
        references: &["good:1", "multi:1"],
        notes: &[("fault", "multi:1", "is served without the manifest sha512:")],
        code: 0,
    },
    Row {
        name: "a child whose type contradicts its descriptor",
        make: |place| {
            with_child(place, |child| {
                child["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
            })
        },
        references: &["good:1", "multi:1"],
        notes: &[("fault", "multi:1", "(linux/arm64): `")],
        code: 0,
    },
    Row {
        name: "a manifest with layers and Layers",
        make: |place| {
            let odd = image("odd:1", "x").manifest(|manifest| manifest["Layers"] = json!([]));
            vec![layout(place, &[odd], |_, _| ())]
        },
        references: &["good:1"],
        notes: &[(
            "fault",
            "odd:1",
            "its keys `Layers` and `layers` differ only by case",
        )],
        code: 0,
    },
    Row {
        name: "a wrong size of a layer that has been seen with the right one",
        make: |place| {
            let wrong = image("wrong:1", "good")
                .manifest(|manifest| manifest["layers"][0]["size"] = 7.into());
            vec![layout(place, &[wrong], |_, _| ())]
        },
        references: &[],
        notes: &[("", "", " bytes, not 7")],
        code: 1,
    },
    Row {
        name: "an old image without a name beside a named one",
        make: |place| {
            let path = layout(place, &[image("old:1", "old")], |_, entries| {
                let old = entries[1].as_object_mut().unwrap();
                old.remove("annotations");
            });
            vec![format!("{path}=org/app")]
        },
        references: &["org/app:1"],
        notes: &[("leftover", "", "it has no name, and other entries have")],
        code: 0,
    },
    Row {
        name: "an illegal tag beside a legal one",
        make: |place| {
            vec![layout(place, &[image("bad:1", "bad")], |_, entries| {
                entries[1] = entry(entries[1].clone(), IMAGE, "1.0+git");
            })]
        },
        references: &["good:1"],
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
        references: &["app:1"],
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
        references: &["app:1"],
        notes: &[],
        code: 0,
    },
    Row {
        name: "an archive whose image is called <none>:<none>",
        make: |place| vec![place.tar("none.tar", &[image("<none>:<none>", "x")]) + "=app:1"],
        references: &["app:1"],
        notes: &[],
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
        references: &["a:1", "a/b:2"],
        notes: &[("fault", "", "/rootfs.tar"), ("fault", "", "/cut.tar")],
        code: 0,
    },
    Row {
        name: "a time that does not exist",
        make: |place| {
            let old = image("old:1", "x");
            let json = format!("{}/json", Archive::v1_id(&old, 0));
            let archive = Archive::docker_1(&[old]).edit_json(&json, |json| {
                json["created"] = "2013-99-99T00:00:00Z".into();
            });
            fs::write(place.path("old.tar"), archive.tar()).unwrap();
            vec![place.path("old.tar").to_str().unwrap().to_owned()]
        },
        references: &[],
        notes: &[("", "", "is not an RFC 3339 time")],
        code: 1,
    },
];

#[test]
fn what_is_right_is_taken_and_what_is_wrong_is_named() {
    let wrong: Vec<String> = ROWS.iter().filter_map(Row::problem).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Row {
    fn problem(&self) -> Option<String> {
        let place = Place::new();
        let args = (self.make)(&place);
        let mut build = stillage(["build", "--json", "-o", place.site().to_str().unwrap()]);
        let output = build.args(&args).output().unwrap();
        let messages = stderr(&output);
        let problem = |what: String| Some(format!("{}: {what}\n  {messages}", self.name));
        if output.status.code() != Some(self.code) {
            return problem(format!("{:?}", output.status));
        }
        if self.code != 0 {
            let missing = self
                .notes
                .iter()
                .find(|(.., part)| !messages.contains(part));
            return missing.and_then(|(.., part)| problem(format!("`{part}` is not said")));
        }
        verify(&place.site());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let references = report["references"].as_array().unwrap().iter();
        let references: Vec<String> = references
            .map(|found| format!("{}:{}", text(&found["repository"]), text(&found["tag"])))
            .collect();
        if references != self.references {
            return problem(format!("{references:?}"));
        }
        let notes = report["notes"].as_array().unwrap();
        let fits = |(kind, reference, part): &(&str, &str, &str), note: &Value| {
            note["kind"] == *kind
                && text(&note["reference"]).starts_with(reference)
                && text(&note["message"]).contains(part)
        };
        let missing = self
            .notes
            .iter()
            .find(|row| !notes.iter().any(|note| fits(row, note)));
        if let Some(row) = missing {
            return problem(format!("no note {row:?} in {notes:#?}"));
        }
        let faults = |kind: &str| kind == "fault" || kind == "leftover";
        let expected = self.notes.iter().filter(|(kind, ..)| faults(kind)).count();
        let found = notes
            .iter()
            .filter(|note| faults(note["kind"].as_str().unwrap()))
            .count();
        (found != expected)
            .then(|| problem(format!("{notes:#?}")))
            .flatten()
    }
}
