//! Sources changed by chance, in each format. One that is accepted makes a site that is right by `verify --deep`
//! and by a check of its own, and that can be merged into another; one that is refused changes nothing.
//! `STILLAGE_LONG=1` tries 10,000. `STILLAGE_MUTATION=N` tries one of them and leaves its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Value, json};
use stillage::error::is_bad;
use stillage::ops::build::{BuildOptions, Summary, build};
use stillage::ops::verify::{Depth, verify};
use stillage::source::Source;

use crate::support::archive::{Archive, Image, Pack};
use crate::support::chance::Chance;
use crate::support::files::digest;
use crate::support::storage::{registry_v1, registry_v2_of};
use crate::support::temp::TempDir;

/// Sources that are tried.
fn count() -> u64 {
    if std::env::var_os("STILLAGE_LONG").is_some() {
        10_000
    } else {
        400
    }
}

#[test]
fn what_is_accepted_is_right_and_what_is_refused_changes_nothing() {
    if let Ok(number) = std::env::var("STILLAGE_MUTATION") {
        let place = TempDir::in_memory("mutation");
        let tried = try_one(number.parse().unwrap(), place.path());
        println!("{}: {tried:?}", place.path().display());
        std::mem::forget(place);
        return;
    }
    let results: Vec<Result<bool, String>> = (0..count())
        .into_par_iter()
        .map(|number| {
            let place = TempDir::in_memory("mutations");
            let tried = try_one(number, place.path());
            tried.map_err(|why| format!("source {number}: {why}"))
        })
        .collect();
    let wrong: Vec<&String> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .collect();
    assert!(wrong.is_empty(), "{} are wrong:\n{wrong:#?}", wrong.len());
    let accepted = results.iter().filter(|result| **result == Ok(true)).count();
    let part = accepted * 100 / results.len();
    assert!((20..=90).contains(&part), "{part} % are accepted");
}

/// Whether a source is accepted; an error says what is wrong with the outcome.
fn try_one(number: u64, place: &Path) -> Result<bool, String> {
    let mut chance = Chance(0x5eed_0000_0000_0001 + number * 0x9e37_79b9);
    let source = source(&mut chance, &place.join("source"));
    let (site, other) = (place.join("site"), place.join("other"));
    let stays = place.join("stays");
    Archive::oci(&[Image::new(&["stays:1"]).layer("etc/text", "stays")]).folder(&stays);
    run(&stays, &site).map_err(|error| format!("{error:#}"))?;
    let before = tree(&site);
    match run(&source, &site) {
        Err(error) if !is_bad(&error) => Err(format!("it is no fault of the input: {error:#}")),
        Err(error) if tree(&site) != before => Err(format!("refused, yet changed: {error:#}")),
        Err(_) => Ok(false),
        Ok(_) => {
            check(&site)?;
            let merged = run(&site, &other).map_err(|error| format!("no merge: {error:#}"))?;
            if let Some(fault) = merged
                .notes
                .iter()
                .find(|note| format!("{:?}", note.kind) == "Fault")
            {
                return Err(format!("merged with a fault: {fault:?}"));
            }
            check(&other)?;
            Ok(true)
        }
    }
}

fn run(source: &Path, site: &Path) -> anyhow::Result<Summary> {
    let source = Source::parse(source.to_str().unwrap())?;
    build(
        &BuildOptions::new(vec![source], site.to_owned()),
        &Arc::default(),
        || Ok(()),
    )
}

/// Every file except for the private ones, by path, with its digest.
fn tree(site: &Path) -> BTreeMap<String, String> {
    let files = walkdir::WalkDir::new(site).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    let name = |path: &Path| {
        path.strip_prefix(site)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files
        .map(|entry| (name(entry.path()), digest(&fs::read(entry.path()).unwrap())))
        .filter(|(name, _)| !name.starts_with(".stillage"))
        .collect()
}

/// Checks a site by `verify --deep`, and every descriptor by itself.
fn check(site: &Path) -> Result<(), String> {
    let verified =
        verify(site, Depth::Deep, &Arc::default()).map_err(|error| format!("{error:#}"))?;
    if !verified.findings.is_empty() {
        return Err(format!("verify finds {:#?}", verified.findings));
    }
    let index = fs::read(site.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    for entry in index["manifests"].as_array().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap();
        let (repository, reference) = name.split_once(['@', ':']).unwrap();
        let folder = site.join("v2").join(repository);
        let served = fs::read(folder.join("manifests").join(reference))
            .map_err(|e| format!("{name}: {e}"))?;
        described(&served, entry).map_err(|why| format!("{name}: {why}"))?;
        check_manifest(&folder, &served).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// Checks whether a repository serves what a manifest points to. Children may be missing.
fn check_manifest(folder: &Path, bytes: &[u8]) -> Result<(), String> {
    let manifest: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
    let config = manifest.get("config").cloned();
    for descriptor in config
        .into_iter()
        .chain(list("layers"))
        .filter(|found| !found.is_null())
    {
        let digest = descriptor["digest"]
            .as_str()
            .ok_or("a descriptor without a digest")?;
        // Clients fetch foreign layers from elsewhere.
        let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
        if media_type.contains("foreign") || media_type.contains("nondistributable") {
            continue;
        }
        let blob = fs::read(folder.join("blobs").join(digest))
            .map_err(|error| format!("{digest}: {error}"))?;
        described(&blob, &descriptor)?;
    }
    for child in list("manifests") {
        let digest = child["digest"].as_str().ok_or("a child without a digest")?;
        if let Ok(bytes) = fs::read(folder.join("manifests").join(digest)) {
            described(&bytes, &child)?;
            check_manifest(folder, &bytes)?;
        }
    }
    Ok(())
}

fn described(bytes: &[u8], descriptor: &Value) -> Result<(), String> {
    if descriptor["digest"] != digest(bytes) || descriptor["size"] != bytes.len() {
        return Err(format!(
            "{descriptor} describes {} bytes, {}",
            bytes.len(),
            digest(bytes)
        ));
    }
    Ok(())
}

/// Writes a source, in a format by chance, to `path`.
fn source(chance: &mut Chance, path: &Path) -> std::path::PathBuf {
    let images: Vec<Image> = (0..=chance.below(3))
        .map(|number| image(chance, number))
        .collect();
    match chance.below(8) {
        0 => written(
            chance,
            Archive::docker_1(&plain(&images)),
            &path.with_extension("tar"),
        ),
        1 => written(
            chance,
            Archive::docker_20(&plain(&images)),
            &path.with_extension("tar"),
        ),
        2 => written(
            chance,
            Archive::docker_28(&images),
            &path.with_extension("tar"),
        ),
        3 => written(
            chance,
            Archive::docker_29(&images),
            &path.with_extension("tar"),
        ),
        4 => written(chance, Archive::dir(&images[0]), &path.join("app:1")),
        5 => {
            let layout = changed(chance, Archive::oci(&images));
            registry_v2_of(path, &layout, &images);
            path.to_owned()
        }
        6 => {
            let images = plain(&images);
            registry_v1(path, &changed(chance, Archive::docker_1(&images)), &images);
            path.to_owned()
        }
        _ => written(chance, Archive::oci(&images), path),
    }
}

/// The images that formats without indexes can hold.
fn plain(images: &[Image]) -> Vec<Image> {
    let images = images.iter().map(|image| match image.children.first() {
        Some(child) => {
            let mut child = child.clone();
            child.names.clone_from(&image.names);
            child
        }
        None => image.clone(),
    });
    images.collect()
}

/// Writes a changed archive: as a folder if the path has no ending.
fn written(chance: &mut Chance, archive: Archive, path: &Path) -> std::path::PathBuf {
    let archive = changed(chance, archive);
    if path.extension().is_some() {
        let mut bytes = archive.tar();
        if chance.below(20) == 0 {
            bytes.truncate(chance.below(bytes.len()));
        }
        fs::write(path, bytes).unwrap();
        return path.to_owned();
    }
    archive.folder(path);
    path.ancestors()
        .find(|path| path.ends_with("source"))
        .unwrap()
        .to_owned()
}

/// An image or an index whose config or manifest may be odd; digests still fit.
fn image(chance: &mut Chance, number: usize) -> Image {
    let name = format!("o/app{number}:1");
    let pack = *chance.of(&[Pack::Plain, Pack::Gzip, Pack::Zstd]);
    let one = |chance: &mut Chance, platform: &str| {
        let text = format!("text {}", chance.below(4));
        let image = Image::new(&[&name])
            .layer("etc/text", &text)
            .layer("usr/lib/a", platform);
        odd(chance, image.platform("linux", platform).packed(pack))
    };
    if chance.below(3) > 0 {
        return one(chance, "amd64");
    }
    let children = vec![one(chance, "amd64"), one(chance, "arm64")];
    odd(chance, Image::index(&[&name], children))
}

fn odd(chance: &mut Chance, image: Image) -> Image {
    let seed = chance.next() | 1;
    match chance.below(8) {
        0 => image.config(move |config| change(&mut Chance(seed), config)),
        1 => image.manifest(move |manifest| change(&mut Chance(seed), manifest)),
        _ => image,
    }
}

/// Changes members of an archive so that digests may no longer fit.
fn changed(chance: &mut Chance, mut archive: Archive) -> Archive {
    for _ in 0..chance.below(3) {
        let mut names = archive.names("");
        names.retain(|name| !name.ends_with('/'));
        let name = chance.of(&names).clone();
        let seed = chance.next() | 1;
        let as_json: Option<Value> = serde_json::from_slice(archive.bytes(&name)).ok();
        archive = match (chance.below(6), as_json) {
            (0, _) if names.len() > 3 => archive.drop(&name),
            (1, _) => archive.set_file(&name, ""),
            (2, _) if !archive.bytes(&name).is_empty() => archive.flip(&name),
            (3, _) => archive.edit(&name, |bytes| bytes.extend_from_slice(b" ")),
            (_, Some(_)) => archive.edit_json(&name, |value| change(&mut Chance(seed), value)),
            _ => archive,
        };
    }
    archive
}

/// Changes a value somewhere in JSON.
fn change(chance: &mut Chance, value: &mut Value) {
    let is_leaf = chance.below(4) == 0;
    match value {
        Value::Object(members) if !is_leaf && !members.is_empty() => {
            let keys: Vec<String> = members.keys().cloned().collect();
            let key = chance.of(&keys).clone();
            match chance.below(10) {
                0 => drop(members.remove(&key)),
                1 => drop(members.insert(key.to_uppercase(), members[&key].clone())),
                _ => change(chance, &mut members[&key]),
            }
        }
        Value::Array(items) if !is_leaf && !items.is_empty() => {
            let at = chance.below(items.len());
            match chance.below(10) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(chance, &mut items[at]),
            }
        }
        _ => {
            let empty = digest(b"");
            let others = [
                json!(null),
                json!(0),
                json!(-1),
                json!(1.5),
                json!(1u64 << 40),
                json!(""),
                json!("x"),
                json!({}),
                json!([]),
                json!(true),
                json!(empty),
                json!("sha512:00"),
                json!("application/vnd.oci.image.index.v1+json"),
                json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
                json!("2020-02-30T00:00:00Z"),
            ];
            *value = chance.of(&others).clone();
        }
    }
}
