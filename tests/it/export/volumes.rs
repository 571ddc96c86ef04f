//! Volumes: in any order, each verified by itself, a lost one named.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Place, large, members};
use crate::support::chance::Chance;
use crate::support::place::{feed, image};
use crate::support::site::{SMALL, stderr, stillage, succeed};

/// A site whose largest layer does not fit into a volume.
fn place() -> (Place, Vec<String>) {
    let place = Place::new();
    place.publish(&SMALL);
    place.publish_images(&[
        image("app:1", "one"),
        large("large:1", 900_000, 7),
        large("large:2", 200_000, 8),
    ]);
    let volumes = volumes(&place, "250K", &[]);
    (place, volumes)
}

/// Exports in volumes of this size; gives their paths.
fn volumes(place: &Place, size: &str, options: &[&str]) -> Vec<String> {
    fs::create_dir_all(place.path("volumes")).unwrap();
    place.export("volumes/v.tar", &[&["--max-size", size], options].concat());
    let paths = fs::read_dir(place.path("volumes")).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let mut paths: Vec<String> = paths.collect();
    paths.sort();
    paths
}

fn shuffled(paths: &[String], seed: u64) -> Vec<&str> {
    let mut chance = Chance(seed);
    let mut left: Vec<&str> = paths.iter().map(String::as_str).collect();
    (0..paths.len())
        .map(|_| left.swap_remove(chance.below(left.len())))
        .collect()
}

/// What `verify` finds: the paths and the messages.
fn findings(paths: &[&str]) -> Vec<(String, String)> {
    let output = stillage(["verify", "--json"]).args(paths).output().unwrap();
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let code = i32::from(!found.is_empty());
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = found.iter();
    found
        .map(|finding| (text(&finding["path"]), text(&finding["message"])))
        .collect()
}

#[test]
fn volumes_come_in_any_order() {
    let (place, paths) = place();
    assert!(paths.len() > 3, "{paths:?}");
    let largest = 250 << 10;
    for path in &paths {
        assert!(fs::metadata(path).unwrap().len() <= largest, "{path}");
    }
    let parts = |path: &String| {
        members(Path::new(path))
            .iter()
            .filter(|(name, _)| name.contains(".part"))
            .count()
    };
    assert!(paths.iter().map(parts).sum::<usize>() > 2);
    // Made again, they are the same.
    let before: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(volumes(&place, "250K", &[]), paths);
    assert_eq!(
        paths
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect::<Vec<_>>(),
        before
    );
    for seed in 1..6 {
        let _ = fs::remove_dir_all(place.path("there"));
        let order = shuffled(&paths, seed);
        assert_eq!(findings(&order), []);
        // One may be given twice.
        place.merged(&[&order[..], &order[..1], &["--mirror"]].concat());
        place.assert_same_sites();
    }
    fs::remove_dir_all(place.path("there")).unwrap();
    place.merged(&[&place.text("volumes")]);
    place.assert_same_sites();
    // One of them says what the site there has then.
    let since = place.export("nothing.tar", &["--since", &paths[1]]);
    let names = members(Path::new(&since));
    assert!(
        !names.iter().any(|(name, _)| name.starts_with("blobs/")),
        "{names:?}"
    );
}

#[test]
fn a_lost_volume_is_named_with_what_it_held() {
    let (place, paths) = place();
    let of = paths.len();
    for lost in 0..of {
        let rest: Vec<&str> = shuffled(&paths, 9);
        let rest: Vec<&str> = rest
            .into_iter()
            .filter(|path| *path != paths[lost])
            .collect();
        let missing = format!("volume {} of {of} is missing", lost + 1);
        let held = members(Path::new(&paths[lost]));
        let is_content =
            |(name, _): &&(String, u64)| name.starts_with("blobs/") || name.starts_with("v1/");
        let bytes: u64 = held.iter().filter(is_content).map(|(_, size)| size).sum();
        let holding = format!("({bytes} bytes) of `");
        place.refused(&rest, &[&missing, &holding, "hint: give all volumes"]);
        let found = findings(&rest);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].1.contains(&missing) && found[0].1.contains(&holding),
            "{found:?}"
        );
        // By itself it is whole, and says that it is one of several.
        assert_eq!(findings(&[&paths[lost]]), []);
        let output = stillage(["verify", &paths[lost]]).output().unwrap();
        assert_eq!(stderr(&output).matches(" is missing, ").count(), of - 1);
    }
    let one = fs::read(&paths[0]).unwrap();
    let there = place.text("there");
    let output = feed(&mut stillage(["put", &there]), &one);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("is missing"),
        "{}",
        stderr(&output)
    );
}

/// A bit that is flipped anywhere but in padding is found by `verify`, in its volume, and by `build`.
#[test]
fn a_flipped_bit_is_found_and_named() {
    let (place, paths) = place();
    let mut chance = Chance(11);
    for path in &paths {
        let whole = fs::read(path).unwrap();
        let used = used(&whole);
        for _ in 0..12 {
            let at = *chance.of(&used);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << chance.below(8);
            fs::write(path, bytes).unwrap();
            let all: Vec<&str> = paths.iter().map(String::as_str).collect();
            let found = findings(&all);
            assert!(!found.is_empty(), "{path} at {at}");
            let blamed = found.iter().any(|(blamed, _)| blamed == path);
            // A volume that can no longer say which one it is counts as missing too.
            assert!(blamed, "{path} at {at}: {found:?}");
            place.refused(&all, &["error: "]);
        }
        fs::write(path, whole).unwrap();
    }
    place.merged(&[&place.text("volumes")]);
    place.assert_same_sites();
}

/// The places of the bytes of members.
fn used(tar: &[u8]) -> Vec<usize> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    let ranges = entries.flat_map(|entry| {
        let entry = entry.unwrap();
        let start = usize::try_from(entry.raw_file_position()).unwrap();
        start..start + usize::try_from(entry.size()).unwrap()
    });
    ranges.collect()
}

/// Volumes of two exports are kept apart; those of one export with a base need it.
#[test]
fn volumes_of_two_exports_are_told_apart() {
    let (place, paths) = place();
    place.publish_images(&[large("large:3", 600_000, 12)]);
    fs::create_dir(place.path("second")).unwrap();
    for path in &paths {
        let name = Path::new(path).file_name().unwrap();
        fs::rename(path, place.path("second").join(name)).unwrap();
    }
    let delta = volumes(&place, "250K", &["--since", &place.text("second/v.1.tar")]);
    let first = place.text("second");
    let delta: Vec<&str> = delta.iter().map(String::as_str).collect();
    place.refused(&delta, &["does not carry", "--since"]);
    place.refused(&[delta[0], &first], &["is not all of an export"]);
    place.merged(&[&first]);
    place.merged(&delta);
    place.assert_same_sites();
    let small = stillage([
        "export",
        &place.text("here"),
        "-o",
        &place.text("x.tar"),
        "--max-size",
        "5K",
    ]);
    let mut small = small;
    let output = small.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("carries the list of all"),
        "{}",
        stderr(&output)
    );
    assert!(!place.path("x.1.tar").exists());
}

#[test]
fn volumes_that_are_left_of_another_export_are_named() {
    let (place, paths) = place();
    let (here, out) = (place.text("here"), place.text("volumes/v.tar"));
    let again = succeed(&mut stillage([
        "export",
        &here,
        "-o",
        &out,
        "--max-size",
        "1G",
    ]));
    let said = stderr(&again);
    assert!(paths.len() > 2);
    for path in &paths[1..] {
        let note = format!("`{path}` is not a volume of this export");
        assert!(said.contains(&note), "{said}");
    }
}
