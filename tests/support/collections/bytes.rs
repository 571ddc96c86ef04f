//! Wrong is wrong: sizes, types, keys and dates that contradict.

use std::fs;

use serde_json::json;

use super::Want::{Entry, Image};
use super::{Row, layout, with_child};
use crate::support::archive::Archive;
use crate::support::place::image;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "a config that no later build could read",
        make: |place| {
            let odd = image("odd:1", "x").config(|config| config["architecture"] = json!(1.5));
            vec![layout(place, &[odd], |_, _| ()), "--no-v1".into()]
        },
        references: &[("good:1", Image("good"))],
        notes: &[("fault", "odd:1", "`architecture`: invalid type")],
        code: 0,
    },
    Row {
        name: "a child whose type contradicts its descriptor",
        make: |place| {
            with_child(place, |child| {
                child["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
            })
        },
        references: &[("good:1", Image("good")), ("multi:1", Entry(1))],
        notes: &[("fault", "multi:1", "(linux/arm64): `")],
        code: 0,
    },
    Row {
        name: "a manifest with layers and Layers",
        make: |place| {
            let odd = image("odd:1", "x").manifest(|manifest| manifest["Layers"] = json!([]));
            vec![layout(place, &[odd], |_, _| ())]
        },
        references: &[("good:1", Image("good"))],
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
