//! `--mirror` drops what the sources no longer have, never what they lack because they are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::site::{assert_same, build, inodes, json, stderr, stillage, verify};
use crate::support::temp::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new("mirror"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn site(&self) -> PathBuf {
        self.path("site")
    }

    fn mirror(&self, args: &[&str]) -> Output {
        let mut command = stillage(["build", "--mirror", "-o"]);
        command.arg(self.site()).args(args).output().unwrap()
    }

    /// A mirror that succeeds; gives what it said.
    fn mirrored(&self, args: &[&str]) -> String {
        let output = self.mirror(args);
        assert!(output.status.success(), "{}", stderr(&output));
        verify(&self.site());
        stderr(&output)
    }

    fn tags(&self, name: &str) -> Vec<String> {
        let list = self.site().join("v2").join(name).join("tags/list");
        if !list.exists() {
            return Vec::new();
        }
        serde_json::from_value(json(list)["tags"].clone()).unwrap()
    }

    fn tar(&self, name: &str, images: &[Image]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, Archive::docker_20(images).tar()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn image(name: &str) -> Image {
    Image::new(&[name]).layer("etc/text", name)
}

/// The storage of a registry with `app:1`, `app:2` and `gone:1`.
fn registry(place: &Place) -> PathBuf {
    let root = place.path("registry");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/distribution-2.8");
    let mut copy = std::process::Command::new("cp");
    assert!(
        copy.arg("-r")
            .arg(from)
            .arg(&root)
            .status()
            .unwrap()
            .success()
    );
    root
}

fn tags_folder(root: &Path, repository: &str) -> PathBuf {
    root.join("docker/registry/v2/repositories")
        .join(repository)
        .join("_manifests/tags")
}

#[test]
fn a_tag_whose_manifest_is_lost_stays() {
    let place = Place::new();
    let root = registry(&place);
    let source = root.to_str().unwrap();
    place.mirrored(&[source]);
    let before = place.tags("sample/hello");
    assert!(before.len() > 1, "{before:?}");
    let folder = tags_folder(&root, "sample/hello");
    // One is deleted, of another the link is lost.
    fs::remove_dir_all(folder.join(&before[0])).unwrap();
    fs::remove_file(folder.join(&before[1]).join("current/link")).unwrap();
    let said = place.mirrored(&[source]);
    let lost = format!("sample/hello:{}", before[1]);
    assert!(
        said.contains(&format!("removed sample/hello:{}\n", before[0])),
        "{said}"
    );
    assert!(
        said.contains(&format!("note: {lost} stays as it is in the site")),
        "{said}"
    );
    assert_eq!(place.tags("sample/hello"), before[1..]);
    // What a selection leaves out is not kept for that.
    place.mirrored(&[source, "--exclude", "sample/hello"]);
    assert_eq!(place.tags("sample/hello"), Vec::<String>::new());
}

/// Names that the user gives are those that the site has.
#[test]
fn a_renamed_source_keeps_them_too() {
    let place = Place::new();
    let root = registry(&place);
    let repositories = root.join("docker/registry/v2/repositories");
    for other in fs::read_dir(&repositories).unwrap() {
        let other = other.unwrap().path();
        if !other.ends_with("library") {
            fs::remove_dir_all(other).unwrap();
        }
    }
    let tags = tags_folder(&root, "library/tiny");
    let more = std::process::Command::new("cp")
        .arg("-r")
        .args([tags.join("1"), tags.join("2")])
        .status();
    assert!(more.unwrap().success());
    let source = format!("{}=other/name", root.display());
    place.mirrored(&[&source]);
    assert_eq!(place.tags("other/name"), ["1", "2"]);
    fs::remove_file(tags.join("1/current/link")).unwrap();
    place.mirrored(&[&source]);
    assert_eq!(place.tags("other/name"), ["1", "2"]);
}

#[test]
fn the_child_of_an_index_that_is_lost_stays() {
    let place = Place::new();
    let layout = place.path("layout");
    let children = vec![image(""), image("x").platform("linux", "arm64")];
    let arm = children[1].manifest_digest();
    Archive::oci(&[Image::index(&["o/app:1"], children)]).folder(&layout);
    let source = layout.to_str().unwrap().to_owned();
    place.mirrored(&[&source]);
    fs::remove_file(layout.join("blobs").join(arm.replace(':', "/"))).unwrap();
    place.mirrored(&[&source]);
    let child = place.site().join("v2/o/app/manifests").join(&arm);
    assert!(child.exists());
    let names = |site: &Path| json(site.join("index.json"))["manifests"].to_string();
    assert!(names(&place.site()).contains(&arm));
    // Who asks for one platform has chosen.
    place.mirrored(&[&source, "--platform", "linux/amd64"]);
    assert!(!names(&place.site()).contains(&arm));
}

#[test]
fn a_lost_archive_drops_nothing() {
    let place = Place::new();
    place.tar("images/a.tar", &[image("o/a:1")]);
    let lost = place.tar("images/b.tar", &[image("o/b:1")]);
    fs::write(place.path("images/notes.txt"), "not an image").unwrap();
    let source = place.path("images").to_str().unwrap().to_owned();
    place.mirrored(&[&source]);
    // `docker save` that failed.
    fs::write(&lost, "").unwrap();
    let said = place.mirrored(&[&source]);
    assert!(
        said.contains("b.tar` is left out: it is not an archive"),
        "{said}"
    );
    assert!(said.contains("so `--mirror` drops nothing"), "{said}");
    assert_eq!(place.tags("o/b"), ["1"]);
    fs::remove_file(&lost).unwrap();
    assert!(place.mirrored(&[&source]).contains("removed o/b:1"));
    assert_eq!(place.tags("o/b"), Vec::<String>::new());
}

/// `podman save` of an image by its digest: the archive has a name and no tag.
#[test]
fn sources_without_any_tag_are_an_error() {
    let place = Place::new();
    build(&["fixtures/docker-20.10.tar"], &place.site());
    let layout = place.path("layout");
    let image = image("o/app@sha256:0");
    let name = format!("o/app@{}", image.manifest_digest());
    Archive::oci(&[Image::new(&[&name]).layer("etc/text", "o/app@sha256:0")]).folder(&layout);
    let before = inodes(&place.site());
    let output = place.mirror(&[layout.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("have no image with a tag") && said.contains("hint: "),
        "{said}"
    );
    assert_same(&before, &inodes(&place.site()));
}

/// Notes are data, so that programs need not read them.
#[test]
fn notes_say_what_they_are_about() {
    let place = Place::new();
    let root = registry(&place);
    let tags = tags_folder(&root, "sample/hello");
    let tag = fs::read_dir(&tags).unwrap().next().unwrap().unwrap();
    fs::remove_file(tag.path().join("current/link")).unwrap();
    let output = place.mirror(&[root.to_str().unwrap(), "--json"]);
    let built: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = format!("sample/hello:{}", tag.file_name().to_str().unwrap());
    let faults = built["notes"].as_array().unwrap().iter();
    let faults: Vec<&Value> = faults.filter(|note| note["kind"] == "fault").collect();
    assert_eq!(faults.len(), 1, "{built}");
    assert_eq!(faults[0]["reference"], name.as_str());
}
