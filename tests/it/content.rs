//! What manifests point to: configs and layers of unusual types, foreign layers, and what fallback tags list.

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::collections::{IMAGE, layout};
use crate::support::files::digest;
use crate::support::place::{Place, image};
use crate::support::site::{json as read, stderr, stillage, tree, verify};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// An image of schema 2 whose config has this type.
fn with_config(name: &str, media_type: &'static str) -> Image {
    image(name, "x").manifest(move |manifest| {
        manifest["mediaType"] = DOCKER_MANIFEST.into();
        manifest["config"]["mediaType"] = media_type.into();
        let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        manifest["layers"][0]["mediaType"] = layer.into();
    })
}

fn docker(archive: Archive) -> Archive {
    archive.edit_json("index.json", |index| {
        for entry in index["manifests"].as_array_mut().unwrap() {
            entry["mediaType"] = DOCKER_MANIFEST.into();
        }
    })
}

/// Docker 1.10 and 1.11 pushed such images.
#[test]
fn configs_of_schema_2_may_have_other_types() {
    for media_type in [
        "application/octet-stream",
        "application/json",
        "text/html",
        "",
    ] {
        let place = Place::new();
        docker(Archive::oci(&[with_config("app:1", media_type)])).folder(&place.path("layout"));
        place.build(&[place.path("layout").to_str().unwrap()]);
        assert!(
            place.has("v1/repositories/library/app/tags/1"),
            "{media_type}"
        );
        let lying = with_config("app:1", media_type)
            .config(|config| config["rootfs"]["diff_ids"][0] = digest(b"other").into());
        docker(Archive::oci(&[lying])).folder(&place.path("lying"));
        place.refused(
            &[place.path("lying").to_str().unwrap()],
            1,
            "has the diff ID",
        );
    }
}

#[test]
fn layers_of_unknown_types_have_no_v1_form() {
    let place = Place::new();
    let erofs = |manifest: &mut Value| {
        manifest["layers"][0]["mediaType"] = "application/vnd.erofs.layer.v1".into();
    };
    let bare = |manifest: &mut Value| {
        manifest["artifactType"] = "application/x".into();
        manifest.as_object_mut().unwrap().remove("config");
    };
    let images = [
        image("erofs:1", "e").manifest(erofs),
        image("bare:1", "b").manifest(bare),
    ];
    let output = place.build(&[&place.layout("layout", &images)]);
    let said = stderr(&output);
    assert!(
        said.contains("erofs:1 has no v1 form: its layers are not all tars"),
        "{said}"
    );
    assert!(
        said.contains("bare:1 has no v1 form: it is not an image"),
        "{said}"
    );
    assert_eq!(
        read(place.site().join("v2/erofs/manifests/1"))["mediaType"],
        IMAGE
    );
    let bare = read(place.site().join("v2/bare/manifests/1"));
    let layer = bare["layers"][0]["digest"].as_str().unwrap();
    assert!(place.has(&format!("v2/bare/blobs/{layer}")));
}

/// An image with a foreign layer; `urls` is its list of URLs.
fn windows(name: &str, urls: Option<Value>) -> Image {
    image(name, name).manifest(move |manifest| {
        manifest["layers"][0]["mediaType"] = FOREIGN.into();
        if let Some(urls) = &urls {
            manifest["layers"][0]["urls"] = urls.clone();
        }
    })
}

fn url() -> Value {
    json!(["https://mcr.example/layer"])
}

/// The layer of `name:1` in the site.
fn layer(place: &Place, name: &str) -> String {
    let manifest = read(place.site().join(format!("v2/{name}/manifests/1")));
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    format!("v2/{name}/blobs/{digest}")
}

#[test]
fn foreign_layers_without_urls_are_served() {
    let place = Place::new();
    let images = [windows("none:1", None), windows("empty:1", Some(json!([])))];
    place.build(&[&place.layout("layout", &images)]);
    for name in ["none", "empty"] {
        assert!(place.has(&layer(&place, name)), "{name}");
        assert!(place.has(&format!("v1/repositories/library/{name}/tags/1")));
    }
    // Nobody can pull one that is missing.
    let place = Place::new();
    let lost = |urls: Option<Value>| {
        move |archive: &mut Archive, _: &mut Vec<Value>| {
            let lost = windows("lost:1", urls).manifest_digest();
            *archive = archive
                .clone()
                .drop(&super::support::collections::layer_of(archive, &lost));
        }
    };
    let source = layout(&place, &[windows("lost:1", None)], lost(None));
    let said = stderr(&place.build(&[&source]));
    assert!(said.contains("`lost:1` is left out"), "{said}");
    place.refused(&[&format!("oci:{source}:lost:1")], 1, "is missing in");
    // With URLs, clients need not get it here.
    let place = Place::new();
    let source = layout(&place, &[windows("lost:1", Some(url()))], lost(Some(url())));
    place.build(&[&source, "--strict"]);
    assert!(!place.has(&layer(&place, "lost")) && place.has("v2/lost/manifests/1"));
}

#[test]
fn foreign_layers_with_urls_are_served_if_asked_for() {
    let place = Place::new();
    let source = place.layout("layout", &[windows("win:1", Some(url()))]);
    let said = stderr(&place.build(&[&source]));
    assert!(
        said.contains("serve it too with `--include-foreign`"),
        "{said}"
    );
    assert!(!place.has(&layer(&place, "win")));
    place.build(&[&source, "--include-foreign"]);
    let path = layer(&place, "win");
    assert!(place.has(&path));
    // It stays: in this site without the option, through a prune, and in sites that are built from this.
    let before = tree(&place.site());
    place.build(&[&source]);
    let site = place.site();
    let prune = ["prune", "--grace", "0s", site.to_str().unwrap()];
    assert!(stillage(prune).status().unwrap().success());
    assert_eq!(tree(&site), before);
    let copy = Place::new();
    copy.build(&[site.to_str().unwrap()]);
    assert!(copy.has(&path));
    std::fs::remove_file(site.join(&path)).unwrap();
    let mut check = stillage(["verify", site.to_str().unwrap()]);
    assert_eq!(check.output().unwrap().status.code(), Some(1));
    copy.build(&[&format!("site:{}:win:1", copy.site().display())]);
    verify(&copy.site());
}

/// An image without a subject, which only a fallback tag attaches (distribution-spec, "Referrers Tag Schema").
#[test]
fn what_a_fallback_tag_lists_is_described_by_its_manifest() {
    let place = Place::new();
    let report = image("", "report").manifest(|manifest| {
        manifest["artifactType"] = "application/x.report".into();
        manifest["annotations"] = json!({"title": "a report"});
    });
    let subject = image("good:1", "good").manifest_digest();
    let name = format!("good:{}", subject.replace(':', "-"));
    let index = Image::index(&[&name], vec![report]);
    place.build(&[&place.layout("layout", &[image("good:1", "good"), index])]);
    let referrers = read(place.site().join(format!("v2/good/referrers/{subject}")));
    assert_eq!(
        referrers["manifests"][0]["artifactType"],
        "application/x.report"
    );
    assert_eq!(
        referrers["manifests"][0]["annotations"],
        json!({"title": "a report"})
    );
}
