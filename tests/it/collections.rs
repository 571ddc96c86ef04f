//! Collections survive their worst member, names are neither invented nor lost, and wrong is wrong.

use serde_json::{Value, json};

use crate::support::collections::{Row, Want, archives, bytes, folders, members, names};
use crate::support::files::digest;
use crate::support::place::{Place, image};
use crate::support::site::{stderr, stillage, verify};

#[test]
fn what_is_right_is_taken_and_what_is_wrong_is_named() {
    let rows = [
        archives::ROWS,
        folders::ROWS,
        members::ROWS,
        names::ROWS,
        bytes::ROWS,
    ]
    .concat();
    let wrong: Vec<String> = rows.iter().filter_map(problem).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn problem(row: &Row) -> Option<String> {
    let place = Place::new();
    let args = (row.make)(&place);
    let mut build = stillage(["build", "--json", "-o", place.site().to_str().unwrap()]);
    let output = build.args(&args).output().unwrap();
    let messages = stderr(&output);
    let problem = |what: String| Some(format!("{}: {what}\n  {messages}", row.name));
    if output.status.code() != Some(row.code) {
        return problem(format!("{:?}", output.status));
    }
    if row.code != 0 {
        let missing = row.notes.iter().find(|(.., part)| !messages.contains(part));
        return missing.and_then(|(.., part)| problem(format!("`{part}` is not said")));
    }
    verify(&place.site());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let references = report["references"].as_array().unwrap().iter();
    let references: Vec<String> = references
        .map(|found| format!("{}:{}", text(&found["repository"]), text(&found["tag"])))
        .collect();
    let expected = row.references.iter();
    if !references.iter().eq(expected.map(|(name, _)| name)) {
        return problem(format!("{references:?}"));
    }
    for (found, (name, want)) in report["references"]
        .as_array()
        .unwrap()
        .iter()
        .zip(row.references)
    {
        if !is_wanted(&place, found["digest"].as_str().unwrap(), want) {
            return problem(format!("{name} is {}, not {want:?}", found["digest"]));
        }
    }
    let notes = report["notes"].as_array().unwrap();
    let fits = |(kind, reference, part): &(&str, &str, &str), note: &Value| {
        note["kind"] == *kind
            && text(&note["reference"]).starts_with(reference)
            && text(&note["message"]).contains(part)
    };
    let missing = row
        .notes
        .iter()
        .find(|expected| !notes.iter().any(|note| fits(expected, note)));
    if let Some(expected) = missing {
        return problem(format!("no note {expected:?} in {notes:#?}"));
    }
    let faults = |kind: &str| kind == "fault" || kind == "leftover";
    let expected = row.notes.iter().filter(|(kind, ..)| faults(kind)).count();
    let found = notes
        .iter()
        .filter(|note| faults(note["kind"].as_str().unwrap()))
        .count();
    (found != expected)
        .then(|| problem(format!("{notes:#?}")))
        .flatten()
}

/// Whether a reference has the manifest that it must have.
fn is_wanted(place: &Place, found: &str, want: &Want) -> bool {
    match want {
        Want::Entry(number) | Want::Artifact(number) => {
            Row::entry(place, *number)["digest"] == found
        }
        Want::Kept(image, _) => image().manifest_digest() == found,
        Want::Image(text) => image("", text).manifest_digest() == found,
        Want::Made(text) | Want::Legacy(text) => {
            let manifest = place.read(&format!("blobs/{}", found.replace(':', "/")));
            let made: Value = serde_json::from_slice(&manifest).unwrap();
            let config = made["config"]["digest"].as_str().unwrap();
            if matches!(want, Want::Made(_)) {
                return config == digest(&image("", text).config_json());
            }
            let config = place.read(&format!("blobs/{}", config.replace(':', "/")));
            let config: Value = serde_json::from_slice(&config).unwrap();
            config["rootfs"]["diff_ids"] == json!([digest(&image("", text).layers[0])])
        }
    }
}
