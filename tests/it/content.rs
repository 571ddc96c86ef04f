//! What manifests point to: configs and layers of unusual types, foreign layers, and what fallback tags list.

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::collections::{IMAGE, layout};
use crate::support::files::digest;
use crate::support::place::{Place, image};
use crate::support::site::{assert_same, json as read, stderr, stillage, tree, verify};

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
    assert!(stillage(prune).output().unwrap().status.success());
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

/// What a format without URLs cannot say is an error, and the others say it.
#[test]
fn get_takes_foreign_layers_that_the_site_has() {
    let place = Place::new();
    let source = place.layout("layout", &[windows("win:1", Some(url()))]);
    for (option, has_it) in [(None, false), (Some("--include-foreign"), true)] {
        let arguments: Vec<&str> = [source.as_str()].into_iter().chain(option).collect();
        place.build(&arguments);
        let digest = read(place.site().join("v2/win/manifests/1"))["layers"][0]["digest"].clone();
        let hex = digest.as_str().unwrap().replace("sha256:", "");
        for format in ["hybrid", "oci-archive", "docker", "oci", "dir"] {
            let out = place.site().with_extension(format!("{format}-{has_it}"));
            let site = place.site();
            let get = [
                "get",
                site.to_str().unwrap(),
                "win:1",
                "--format",
                format,
                "-o",
            ];
            let output = stillage(get).arg(&out).output().unwrap();
            if format == "docker" && !has_it {
                assert_eq!(output.status.code(), Some(1), "{output:?}");
                let said = stderr(&output);
                assert!(said.contains("lacks foreign layers"), "{said}");
                continue;
            }
            assert!(output.status.success(), "{format}: {output:?}");
            match format {
                "oci" => assert_eq!(out.join("blobs/sha256").join(&hex).exists(), has_it),
                "dir" => assert_eq!(out.join(&hex).exists(), has_it),
                _ => {}
            }
        }
    }
}

/// A build loads no more than the repositories that it changes.
#[test]
fn a_repository_serves_a_foreign_layer_whatever_others_do() {
    let place = Place::new();
    let with = place.layout("with", &[windows("win:1", Some(url()))]);
    place.build(&[&with, "--include-foreign"]);
    // The same manifest elsewhere, without the layer.
    place.build(&[&format!("{with}=other")]);
    let digest = layer(&place, "win").replace("v2/win/", "");
    assert!(place.has(&format!("v2/win/{digest}")));
    assert!(!place.has(&format!("v2/other/{digest}")));
    place.build(&[&format!("{with}=other"), "--include-foreign"]);
    assert!(place.has(&format!("v2/other/{digest}")));
}

/// A `dir:` folder with a signature by GPG, or what looks like one.
fn signed(place: &Place, name: &str, signature: &[u8]) -> String {
    let archive = Archive::dir(&image("", "signed")).file("signature-1", signature);
    archive.folder(&place.path(name));
    format!("dir:{}", place.path(name).display())
}

#[test]
fn odd_signatures_are_left_out() {
    let place = Place::new();
    let source = signed(&place, "odd", b"\x88\x01signed");
    let folder = place.path("odd");
    std::fs::write(place.path("secret"), b"\x90secret").unwrap();
    std::os::unix::fs::symlink(place.path("secret"), folder.join("signature-2")).unwrap();
    std::fs::create_dir(folder.join("signature-3")).unwrap();
    std::fs::write(folder.join("signature-4"), vec![0x88; 5 << 20]).unwrap();
    std::fs::write(folder.join("signature-5"), b"-----BEGIN PGP").unwrap();
    std::fs::write(folder.join("signature-6"), b"\x88\x01signed twice").unwrap();
    let said = stderr(&place.build(&[&format!("{source}=app:1")]));
    for number in 2..6 {
        assert!(
            said.contains(&format!("signature-{number}` is left out")),
            "{said}"
        );
    }
    let hex = image("", "signed").manifest_digest().replace("sha256:", "");
    let served = |number: u32| place.has(&format!("lookaside/app@sha256={hex}/signature-{number}"));
    assert!(served(1) && served(2) && !served(3));
    // A selection holds for signatures in a tag.
    let sigstore = b"\0sigstore-json\n{\"mimeType\":\"x/y\",\"payload\":\"eyJ9\"}";
    let place = Place::new();
    let source = signed(&place, "sigstore", sigstore);
    place.build(&[&format!("{source}=app:1"), "--exclude", "app:sha256-*"]);
    assert!(!place.has(&format!("v2/app/manifests/sha256-{hex}.sig")));
    place.build(&[&format!("{source}=app:1")]);
    assert!(place.has(&format!("v2/app/manifests/sha256-{hex}.sig")));
}

#[test]
fn a_lost_signature_does_not_stop_a_build_and_a_withdrawn_one_goes() {
    let place = Place::new();
    let signature = b"\x88\x01signed";
    place.build(&[&format!("{}=app:1", signed(&place, "signed", signature))]);
    let site = place.site();
    let hex = digest(signature).replace("sha256:", "");
    // Its other name is enough.
    std::fs::remove_file(site.join(format!("blobs/sha256/{hex}"))).unwrap();
    let copy = Place::new();
    copy.build(&[site.to_str().unwrap()]);
    assert!(copy.has("lookaside") && copy.has(&format!("blobs/sha256/{hex}")));
    std::fs::remove_dir_all(site.join("lookaside")).unwrap();
    let copy = Place::new();
    let said = stderr(&copy.build(&[site.to_str().unwrap()]));
    assert!(said.contains("the signature sha256:"), "{said}");
    assert!(copy.has("v2/app/manifests/1") && !copy.has("lookaside"));
    // A mirror has the signatures of its sources alone.
    let place = Place::new();
    place.build(&[&format!("{}=app:1", signed(&place, "signed", signature))]);
    Archive::dir(&image("", "signed")).folder(&place.path("bare"));
    let bare = format!("dir:{}=app:1", place.path("bare").display());
    let mut build = stillage([
        "build",
        "--mirror",
        "-o",
        place.site().to_str().unwrap(),
        &bare,
    ]);
    assert!(build.output().unwrap().status.success());
    let mut prune = stillage(["prune", place.site().to_str().unwrap()]);
    assert!(prune.output().unwrap().status.success());
    assert!(!place.has("lookaside"));
    verify(&place.site());
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

/// What is attached to an image, and to that, comes along from every kind of source.
#[test]
fn attachments_of_attachments_travel() {
    let attached = |to: &str, kind: &str| format!("app:{}.{kind}", to.replace(':', "-"));
    let good = image("app:1", "good");
    let to = good.manifest_digest();
    let subject = to.clone();
    let bill = Image::new(&[])
        .layer("etc/text", "bill")
        .manifest(move |manifest| {
            manifest["artifactType"] = "application/x.bill".into();
            manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
        });
    let of_bill = image(
        &attached(&bill.manifest_digest(), "sig"),
        "signature of the bill",
    );
    let of_that = image(
        &attached(&of_bill.manifest_digest(), "att"),
        "about the signature",
    );
    let of_good = image(&attached(&to, "sig"), "signature");
    let other = image("app:2", "other");
    let of_other = image(
        &attached(&other.manifest_digest(), "sig"),
        "signature of the other",
    );
    let place = Place::new();
    let layout = place.layout(
        "layout",
        &[good, bill, of_bill, of_that, of_good, other, of_other],
    );
    place.build(&[&layout]);
    let copy = std::process::Command::new("cp")
        .arg("-R")
        .args([place.site().join("v2"), place.path("v2")])
        .status();
    assert!(copy.unwrap().success());
    let from_layout = Place::new();
    from_layout.build(&[&format!("oci:{layout}:app:1")]);
    let tags = read(from_layout.site().join("v2/app/tags/list"))["tags"].clone();
    assert_eq!(tags.as_array().unwrap().len(), 4, "{tags}");
    for source in [
        format!("site:{}:app:1", place.site().display()),
        format!("static-v2:{}:app:1", place.path("v2").display()),
    ] {
        let copy = Place::new();
        copy.build(&[&source]);
        assert_same(&tree(&copy.site()), &tree(&from_layout.site()));
    }
    place.refused(
        &[&format!("oci:{layout}:app:3")],
        2,
        "holds no image `app:3`",
    );
}
