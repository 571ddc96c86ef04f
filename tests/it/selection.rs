//! What a selection leaves out is not parsed, cannot fail, and is not read where the format allows that.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use stillage::import::selection::Selection;
use stillage::ops::build::{self, BuildOptions};
use stillage::progress::Progress;
use stillage::source::Source;

use crate::support::archive::{Archive, Image};
use crate::support::files::digest;
use crate::support::site::{name_of, stderr, stillage, succeed, tree, verify};
use crate::support::storage::{registry_v1, registry_v2_of};
use crate::support::temp::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new("selection"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_build(&self, args: &[&str]) -> Output {
        let site = self.path("site");
        let _ = fs::remove_dir_all(&site);
        let mut build = stillage(["build", "-o", site.to_str().unwrap()]);
        build.args(args).output().unwrap()
    }

    /// The references of a site of the arguments.
    fn references(&self, args: &[&str]) -> Vec<String> {
        let output = self.try_build(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        verify(&self.path("site"));
        let mut list = stillage(["list", "--json"]);
        let output = succeed(list.arg(self.path("site")));
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed.as_array().unwrap().iter().map(name_of).collect()
    }

    fn refused(&self, args: &[&str], code: i32, words: &str) {
        let output = self.try_build(args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(words),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

/// A good image and a bad one, each in a repository of its own.
fn images() -> [Image; 2] {
    ["o/good", "o/bad"].map(|name| Image::new(&[&format!("{name}:1")]).layer("etc/text", name))
}

/// A source in each format that may hold more than one image, of which one is damaged: a prefix, and where it lies.
fn sources(place: &Place) -> Vec<(&'static str, PathBuf)> {
    let [good, bad] = images();
    let both = [good.clone(), bad.clone()];
    let bad_manifest = bad.manifest_digest();
    let (_, bad_hex) = bad_manifest.split_once(':').unwrap();
    let bad_config = format!("{}.json", &digest(&bad.config_json())[7..]);

    let layout = place.path("layout");
    Archive::oci(&both)
        .set_file(&format!("blobs/sha256/{bad_hex}"), "{")
        .folder(&layout);
    let archive = place.path("oci.tar");
    let oci = Archive::oci(&both).set_file(&format!("blobs/sha256/{bad_hex}"), "{");
    fs::write(&archive, oci.tar()).unwrap();
    let docker = place.path("docker.tar");
    let saved = Archive::docker_20(&both).set_file(&bad_config, "{");
    fs::write(&docker, saved.tar()).unwrap();
    let legacy = place.path("legacy.tar");
    let v1_json = format!("{}/json", Archive::v1_id(&bad, 0));
    fs::write(
        &legacy,
        Archive::docker_1(&both).set_file(&v1_json, "{").tar(),
    )
    .unwrap();

    let site = place.path("source-site");
    let whole = place.path("whole.tar");
    fs::write(&whole, Archive::docker_20(&both).tar()).unwrap();
    let mut build = stillage(["build", "-o", site.to_str().unwrap()]);
    succeed(build.arg(&whole));
    let tag = fs::read(site.join("v2/o/bad/manifests/1")).unwrap();
    // Under all its names: a whole copy would do.
    for (path, (_, content)) in tree(&site) {
        if content == digest(&tag) {
            fs::write(site.join(path), "{").unwrap();
        }
    }

    let registry = place.path("registry");
    let damaged = Archive::oci(&both).set_file(&format!("blobs/sha256/{bad_hex}"), "{");
    registry_v2_of(&registry, &damaged, &both);
    let old = place.path("old");
    let json = format!("{}/json", Archive::v1_id(&both[1], 0));
    let damaged = Archive::docker_1(&both).set_file(&json, "{");
    registry_v1(&old, &damaged, &both);
    vec![
        ("oci", layout),
        ("oci-archive", archive),
        ("docker-archive", docker),
        ("docker-archive", legacy),
        ("site", site),
        ("registry-v2", registry),
        ("registry-v1", old),
    ]
}

#[test]
fn what_is_left_out_cannot_fail() {
    let place = Place::new();
    for (prefix, path) in sources(&place) {
        let source = format!("{prefix}:{}", path.display());
        let refused = place.try_build(&[&source, "--strict"]);
        let why = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{source}: {why}");
        let all = place.try_build(&[&source]);
        let left_out = stderr(&all).contains("o/bad:1` is left out: ");
        assert!(
            left_out || all.status.code() == Some(1),
            "{source}: {}",
            stderr(&all)
        );
        let one = format!("{source}:o/good:1");
        for args in [
            &[&*source, "--only", "o/good"][..],
            &[&source, "--only", "o/good:1"],
            &[&source, "--only", "**:1", "--exclude", "o/bad"],
            &[&source, "--exclude", "o/bad:*"],
            &[&one],
        ] {
            assert_eq!(place.references(args), ["o/good:1"], "{args:?}");
        }
        let none = format!("{source}:o/none:1");
        place.refused(&[&none], 2, "holds no image `o/none:1`");
        place.refused(&[&source, "--only", "none"], 2, "leave no repository");
    }
}

/// Selections are of the names that the site has.
#[test]
fn names_are_given_before_images_are_selected() {
    let place = Place::new();
    let tar = place.path("one.tar");
    fs::write(&tar, Archive::docker_20(&images()[..1]).tar()).unwrap();
    let source = format!("{}=other:2", tar.display());
    assert_eq!(
        place.references(&[&source, "--only", "other:2"]),
        ["other:2"]
    );
    place.refused(&[&source, "--only", "o/good"], 2, "leave no repository");
}

#[test]
fn a_glob_that_matches_nothing_is_told() {
    let place = Place::new();
    let tar = place.path("one.tar");
    fs::write(&tar, Archive::docker_20(&images()).tar()).unwrap();
    let tar = tar.to_str().unwrap();
    let output = place.try_build(&[tar, "--only", "o/**", "--only", "typo", "--exclude", "*:2"]);
    let said = stderr(&output);
    assert!(
        said.contains("note: `--only typo` matches nothing\n"),
        "{said}"
    );
    assert!(
        said.contains("note: `--exclude *:2` matches nothing\n"),
        "{said}"
    );
    assert!(!said.contains("`--only o/**`"), "{said}");
}

/// An image with an SBOM by its subject, a signature of the SBOM by its tag, and another of that.
fn attached() -> Vec<Image> {
    let app = images()[0].clone();
    let about = |image: &Image, text: &str| {
        let subject = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.manifest_digest(),
            "size": 1,
        });
        Image::new(&[])
            .layer("sbom", text)
            .manifest(move |manifest| manifest["subject"] = subject.clone())
    };
    let sbom = about(&app, "sbom");
    let signature = |image: &Image, text: &str| {
        let tag = image.manifest_digest().replace(':', "-");
        Image::new(&[&format!("o/good:{tag}.sig")]).layer("sig", text)
    };
    let first = signature(&sbom, "first");
    let second = signature(&first, "second");
    let other = signature(&images()[1], "other");
    vec![second, first, sbom, app, other, images()[1].clone()]
}

#[test]
fn what_is_attached_comes_along_whatever_that_is_attached_to() {
    let place = Place::new();
    let images = attached();
    let layout = place.path("layout");
    Archive::oci(&images).folder(&layout);
    let site = place.path("all");
    let mut build = stillage(["build", "-o", site.to_str().unwrap()]);
    succeed(build.arg(&layout));
    for (prefix, path) in [("oci", &layout), ("site", &site)] {
        let source = format!("{prefix}:{}", path.display());
        for args in [
            &[&*format!("{source}:o/good:1")][..],
            &[&source, "--only", "o/good:1"],
        ] {
            let references = place.references(args);
            assert_eq!(references.len(), 4, "{args:?}: {references:#?}");
            assert!(
                references.contains(&"o/good:1".to_owned()),
                "{references:?}"
            );
        }
        let without = [&*source, "--only", "o/good:1", "--exclude", "**:*.sig"];
        assert_eq!(place.references(&without).len(), 2);
    }
    // What is attached to nothing that was asked for is no answer.
    place.refused(
        &[&format!("oci:{}:nope", layout.display())],
        2,
        "holds no image `nope:latest`",
    );
}

/// The counter of what is read says nothing of layers that are left out.
#[test]
fn layers_that_are_left_out_are_not_read() {
    let place = Place::new();
    let small = Image::new(&["o/small:1"]).layer("etc/text", "small");
    let large = Image::new(&["o/large:1"]).layer("etc/text", &"large ".repeat(1 << 20));
    let both = [small, large];
    let layout = place.path("layout");
    Archive::oci(&both).folder(&layout);
    let registry = place.path("registry");
    registry_v2_of(&registry, &Archive::oci(&both), &both);
    let [docker, oci] = ["docker.tar", "oci.tar"].map(|name| place.path(name));
    fs::write(&docker, Archive::docker_20(&both).tar()).unwrap();
    fs::write(&oci, Archive::oci(&both).tar()).unwrap();
    for path in [layout, registry, docker, oci] {
        let read = |only: &[String]| {
            let site = place.path("counted");
            let _ = fs::remove_dir_all(&site);
            let progress: Arc<Progress> = Arc::default();
            let source = Source::parse(path.to_str().unwrap()).unwrap();
            let options = BuildOptions {
                selection: Selection::new(only, &[]).unwrap(),
                cache: false,
                ..BuildOptions::new(vec![source], site)
            };
            build::build(&options, &progress, || Ok(())).unwrap();
            progress.state().bytes
        };
        let [all, some] = [read(&[]), read(&["o/small".into()])];
        assert!(
            all > 10_000 && some < 6_000,
            "{}: {some} of {all}",
            path.display()
        );
    }
}

#[test]
fn strict_makes_faults_an_error() {
    let place = Place::new();
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("good.tar"),
        Archive::docker_20(&images()[..1]).tar(),
    )
    .unwrap();
    fs::write(folder.join("lost.tar"), "").unwrap();
    let source = folder.to_str().unwrap();
    assert_eq!(place.references(&[source]), ["o/good:1"]);
    place.refused(
        &[source, "--strict"],
        1,
        "lost.tar` is left out: it is not an archive",
    );
    assert!(!place.path("site").join("index.json").exists());
    fs::remove_file(folder.join("lost.tar")).unwrap();
    assert_eq!(place.references(&[source, "--strict"]), ["o/good:1"]);
}

/// A source that holds nothing is an error, whatever is selected of the others: a disk may not be mounted.
#[test]
fn an_empty_source_is_an_error() {
    let place = Place::new();
    let tar = place.path("one.tar");
    fs::write(&tar, Archive::docker_20(&images()[..1]).tar()).unwrap();
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    let args = [
        tar.to_str().unwrap(),
        empty.to_str().unwrap(),
        "--exclude",
        "tmp/**",
    ];
    place.refused(&args, 1, "empty` holds no image");
}

fn named(names: &[&str], image: &Image) -> Image {
    let mut image = image.clone();
    image.names = names.iter().map(ToString::to_string).collect();
    image
}

/// Neither the children of an index that is left out nor what is attached to it become images of their own.
#[test]
fn what_belongs_to_an_excluded_image_is_left_out_with_it() {
    let place = Place::new();
    let [good, bad] = images();
    let arm = images()[0].clone().platform("linux", "arm64");
    let children = [named(&[], &bad), named(&[], &arm)];
    let index = Image::index(&["o/index:1"], children.to_vec());
    let attached = index.manifest_digest().replace(':', "-");
    let signature = Image::new(&[&format!("o/index:{attached}.sig")]).layer("sig", "sig");
    let layout = place.path("layout");
    Archive::oci(&[good, index, signature]).folder(&layout);
    // As some tools do, the index lists the children, too.
    let path = layout.join("index.json");
    let mut entries: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for child in &children {
        let digest = child.manifest_digest();
        let blob = layout.join("blobs").join(digest.replace(':', "/"));
        let size = fs::metadata(blob).unwrap().len();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let entry = serde_json::json!({"mediaType": media_type, "digest": digest, "size": size});
        entries["manifests"].as_array_mut().unwrap().push(entry);
    }
    fs::write(&path, entries.to_string()).unwrap();
    let site = place.path("all");
    let mut build = stillage(["build", "-o", site.to_str().unwrap()]);
    succeed(build.arg(&layout));
    for source in [layout, site] {
        let source = source.to_str().unwrap();
        assert_eq!(place.references(&[source]).len(), 3);
        assert_eq!(
            place.references(&[source, "--exclude", "o/index:1"]),
            ["o/good:1"]
        );
        assert_eq!(place.references(&[source, "--only", "o/index:1"]).len(), 2);
    }
}

/// What is attached belongs to the image of its own repository, and keeps its tag whatever the image is called.
#[test]
fn attachments_go_by_their_repository_and_their_tag() {
    let place = Place::new();
    let [good, other] = images();
    let tag = good.manifest_digest().replace(':', "-");
    let signature = |name: &str| Image::new(&[&format!("{name}{tag}.sig")]).layer("sig", "sig");
    let layout = place.path("layout");
    let all = [
        good.clone(),
        named(&["staging/good:1"], &good),
        signature("o/good:"),
        signature("staging/good:"),
    ];
    Archive::oci(&all).folder(&layout);
    let source = format!("oci:{}", layout.display());
    let only = place.references(&[&source, "--only", "o/**"]);
    assert_eq!(only.len(), 2, "{only:?}");
    assert!(
        only.iter().all(|name| name.starts_with("o/good:")),
        "{only:?}"
    );
    let one = format!("{source}:o/good:1=x/app:9");
    assert_eq!(place.references(&[&one]).len(), 2);
    assert_eq!(
        place.references(&[&one, "--exclude", "**:sha256-*"]),
        ["x/app:9"]
    );

    // In a layout of one repository the names are bare tags.
    let bare = place.path("bare");
    let words = [named(&["v1"], &good), named(&["v2"], &other), signature("")];
    Archive::oci(&words).folder(&bare);
    let one = format!("oci:{}:v1=x/app", bare.display());
    let references = place.references(&[&one]);
    assert_eq!(references, [format!("x/app:{tag}.sig"), "x/app:v1".into()]);
}
