//! What sources may look like beyond the samples: made in memory, byte for byte known.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image, Pack, gzip, zstd};
use crate::support::files::{decompressed, digest};
use crate::support::site::{assert_same, build, json as read, tree, verify};
use crate::support::temp::TempDir;

/// A folder with one source in it, and the site built from that.
struct Built {
    folder: TempDir,
}

impl Built {
    fn tar(bytes: &[u8], name: &str) -> Self {
        let folder = TempDir::new("source");
        fs::write(folder.path().join("source"), bytes).unwrap();
        Self { folder }.build(name)
    }

    fn folder(archive: &Archive, name: &str) -> Self {
        let folder = TempDir::new("source");
        archive.folder(&folder.path().join("source"));
        Self { folder }.build(name)
    }

    /// `name` is `=NAME`, or nothing.
    fn build(self, name: &str) -> Self {
        let source = self.folder.path().join("source");
        build(&[format!("{}{name}", source.display())], &self.site());
        verify(&self.site());
        self
    }

    fn site(&self) -> std::path::PathBuf {
        self.folder.path().join("site")
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let path = self.site().join(path);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn json(&self, path: &str) -> Value {
        read(self.site().join(path))
    }

    fn has(&self, path: &str) -> bool {
        self.site().join(path).exists()
    }

    fn tags(&self, name: &str) -> Vec<String> {
        serde_json::from_value(self.json(&format!("v2/{name}/tags/list"))["tags"].clone()).unwrap()
    }
}

fn app(names: &[&str]) -> Image {
    Image::new(names)
        .layer("etc/one", "one")
        .layer("etc/two", "two")
}

fn two_platforms(names: &[&str], pack: Pack) -> Image {
    let arm = Image::new(&[])
        .layer("etc/arm", "arm")
        .platform("linux", "arm64")
        .packed(pack);
    Image::index(names, vec![arm, app(&[]).packed(pack)])
}

#[test]
fn compressed_archives_give_what_plain_ones_give() {
    let archive = Archive::docker_20(&[app(&["app:1", "app:2"])]).tar();
    let plain = Built::tar(&archive, "");
    for packed in [gzip(&archive), zstd(&archive)] {
        assert_same(&tree(&Built::tar(&packed, "").site()), &tree(&plain.site()));
    }
}

#[test]
fn members_may_come_in_any_order_and_with_a_dot() {
    let archive = Archive::docker_20(&[
        app(&["app:1"]),
        Image::new(&["b:1"]).layer("etc/one", "one"),
    ]);
    let plain = Built::tar(&archive.tar(), "");
    let reversed = Built::tar(&archive.clone().reversed().tar(), "");
    assert_same(&tree(&reversed.site()), &tree(&plain.site()));
    let mut dotted = archive;
    for name in dotted.names("") {
        dotted = dotted.rename(&name, format!("./{name}"));
    }
    assert_same(
        &tree(&Built::tar(&dotted.tar(), "").site()),
        &tree(&plain.site()),
    );
}

/// Docker 1.10 to 24 write a layer that occurs twice as a link, across images and before its target.
#[test]
fn duplicate_layers_may_be_links() {
    let other = app(&["b:1"]).config(|config| config["author"] = "b".into());
    let images = [app(&["a:1"]), other];
    let whole = Archive::docker_20(&images);
    let mut linked = whole.clone();
    for layer in 0..2 {
        let (first, second) = (
            Archive::v1_id(&images[0], layer),
            Archive::v1_id(&images[1], layer),
        );
        let link = crate::support::archive::Kind::Symlink(format!("../{second}/layer.tar"));
        linked = linked.set(&format!("{first}/layer.tar"), link);
    }
    assert_same(
        &tree(&Built::tar(&linked.tar(), "").site()),
        &tree(&Built::tar(&whole.tar(), "").site()),
    );
}

#[test]
fn docker_25_with_plain_layers_goes_by_manifest_json() {
    let old = Built::tar(&Archive::docker_20(&[app(&["app:1"])]).tar(), "");
    let new = Built::tar(&Archive::docker_28(&[app(&["app:1"])]).tar(), "");
    assert_same(&tree(&new.site()), &tree(&old.site()));
    assert_eq!(
        new.json("v2/app/manifests/1")["mediaType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
}

#[test]
fn docker_25_with_compressed_layers_goes_by_the_index() {
    let image = app(&["app:1", "app:latest"]);
    let built = Built::tar(&Archive::docker_29(std::slice::from_ref(&image)).tar(), "");
    assert_eq!(built.tags("app"), ["1", "latest"]);
    assert_eq!(
        digest(&built.bytes("v2/app/manifests/1")),
        image.manifest_digest()
    );
}

#[test]
fn docker_25_with_several_platforms_keeps_the_index() {
    let index = two_platforms(&["app:1"], Pack::Gzip).attested();
    let built = Built::tar(&Archive::docker_29(std::slice::from_ref(&index)).tar(), "");
    assert_eq!(
        digest(&built.bytes("v2/app/manifests/1")),
        index.manifest_digest()
    );
    for child in &index.children {
        assert!(built.has(&format!("v2/app/manifests/{}", child.manifest_digest())));
    }
    assert!(built.has("v1/repositories/app/tags/1"));
    let top = built.json("v1/repositories/app/tags/1");
    assert_eq!(
        top,
        digest(&index.children[1].config_json())["sha256:".len()..],
        "amd64 is the v1 image"
    );
}

/// A child with plain layers is made again, so the index is, and what is attached to the child
/// follows it; the statement itself is no tar and stays as it is.
#[test]
fn an_index_with_plain_layers_is_made_again() {
    let index = Image::index(&["app:1"], vec![app(&[]).packed(Pack::Plain)]).attested();
    let (child, attestation) = (&index.children[0], &index.children[1]);
    let built = Built::tar(&Archive::docker_29(std::slice::from_ref(&index)).tar(), "");
    let remade = built.json("v2/app/manifests/1");
    let [first, second] = remade["manifests"].as_array().unwrap().as_slice() else {
        panic!("{remade}")
    };
    let new = first["digest"].as_str().unwrap();
    assert_ne!(new, child.manifest_digest());
    assert_eq!(second["annotations"]["vnd.docker.reference.digest"], new);
    assert_eq!(second["digest"], attestation.manifest_digest());
    let manifest = built.json(&format!("v2/app/manifests/{new}"));
    assert_eq!(
        first["size"],
        built.bytes(&format!("v2/app/manifests/{new}")).len()
    );
    for (layer, tar) in manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&child.layers)
    {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
        let blob = built.bytes(&format!(
            "v2/app/blobs/{}",
            layer["digest"].as_str().unwrap()
        ));
        assert_eq!(decompressed(&blob).unwrap(), *tar);
    }
    let statement = digest(&attestation.layers[0]);
    assert_eq!(
        built.bytes(&format!("v2/app/blobs/{statement}")),
        attestation.layers[0]
    );
}

#[test]
fn layouts_are_kept_byte_for_byte() {
    for pack in [Pack::Plain, Pack::Gzip, Pack::Zstd] {
        let image = app(&["app:1"]).packed(pack);
        let nested = Image::index(
            &["nested:1"],
            vec![
                two_platforms(&[], pack),
                Image::index(&[], vec![app(&[]).packed(pack)]),
            ],
        );
        let archive = Archive::oci(&[image.clone(), nested.clone()]);
        let folder = Built::folder(&archive, "");
        assert_eq!(
            digest(&folder.bytes("v2/app/manifests/1")),
            image.manifest_digest()
        );
        assert_eq!(
            digest(&folder.bytes("v2/nested/manifests/1")),
            nested.manifest_digest()
        );
        for name in archive.names("blobs/sha256/") {
            assert_eq!(folder.bytes(&name), archive.bytes(&name), "{name}");
        }
        assert_same(
            &tree(&Built::tar(&archive.tar(), "").site()),
            &tree(&folder.site()),
        );
        assert_eq!(
            folder.json("v1/repositories/app/tags/1"),
            folder.json("v1/repositories/nested/tags/1")
        );
    }
}

#[test]
fn a_sparse_index_keeps_its_digest() {
    let index = two_platforms(&["app:1"], Pack::Gzip);
    let arm = &index.children[0];
    let mut archive = Archive::oci(std::slice::from_ref(&index));
    archive = archive.drop(&format!(
        "blobs/{}",
        arm.manifest_digest().replace(':', "/")
    ));
    let built = Built::folder(&archive, "");
    assert_eq!(
        digest(&built.bytes("v2/app/manifests/1")),
        index.manifest_digest()
    );
    assert!(!built.has(&format!("v2/app/manifests/{}", arm.manifest_digest())));
}

#[test]
fn a_manifest_without_media_type_is_served_by_its_structure() {
    let bare = app(&["app:1"]).manifest(|manifest| {
        manifest.as_object_mut().unwrap().remove("mediaType");
    });
    let mut archive = Archive::oci(&[bare]);
    archive = archive.edit_json("index.json", |index| {
        index["manifests"][0]
            .as_object_mut()
            .unwrap()
            .remove("mediaType");
    });
    let built = Built::folder(&archive, "");
    assert!(built.has("v2/app/_types/1.om"));
}

#[test]
fn artifacts_and_what_is_attached_come_along() {
    let image = app(&["app:1"]);
    let subject = image.manifest_digest();
    let about = subject.clone();
    let attached = Image::new(&[]).manifest(move |manifest| {
        manifest["artifactType"] = "application/spdx+json".into();
        manifest["annotations"] = json!({"made": "by hand"});
        manifest["subject"] = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": about, "size": 1});
        manifest["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
    });
    let artifact = attached.manifest_digest();
    let built = Built::folder(&Archive::oci(&[image, attached]), "=other");
    let referrers = built.json(&format!("v2/other/referrers/{subject}"));
    let listed = referrers["manifests"].as_array().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["digest"], *artifact);
    assert_eq!(listed[0]["artifactType"], "application/spdx+json");
    assert_eq!(listed[0]["annotations"]["made"], "by hand");
    assert_eq!(
        listed[0]["size"],
        built.bytes(&format!("v2/other/manifests/{artifact}")).len()
    );
    assert_eq!(
        built.json(&format!("v2/other/referrers/{artifact}"))["manifests"],
        json!([])
    );
    assert_eq!(built.tags("other"), ["1"]);
}

#[test]
fn a_folder_of_skopeo_may_hold_an_index() {
    let index = two_platforms(&[], Pack::Gzip);
    let built = Built::folder(&Archive::dir(&index), "=app:1");
    assert_eq!(
        digest(&built.bytes("v2/app/manifests/1")),
        index.manifest_digest()
    );
    for child in &index.children {
        assert!(built.has(&format!("v2/app/manifests/{}", child.manifest_digest())));
    }
}

/// An archive of Docker 1.x that was saved by id has no `repositories`.
#[test]
fn legacy_images_without_names_get_one() {
    let archive = Archive::docker_1(&[app(&["x:1"])]).drop("repositories");
    let built = Built::tar(&archive.tar(), "=old/app:3");
    let top = built.json("v1/repositories/old/app/tags/3");
    assert_eq!(top, Archive::v1_id(&app(&["x:1"]), 1));
    let manifest = built.json("v2/old/app/manifests/3");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
}

#[test]
fn names_follow_the_rules() {
    let hosts = app(&[
        "quay.io/org/app:1",
        "docker.io/library/tiny:2",
        "localhost:5000/x/y:3",
        "localhost/z:4",
    ]);
    let built = Built::tar(&Archive::docker_20(&[hosts]).tar(), "");
    assert_eq!(
        built.json("v2/_catalog")["repositories"],
        json!(["org/app", "tiny", "x/y", "z"])
    );
    for (name, tag) in [("tiny", "2"), ("library/tiny", "2"), ("x/y", "3")] {
        assert_eq!(built.tags(name), [tag]);
        assert_eq!(built.json(&format!("v2/{name}/tags/list"))["name"], name);
        assert!(built.has(&format!("v1/repositories/{name}/tags/{tag}")));
    }
    let search = built.json("v1/search");
    let names: Vec<&str> = search["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["org/app", "library/tiny", "x/y", "library/z"]);
    assert_eq!(
        (
            &search["num_results"],
            &search["num_pages"],
            &search["page"]
        ),
        (&json!(4), &json!(1), &json!(1))
    );

    let given = Built::tar(
        &Archive::docker_20(&[app(&["a:1", "b:2"])]).tar(),
        "=ghcr.io/c",
    );
    assert_eq!(
        given.tags("ghcr.io/c"),
        ["1", "2"],
        "a name that is given is taken as it is"
    );
}

#[test]
fn one_image_can_be_selected() {
    let folder = TempDir::new("select");
    let layout = folder.path().join("layout");
    Archive::oci(&[app(&["app:1"]), Image::new(&["app:2"]).layer("x", "y")]).folder(&layout);
    let archive = folder.path().join("a=b.tar");
    fs::write(
        &archive,
        Archive::docker_20(&[app(&["app:1"]), Image::new(&["q.io/app:2"]).layer("x", "y")]).tar(),
    )
    .unwrap();
    for source in [
        format!("oci:{}:app:2=n", layout.display()),
        format!("docker-archive:{}:app:2=n", archive.display()),
    ] {
        let site = folder.path().join("site");
        build(&[source], &site);
        assert_eq!(read(site.join("v2/n/tags/list"))["tags"], json!(["2"]));
        fs::remove_dir_all(site).unwrap();
    }
    let site = folder.path().join("site");
    build(&[archive.to_str().unwrap()], &site);
    assert!(
        Path::new(&site).join("v2/app/manifests/1").exists(),
        "a path with `=` that exists is a path"
    );
}

/// Docker pushes an image without layers as one v1 image with an empty tar.
#[test]
fn an_image_without_layers_has_a_v1_form() {
    let built = Built::tar(&Archive::docker_20(&[Image::new(&["empty:1"])]).tar(), "");
    let top = built.json("v1/repositories/empty/tags/1");
    let id = top.as_str().unwrap();
    assert_eq!(built.json(&format!("v1/images/{id}/ancestry")), json!([id]));
    assert_eq!(built.bytes(&format!("v1/images/{id}/layer")), [0; 1024]);
}

/// As go-containerregistry wrote it: one member for each time that the layer is named.
#[test]
fn a_layer_may_be_twice_in_an_image_and_in_its_archive() {
    let image = Image::new(&["app:1"])
        .layer("etc/one", "one")
        .layer("etc/one", "one");
    let archive = Archive::docker_20(&[image]);
    let [first, second] = [0, 1].map(|number| archive.names("layer.tar")[number].clone());
    let bytes = archive.bytes(&first).to_vec();
    let archive = archive
        .drop(&second)
        .file(&first, bytes)
        .edit_json("manifest.json", |entries| {
            entries[0]["Layers"] = json!([first, first]);
        });
    for tar in [archive.tar(), gzip(&archive.tar())] {
        let built = Built::tar(&tar, "");
        let manifest = built.json("v2/app/manifests/1");
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        assert_eq!(layers[0], layers[1]);
    }
}

#[test]
fn an_unpacked_archive_gives_what_the_archive_gives() {
    let images = [
        app(&["app:1", "o/app:2"]),
        two_platforms(&["b:1"], Pack::Gzip),
    ];
    for archive in [
        Archive::docker_1(&images[..1]),
        Archive::docker_20(&images[..1]),
        Archive::docker_28(&images[..1]),
        Archive::docker_29(&images),
    ] {
        let packed = Built::tar(&archive.tar(), "");
        let unpacked = Built::folder(&archive, "");
        assert_same(&tree(&unpacked.site()), &tree(&packed.site()));
    }
}
