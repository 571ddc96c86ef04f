//! `export` and what `build` makes of it: the site there becomes that here, or stays as it was.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::archive::{Archive, Image, gzip};
use crate::support::chance::Chance;
use crate::support::files::digest;
use crate::support::place::{feed, image};
use crate::support::site::{
    Everything, SMALL, assert_same, build, everything, inodes, json, stderr, stillage, succeed,
    tree, verify,
};
use crate::support::temp::TempDir;

mod edges;
mod refused;
mod volumes;

/// A folder with the site `here`, which is exported, and the site `there`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new("export"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Builds into `here`.
    fn publish(&self, args: &[&str]) {
        build(args, &self.path("here"));
    }

    fn publish_images(&self, images: &[Image]) {
        let source = self.path("source.tar");
        fs::write(&source, Archive::docker_20(images).tar()).unwrap();
        self.publish(&[source.to_str().unwrap()]);
    }

    /// Exports `here` to a file, with these options; gives its path.
    fn export(&self, name: &str, options: &[&str]) -> String {
        let path = self.text(name);
        let here = self.text("here");
        succeed(stillage(["export", &here, "-o", &path]).args(options));
        path
    }

    /// What `build` into `there` gives.
    fn merge(&self, args: &[&str]) -> Output {
        let there = self.text("there");
        let mut command = stillage(["build", "-o", &there]);
        command.args(args).output().unwrap()
    }

    /// A build into `there` that succeeds; gives what it said.
    fn merged(&self, args: &[&str]) -> String {
        let output = self.merge(args);
        assert!(output.status.success(), "{}", stderr(&output));
        verify(&self.path("there"));
        String::from_utf8(output.stdout.clone()).unwrap() + &stderr(&output)
    }

    /// A build into `there` that is refused with these words and changes nothing.
    fn refused(&self, args: &[&str], words: &[&str]) {
        let there = self.path("there");
        let all = || {
            if there.exists() {
                everything(&there)
            } else {
                Everything::default()
            }
        };
        let is_new = !there.exists();
        let before = all();
        let output = self.merge(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
        if is_new {
            assert!(!there.join("index.json").exists());
            let _ = fs::remove_dir_all(there);
        } else {
            assert_same(&before, &all());
        }
    }

    fn assert_same_sites(&self) {
        assert_same(&tree(&self.path("here")), &tree(&self.path("there")));
    }
}

/// A member of a tar.
fn member(archive: &Path, name: &str) -> Vec<u8> {
    let mut tar = tar::Archive::new(fs::File::open(archive).unwrap());
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() == Some(name) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("no {name} in {}", archive.display());
}

/// The names and lengths of the members of a tar, in their order.
fn members(archive: &Path) -> Vec<(String, u64)> {
    let mut tar = tar::Archive::new(fs::File::open(archive).unwrap());
    let entries = tar.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        (name, entry.size())
    });
    entries.collect()
}

/// An image with a layer of so many bytes that do not compress.
fn large(name: &str, bytes: usize, seed: u64) -> Image {
    let mut chance = Chance(seed);
    let text: String = (0..bytes)
        .map(|_| char::from(b'0' + u8::try_from(chance.below(75)).unwrap()))
        .collect();
    Image::new(&[name])
        .layer("etc/base", "the same in all")
        .layer("etc/large", &text)
}

type Publish = Box<dyn Fn(&Place)>;

/// Ten publishes: images of every era, moved tags, signatures, removals, larger layers.
fn publishes() -> Vec<Publish> {
    let source = |args: &'static [&'static str]| -> Publish {
        Box::new(move |place: &Place| place.publish(args))
    };
    vec![
        source(&SMALL),
        source(&["fixtures/docker-registry-0.9.1=v1/"]),
        Box::new(|place| place.publish_images(&[large("large:1", 3_000_000, 1)])),
        Box::new(|place| {
            place.publish_images(&[large("large:2", 2_000_000, 2), image("app:1", "one")]);
        }),
        // A tag moves; the old manifest stays.
        Box::new(|place| place.publish_images(&[image("app:1", "two"), image("app:2", "one")])),
        source(&["fixtures/distribution-2.8=v2/"]),
        Box::new(|place| {
            let here = place.text("here");
            succeed(stillage(["remove", &here]).args(["large:1", "v1/tiny", "referrer"]));
        }),
        // What was removed comes back under another name.
        Box::new(|place| place.publish_images(&[large("again:1", 3_000_000, 1)])),
        source(&[
            "fixtures/dir-oci=signed:1",
            "fixtures/docker-29-containerd.tar=new/",
        ]),
        source(&[
            "fixtures/podman-4.3-docker-archive-multi.tar=podman/",
            "fixtures/docker-1.4.1-pulled.tar=pulled/",
        ]),
    ]
}

/// What a tar may have more than what it carries: headers, padding, and lines with digests for each member, and what it
/// says of itself.
fn most(archive: &Path) -> u64 {
    let about = ["blobs/", "v1/"];
    let carried = members(archive);
    let carried = carried
        .iter()
        .filter(|(name, _)| about.iter().any(|start| name.starts_with(start)));
    let content: u64 = carried.clone().map(|(_, size)| size).sum();
    let count = u64::try_from(carried.count()).unwrap();
    let catalogue = member(archive, "stillage-catalogue.json.gz").len() as u64;
    content + content / 100 + catalogue + 1536 * count + 8192
}

#[test]
fn exports_in_order_make_the_same_site() {
    let place = Place::new();
    let mut exports: Vec<String> = Vec::new();
    for (number, publish) in publishes().iter().enumerate() {
        let index = place.path("here/index.json");
        let before = index.exists().then(|| fs::read(&index).unwrap());
        let known = before.is_some().then(|| content(&place.path("here")));
        publish(&place);
        let name = format!("{number}.tar");
        let path = match &before {
            None => place.export(&name, &[]),
            Some(before) => {
                fs::write(place.path("before.json"), before).unwrap();
                place.export(&name, &["--since", &place.text("before.json")])
            }
        };
        let size = fs::metadata(&path).unwrap().len();
        assert!(size <= most(Path::new(&path)), "{path}: {size} bytes");
        // Nothing is carried that the other side lists.
        let known = known.unwrap_or_default();
        for (name, _) in members(Path::new(&path)) {
            assert!(!known.contains(&name), "{path}: {name}");
        }
        // The same, whatever says what the site there has.
        if let Some(last) = exports.last() {
            place.merged(&[last, "--mirror"]);
            for base in [last.as_str(), &place.text("there")] {
                let again = place.export("again.tar", &["--since", base]);
                assert_eq!(
                    fs::read(&again).unwrap(),
                    fs::read(&path).unwrap(),
                    "{base}"
                );
            }
        }
        exports.push(path);
    }
    place.merged(&[exports.last().unwrap(), "--mirror"]);
    place.assert_same_sites();
    // Again it changes nothing, and without `--mirror` neither.
    let before = inodes(&place.path("there"));
    place.merged(&[exports.last().unwrap(), "--mirror"]);
    place.merged(&[exports.last().unwrap()]);
    assert_same(&before, &inodes(&place.path("there")));
    // One that is left out is named by what is missing.
    fs::remove_dir_all(place.path("there")).unwrap();
    for path in &exports[..3] {
        place.merged(&[path, "--mirror"]);
    }
    let new = json(place.path("here/index.json"));
    let manifests = new["manifests"].as_array().unwrap();
    let name =
        |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "large:2";
    let lost = manifests.iter().find(name).unwrap()["digest"]
        .as_str()
        .unwrap();
    let state = digest(&fs::read(place.path("there/index.json")).unwrap());
    place.refused(
        &[&exports[4], "--mirror"],
        &[lost, "`large:2`", &state, "--since"],
    );
    place.refused(&[&exports[4]], &[lost]);
    for path in &exports[3..] {
        place.merged(&[path, "--mirror"]);
    }
    place.assert_same_sites();
}

/// The paths of all content that a site lists.
fn content(site: &Path) -> std::collections::BTreeSet<String> {
    let verified = stillage(["config", "headers", site.to_str().unwrap()]).output();
    let lines = String::from_utf8(verified.unwrap().stdout).unwrap();
    let digests = lines.split("sha256:").skip(1).map(|rest| &rest[..64]);
    digests.map(|hex| format!("blobs/sha256/{hex}")).collect()
}

/// A site that has more than the exported one keeps it, unless it is a mirror.
#[test]
fn a_merge_adds_and_a_mirror_replaces() {
    let place = Place::new();
    place.publish_images(&[image("app:1", "one"), image("app:2", "two")]);
    let first = place.export("first.tar", &[]);
    place.merged(&[&first]);
    let own = place.path("own.tar");
    let images = [image("own:1", "own"), image("app:own", "own")];
    fs::write(&own, Archive::docker_20(&images).tar()).unwrap();
    place.merged(&[own.to_str().unwrap()]);
    let here = place.text("here");
    succeed(stillage(["remove", &here]).args(["app:2"]));
    place.publish_images(&[image("app:3", "three")]);
    let second = place.export("second.tar", &["--since", &first]);
    let tags =
        |name: &str| json(place.path("there/v2").join(name).join("tags/list"))["tags"].clone();
    let said = place.merged(&[&second]);
    assert!(
        said.contains("app:3@sha256:") && !said.contains("app:1@"),
        "{said}"
    );
    assert_eq!(tags("app"), serde_json::json!(["1", "2", "3", "own"]));
    let said = place.merged(&[&second, "--mirror"]);
    for dropped in ["app:2", "app:own", "own:1"] {
        assert!(said.contains(&format!("removed {dropped}\n")), "{said}");
    }
    assert_eq!(tags("app"), serde_json::json!(["1", "3"]));
    let there = place.text("there");
    succeed(&mut stillage(["prune", &there, "--grace", "0", "-q"]));
    succeed(&mut stillage(["prune", &here, "--grace", "0", "-q"]));
    place.assert_same_sites();
}

/// A base that is a folder is looked at: what it has lost is carried, and restored.
#[test]
fn what_a_base_has_lost_is_carried() {
    let place = Place::new();
    place.publish(&SMALL);
    place.merged(&[&place.export("first.tar", &[])]);
    for (number, entry) in fs::read_dir(place.path("there/blobs/sha256"))
        .unwrap()
        .enumerate()
    {
        if number % 4 == 0 {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            for lost in walkdir::WalkDir::new(place.path("there")) {
                let lost = lost.unwrap().into_path();
                if lost.is_file() && lost.to_str().unwrap().contains(name) {
                    fs::remove_file(lost).unwrap();
                }
            }
        }
    }
    let (here, there) = (place.text("here"), place.text("there"));
    let differs = || {
        let mut diff = stillage(["diff", "--exit-code", &here, &there]);
        diff.output().unwrap().status.code()
    };
    assert_eq!(differs(), Some(1));
    place.merged(&[&place.export("mend.tar", &["--since", &there])]);
    assert_eq!(differs(), Some(0));
}

/// An export that was unpacked is one still: it does not count as a layout with less.
#[test]
fn an_unpacked_export_is_one_still() {
    let place = Place::new();
    place.publish(&SMALL);
    let first = place.export("first.tar", &[]);
    place.merged(&[&first]);
    place.publish_images(&[large("large:1", 300_000, 5)]);
    let second = place.export("second.tar", &["--since", &first]);
    place.export("v.tar", &["--since", &first, "--max-size", "100K"]);
    let unpack = |name: &str| {
        let folder = place.path(&format!("unpacked/{name}"));
        fs::create_dir_all(&folder).unwrap();
        tar::Archive::new(fs::File::open(place.path(name)).unwrap())
            .unpack(&folder)
            .unwrap();
        folder.to_str().unwrap().to_owned()
    };
    let volumes = ["v.1.tar", "v.2.tar", "v.3.tar"].map(unpack);
    assert!(!place.path("v.4.tar").exists());
    place.refused(&[&volumes[0], "--mirror"], &["volume 2 of 3 is missing"]);
    place.merged(&[&volumes[2], &volumes[0], &volumes[1], "--mirror"]);
    place.assert_same_sites();
    fs::remove_dir_all(place.path("there")).unwrap();
    place.merged(&[&first]);
    place.merged(&[&place.text("unpacked"), "--mirror"]);
    place.assert_same_sites();
    let folder = unpack("second.tar");
    assert!(fs::metadata(second).unwrap().is_file());
    place.merged(&[&folder, "--mirror"]);
    place.assert_same_sites();
}

/// `--only` and `--exclude` select what is carried and what is listed, names included.
#[test]
fn a_selection_is_all_that_leaves() {
    let place = Place::new();
    place.publish_images(&[
        image("public/app:1", "one"),
        image("public/app:2", "two"),
        image("secret/app:1", "secret"),
    ]);
    let only = place.export("only.tar", &["--only", "public/**", "--exclude", "**:2"]);
    let bytes = fs::read(&only).unwrap();
    assert!(!bytes.windows(6).any(|bytes| bytes == b"secret"));
    let catalogue = member(Path::new(&only), "stillage-catalogue.json.gz");
    let catalogue = crate::support::files::decompressed(&catalogue).unwrap();
    let catalogue = String::from_utf8(catalogue).unwrap();
    assert!(
        catalogue.contains("public/app:1") && !catalogue.contains("secret"),
        "{catalogue}"
    );
    place.merged(&[&only]);
    assert_eq!(
        json(place.path("there/v2/_catalog"))["repositories"],
        serde_json::json!(["public/app"])
    );
    assert_eq!(
        json(place.path("there/v2/public/app/tags/list"))["tags"],
        serde_json::json!(["1"])
    );
    let here = place.text("here");
    let none = stillage(["export", &here, "--only", "nothing"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(2));
    // The other side may select too, and rename.
    let all = place.export("all.tar", &[]);
    place.merged(&[&all, "--only", "secret/*"]);
    place.merged(&[&format!("{all}=hub/"), "--only", "hub/**:2"]);
    assert_eq!(
        json(place.path("there/v2/_catalog"))["repositories"],
        serde_json::json!(["hub/public/app", "public/app", "secret/app"])
    );
}

/// A new site is like the exported one: APIs, platform, names, servers.
#[test]
fn a_new_site_has_the_settings_of_the_exported_one() {
    for options in [
        &["--no-v1"][..],
        &["--no-v2"],
        &["--full-names", "--server", "apache"],
        &["--v1-platform", "linux/arm64"],
    ] {
        let place = Place::new();
        let source = "fixtures/oci-layout-multiarch";
        place.publish(&[&[source, "fixtures/docker-20.10.tar"], options].concat());
        let path = place.export("all.tar", &[]);
        place.merged(&[&path]);
        place.assert_same_sites();
        place.merged(&[&path, "--mirror"]);
        place.assert_same_sites();
    }
}

/// What says what the other side has: as a file, a pipe, standard input, an export that is packed.
#[test]
fn the_base_is_read_once() {
    let place = Place::new();
    place.publish(&["fixtures/docker-1.4.1.tar"]);
    let first = place.export("first.tar", &[]);
    let index = fs::read(place.path("here/index.json")).unwrap();
    fs::write(place.path("first.tar.gz"), gzip(&fs::read(&first).unwrap())).unwrap();
    place.publish(&["fixtures/oci-layout-multiarch"]);
    let (here, fifo) = (place.text("here"), place.text("fifo"));
    let second = fs::read(place.export("second.tar", &["--since", &first])).unwrap();
    let packed = place.export("packed.tar", &["--since", &place.text("first.tar.gz")]);
    assert_eq!(fs::read(packed).unwrap(), second);
    let piped = feed(&mut stillage(["export", &here, "--since", "-"]), &index);
    assert!(piped.status.success(), "{}", stderr(&piped));
    assert_eq!(piped.stdout, second);
    let piped = stillage(["export", &here, "--since", &first, "-"])
        .output()
        .unwrap();
    assert_eq!(piped.stdout, second);
    succeed(std::process::Command::new("mkfifo").arg(&fifo));
    let writer = {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::write(fifo, index).unwrap())
    };
    let piped = place.export("piped.tar", &["--since", &fifo]);
    writer.join().unwrap();
    assert_eq!(fs::read(piped).unwrap(), second);
}

/// The writer of a pipe can write all, also of an export, of which only the beginning matters.
#[test]
fn a_pipe_is_read_to_its_end() {
    let place = Place::new();
    place.publish_images(&[large("large:1", 1_000_000, 1)]);
    let whole = fs::read(place.export("whole.tar", &[])).unwrap();
    let fifo = place.text("fifo");
    succeed(std::process::Command::new("mkfifo").arg(&fifo));
    let writer = {
        let fifo = fifo.clone();
        std::thread::spawn(move || fs::write(fifo, whole).unwrap())
    };
    place.export("since.tar", &["--since", &fifo]);
    writer.join().unwrap();
}

/// Over a pipe, as `ssh` is one; also with `--mirror`, and from the other side.
#[test]
fn an_export_is_put() {
    let place = Place::new();
    place.publish(&SMALL);
    let (here, there) = (place.text("here"), place.text("there"));
    let ssh = |site: &str, options: &[&str], command: &str, input: &[u8]| {
        let mut ssh = stillage(["ssh-command", "--site", site]);
        let output = feed(
            ssh.args(options).env("SSH_ORIGINAL_COMMAND", command),
            input,
        );
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        output.stdout
    };
    let all = ssh(&here, &["--read-only"], "export", b"");
    assert_eq!(all, fs::read(place.export("all.tar", &[])).unwrap());
    ssh(&there, &["--mirror"], "put", &all);
    place.assert_same_sites();
    succeed(stillage(["remove", &here]).args(["old"]));
    place.publish_images(&[large("large:1", 1_000_000, 5)]);
    let index = ssh(&there, &[], "index", b"");
    let delta = ssh(&here, &["--read-only"], "export-since", &index);
    assert!(delta.len() < 1_200_000);
    let mut put = stillage(["put", &there, "--mirror", "-q"]);
    let output = feed(&mut put, &delta);
    assert!(output.status.success(), "{}", stderr(&output));
    for site in [&here, &there] {
        succeed(&mut stillage(["prune", site, "--grace", "0", "-q"]));
    }
    place.assert_same_sites();
    // Only an export can replace what a site lists.
    let before = everything(&place.path("there"));
    let archive = Archive::docker_20(&[image("other:1", "other")]).tar();
    let output = feed(&mut stillage(["put", &there, "--mirror"]), &archive);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("only an export"),
        "{}",
        stderr(&output)
    );
    assert_same(&before, &everything(&place.path("there")));
}

/// What is exported in full is a layout that other tools read, and a source like any other: it mends.
#[test]
fn a_full_export_mends_a_site() {
    let place = Place::new();
    place.publish(&SMALL);
    let all = place.export("all.tar", &[]);
    place.merged(&[&all]);
    let lost: Vec<PathBuf> = fs::read_dir(place.path("there/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for path in lost.iter().step_by(3) {
        fs::remove_file(path).unwrap();
    }
    place.merged(&[&all]);
    place.assert_same_sites();
    let layout = place.path("layout");
    fs::create_dir(&layout).unwrap();
    tar::Archive::new(fs::File::open(&all).unwrap())
        .unpack(&layout)
        .unwrap();
    let output = stillage(["build", "--keep-manifests", "-q", "-o"])
        .arg(place.path("from-layout"))
        .arg(format!("oci:{}", layout.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let names = |site: &str| json(place.path(site).join("v2/_catalog"));
    assert_eq!(names("from-layout"), names("here"));
}

/// What `diff` says is what an export since then carries.
#[test]
fn a_difference_is_what_an_export_carries() {
    let place = Place::new();
    place.publish_images(&[
        image("app:1", "one"),
        image("app:2", "two"),
        image("old:1", "old"),
    ]);
    let first = place.export("first.tar", &[]);
    place.merged(&[&first]);
    let (here, there) = (place.text("here"), place.text("there"));
    let diff = |one: &str, other: &str| -> Value {
        let output = succeed(&mut stillage(["diff", one, other, "--json"]));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let code = |one: &str, other: &str| {
        let output = stillage(["diff", "--exit-code", one, other])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    assert_eq!(code(&here, &there), (Some(0), "no difference\n".into()));
    assert_eq!(code(&here, &first), (Some(0), "no difference\n".into()));
    place.publish_images(&[image("app:1", "new"), large("app:3", 300_000, 6)]);
    succeed(stillage(["remove", &here]).args(["old"]));
    let found = diff(&here, &there);
    let name = |value: &Value| {
        format!(
            "{}:{}",
            value["repository"].as_str().unwrap(),
            value["tag"].as_str().unwrap()
        )
    };
    let names = |found: &Value, key: &str| -> Vec<String> {
        found[key].as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(&found, "added"), ["app:3"]);
    assert_eq!(names(&found, "moved"), ["app:1"]);
    assert_eq!(names(&found, "removed"), ["old:1"]);
    let moved = &found["moved"][0];
    assert!(
        moved["from"] != moved["digest"] && moved["from"].is_string(),
        "{moved}"
    );
    let delta = place.export("delta.tar", &["--since", &there]);
    let carried = members(Path::new(&delta));
    let carried = carried
        .iter()
        .filter(|(name, _)| name.starts_with("blobs/"));
    let bytes: u64 = carried.clone().map(|(_, size)| size).sum();
    assert_eq!(
        found["other_lacks"],
        serde_json::json!({"blobs": carried.count(), "bytes": bytes})
    );
    assert!(found["site_lacks"]["blobs"].as_u64().unwrap() > 0);
    // From the other side, the same is the other way round.
    let back = diff(&there, &here);
    assert_eq!(names(&back, "added"), ["old:1"]);
    assert_eq!(names(&back, "removed"), ["app:3"]);
    assert_eq!(back["site_lacks"], found["other_lacks"]);
    assert_eq!(back["other_lacks"], found["site_lacks"]);
    // What `index.json` alone says is the same but for what is not known.
    let by_index = diff(&here, &place.text("there/index.json"));
    assert_eq!(by_index["other_lacks"], found["other_lacks"]);
    assert!(by_index.get("site_lacks").is_none());
    let (status, text) = code(&here, &there);
    assert_eq!(status, Some(1));
    for line in [
        "added app:3 sha256:",
        "moved app:1 sha256:",
        "removed old:1 sha256:",
        "the other lacks ",
        "the site lacks ",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{text}");
    }
}
