//! What is attached to an image: by subject, by fallback tags, by the tags of cosign, and in the
//! layouts that tools write.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::archive::{Archive, Image};
use crate::support::clients::Docker;
use crate::support::distribution::Distribution;
use crate::support::process::{run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::{build, json as read, stillage, succeed, verify};
use crate::support::temp::TempDir;

const SBOM: &str = "application/spdx+json";

fn app(name: &str) -> Image {
    Image::new(&[name]).layer("etc/app", "app")
}

/// An artifact, attached to a manifest or not.
fn artifact(name: &[&str], subject: Option<&str>) -> Image {
    let subject = subject.map(|digest| json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}));
    let text = format!("sbom of {subject:?}");
    Image::new(name)
        .layer("sbom", &text)
        .manifest(move |manifest| {
            manifest["artifactType"] = SBOM.into();
            manifest["annotations"] = json!({"made": "by a test"});
            manifest["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
            if let Some(subject) = &subject {
                manifest["subject"] = subject.clone();
            }
        })
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

/// A layout built into a site.
fn site_of(images: &[Image], source: impl Fn(&Path) -> Vec<String>) -> (TempDir, PathBuf) {
    site_of_archive(&Archive::oci(images), source)
}

fn site_of_archive(archive: &Archive, source: impl Fn(&Path) -> Vec<String>) -> (TempDir, PathBuf) {
    let folder = TempDir::new("referrers");
    let layout = folder.path().join("layout");
    archive.folder(&layout);
    let site = folder.path().join("site");
    build(&source(&layout), &site);
    verify(&site);
    (folder, site)
}

fn all(layout: &Path) -> Vec<String> {
    vec![layout.to_str().unwrap().to_owned()]
}

fn referrers(site: &Path, name: &str, digest: &str) -> Vec<Value> {
    let index = read(site.join(format!("v2/{name}/referrers/{digest}")));
    assert_eq!(
        index["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    index["manifests"].as_array().unwrap().clone()
}

fn tags(site: &Path, name: &str) -> Value {
    read(site.join(format!("v2/{name}/tags/list")))["tags"].clone()
}

/// regclient writes a tag for clients without the referrers API; its index lists what is attached.
#[test]
fn a_fallback_tag_is_read() {
    let image = app("app:1");
    let digest = image.manifest_digest();
    let listed = artifact(&[], None);
    let fallback = Image::index(
        &[&format!("app:sha256-{}", hex(&digest))],
        vec![listed.clone()],
    );
    let (_folder, site) = site_of(&[image, fallback], all);
    let found = referrers(&site, "app", &digest);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["digest"], listed.manifest_digest());
    assert_eq!(found[0]["artifactType"], SBOM);
    assert_eq!(found[0]["annotations"]["made"], "by a test");
    let length = fs::metadata(site.join(format!("v2/app/manifests/{}", listed.manifest_digest())))
        .unwrap()
        .len();
    assert_eq!(found[0]["size"], length);
}

/// What is attached may have something attached itself.
#[test]
fn attachments_of_attachments_come_along() {
    let image = app("app:1");
    let sbom = artifact(&[], Some(&image.manifest_digest()));
    let signature = artifact(&[], Some(&sbom.manifest_digest()));
    let (_folder, site) = site_of(&[signature.clone(), sbom.clone(), image.clone()], all);
    assert_eq!(
        referrers(&site, "app", &image.manifest_digest())[0]["digest"],
        sbom.manifest_digest()
    );
    assert_eq!(
        referrers(&site, "app", &sbom.manifest_digest())[0]["digest"],
        signature.manifest_digest()
    );
    let output = succeed(&mut stillage(["list", "--json", site.to_str().unwrap()]));
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let row = listed
        .iter()
        .find(|row| row["digest"] == sbom.manifest_digest())
        .unwrap();
    assert_eq!(
        (&row["subject"], &row["artifact_type"]),
        (&json!(image.manifest_digest()), &json!(SBOM))
    );
}

/// Selected or renamed, an image keeps what is attached to it, and nothing else.
#[test]
fn attachments_follow_their_image() {
    let (image, other) = (app("app:1"), Image::new(&["other:1"]).layer("x", "y"));
    let digest = image.manifest_digest();
    let signature = format!("sha256-{}.sig", hex(&digest));
    let foreign = format!("other:sha256-{}.sig", hex(&other.manifest_digest()));
    let images = [
        image,
        other.clone(),
        artifact(&[&format!("app:{signature}")], None),
        artifact(&[&foreign], None),
        artifact(&[], Some(&digest)),
        artifact(&[], Some(&other.manifest_digest())),
    ];
    let select = |layout: &Path| vec![format!("oci:{}:app:1=new/name:2", layout.display())];
    let (_folder, site) = site_of(&images, select);
    assert_eq!(
        read(site.join("v2/_catalog"))["repositories"],
        json!(["new/name"])
    );
    assert_eq!(tags(&site, "new/name"), json!(["2", signature]));
    assert_eq!(referrers(&site, "new/name", &digest).len(), 1);

    let (_folder, site) = site_of(&images, |layout| {
        vec![
            layout.to_str().unwrap().into(),
            "--only".into(),
            "app".into(),
        ]
    });
    assert_eq!(
        read(site.join("v2/_catalog"))["repositories"],
        json!(["app"])
    );
    assert_eq!(referrers(&site, "app", &digest).len(), 1);
}

/// What is attached to a platform that is left out is left out, and named.
#[test]
fn attachments_of_other_platforms_stay_behind() {
    let arm = Image::new(&[])
        .layer("etc/arm", "arm")
        .platform("linux", "arm64");
    let amd = Image::new(&[])
        .layer("etc/amd", "amd")
        .platform("linux", "amd64");
    let attached = [
        artifact(&[], Some(&arm.manifest_digest())),
        artifact(&[], Some(&amd.manifest_digest())),
    ];
    let index = Image::index(&["app:1"], vec![arm.clone(), amd.clone()]);
    let folder = TempDir::new("platform");
    let layout = folder.path().join("layout");
    Archive::oci(&[index, attached[0].clone(), attached[1].clone()]).folder(&layout);
    let site = folder.path().join("site");
    let output = build(
        &[layout.to_str().unwrap(), "--platform", "linux/amd64"],
        &site,
    );
    assert_eq!(referrers(&site, "app", &amd.manifest_digest()).len(), 1);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(
        messages.contains(&attached[0].manifest_digest()),
        "{messages}"
    );
}

/// `cosign save` names the parts of a layout by an annotation.
#[test]
fn what_cosign_saved_is_attached() {
    let image = app("app:1");
    let digest = image.manifest_digest();
    let kinds = ["image", "sigs", "atts"];
    let images = [
        image,
        artifact(&["sigs"], None),
        artifact(&["atts"], Some(&digest)).config(|config| config["x"] = 1.into()),
    ];
    let archive = Archive::oci(&images).edit_json("index.json", |index| {
        for (entry, kind) in index["manifests"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip(kinds)
        {
            let mut annotations = json!({"kind": format!("dev.cosignproject.cosign/{kind}")});
            if kind == "image" {
                annotations["org.opencontainers.image.ref.name"] = "app:1".into();
            }
            entry["annotations"] = annotations;
        }
    });
    let (_folder, site) = site_of_archive(&archive, all);
    let expected = json!([
        "1",
        format!("sha256-{}.att", hex(&digest)),
        format!("sha256-{}.sig", hex(&digest))
    ]);
    assert_eq!(tags(&site, "app"), expected);
}

/// Schema 1 manifests, signed by Debian's registry, keep their digest and are pulled by clients that
/// still can.
#[test]
fn signed_schema_1_is_pulled() {
    let registry = Distribution::start();
    let folder = TempDir::new("schema1");
    let remote = |port: u16| format!("127.0.0.1:{port}/old/image:1");
    let skopeo = |args: &[&str]| {
        let mut skopeo = std::process::Command::new(tool("skopeo"));
        skopeo
            .arg("--insecure-policy")
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        run(&mut skopeo).unwrap()
    };
    let archive = "docker-archive:fixtures/skopeo-1.9-docker-archive.tar";
    let to = format!("docker://{}", remote(registry.port));
    skopeo(&[
        "copy",
        "-q",
        "--dest-tls-verify=false",
        "--format",
        "v2s1",
        archive,
        &to,
    ]);
    let copy = folder.path().join("dir");
    skopeo(&[
        "copy",
        "-q",
        "--src-tls-verify=false",
        &to,
        &format!("dir:{}", copy.display()),
    ]);
    let site = folder.path().join("site");
    build(&[format!("{}=old/image:1", copy.display())], &site);
    verify(&site);
    assert_eq!(
        fs::read(site.join("v2/old/image/manifests/1")).unwrap(),
        fs::read(copy.join("manifest.json")).unwrap()
    );
    assert!(site.join("v2/old/image/_types/1.s1").exists());

    let digest = |port: u16| {
        let raw = skopeo(&[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{}", remote(port)),
        ]);
        let file = folder.path().join("raw");
        fs::write(&file, raw).unwrap();
        skopeo(&["manifest-digest", file.to_str().unwrap()])
    };
    let nginx = Nginx::start(&site);
    assert_eq!(digest(nginx.port), digest(registry.port));
    let docker = Docker::start();
    let pulled = |port: u16| {
        run(docker.command().args(["pull", "--quiet", &remote(port)])).unwrap();
        docker.inspect(&remote(port)).unwrap()["Id"].clone()
    };
    assert_eq!(pulled(nginx.port), pulled(registry.port));
}
