//! Regressions that users found: a site that is damaged is mended by a build that has what is
//! missing, and never made worse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::crash::is_long;
use crate::support::archive::{Archive, Image, Pack, one_file_tar};
use crate::support::files::digest;
use crate::support::site::{
    SMALL, assert_same, build, inodes, small_site, stderr, stillage, tree, verify,
};
use crate::support::temp::TempDir;

const SOURCE: &str = "fixtures/docker-20.10.tar";

fn site() -> (TempDir, PathBuf) {
    let folder = TempDir::new("mend");
    let site = folder.path().join("site");
    build(&[SOURCE], &site);
    (folder, site)
}

fn run(args: &[&str], site: &Path) -> Output {
    stillage(["build", "-o", site.to_str().unwrap()])
        .args(args)
        .output()
        .unwrap()
}

/// Every blob that is cut, longer than it was, or gone comes back from the source, with all its names.
#[test]
fn damaged_blobs_are_mended_from_their_source() {
    let (_folder, site) = site();
    let before = tree(&site);
    let blobs: Vec<PathBuf> = fs::read_dir(site.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(blobs.len() > 10);
    for blob in &blobs {
        let bytes = fs::read(blob).unwrap();
        for damaged in [
            Some(&bytes[..0]),
            Some(&bytes[..bytes.len() - 1]),
            Some(&[&bytes[..], b"xx"].concat()[..]),
            None,
        ] {
            match damaged {
                Some(damaged) => fs::write(blob, damaged).unwrap(),
                None => fs::remove_file(blob).unwrap(),
            }
            build(&[SOURCE], &site);
            assert_same(&tree(&site), &before);
        }
    }
    verify(&site);
}

/// The same for layers of v1, which a site keeps as they are otherwise.
#[test]
fn damaged_v1_layers_are_mended() {
    let (_folder, site) = site();
    let before = tree(&site);
    for entry in fs::read_dir(site.join("v1/images")).unwrap() {
        let layer = entry.unwrap().path().join("layer");
        let bytes = fs::read(&layer).unwrap();
        for damaged in [&bytes[..0], &bytes[..bytes.len() / 2]] {
            fs::write(&layer, damaged).unwrap();
            build(&[SOURCE], &site);
            assert_same(&tree(&site), &before);
        }
    }
}

/// A mirror of the same image in another compression: the v1 layers stay, and a checksum vouches for
/// what no blob does any more.
#[test]
fn a_mirror_of_other_compressions_verifies() {
    for (first, second) in [
        (
            "fixtures/dir-s2=a:1",
            "fixtures/podman-4.3-docker-archive.tar=a:1",
        ),
        ("fixtures/distribution-2.8", "fixtures/docker-20.10.tar"),
        ("fixtures/oci-layout", "fixtures/oci-layout-zstd"),
    ] {
        let folder = TempDir::new("mirror");
        let site = folder.path().join("site");
        build(&[first], &site);
        let layers = |site: &Path| {
            tree(site)
                .into_iter()
                .filter(|(name, _)| name.ends_with("/layer"))
                .collect::<Vec<_>>()
        };
        let before = layers(&site);
        build(&[second, "--mirror"], &site);
        verify(&site);
        for layer in before {
            assert!(
                layers(&site).contains(&layer),
                "{} is never given other content",
                layer.0
            );
        }
        let after = inodes(&site);
        build(&[second, "--mirror"], &site);
        assert_same(&inodes(&site), &after);
    }
}

#[test]
fn a_selection_that_selects_nothing_is_an_error() {
    let (_folder, site) = site();
    let before = tree(&site);
    for args in [
        vec![SOURCE, "--mirror", "--only", "smaple/hello"],
        vec![SOURCE, "--exclude", "**"],
    ] {
        let output = run(&args, &site);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            stderr(&output).contains("`sample/hello`"),
            "{}",
            stderr(&output)
        );
        assert_same(&tree(&site), &before);
    }
}

#[test]
fn what_moved_and_what_was_dropped_is_said() {
    let (_folder, site) = site();
    let args = ["fixtures/dir-oci=sample/child:2.0", "--mirror", "--dry-run"];
    for (args, done) in [(&args[..], false), (&args[..2], true)] {
        let output = run(args, &site);
        for line in [
            "moved sample/child:2.0 from sha256:e3c8727b",
            "removed sample/hello:1.0",
            "removed tiny:1",
        ] {
            assert!(stderr(&output).contains(line), "{}", stderr(&output));
        }
        assert_eq!(!site.join("v2/tiny/tags/list").exists(), done);
    }
}

/// `x` and `library/x` name one repository wherever a reference is given.
#[test]
fn one_image_of_a_registry_or_site_can_be_selected() {
    let (_folder, full) = site();
    let site = format!("site:{}", full.display());
    for source in [
        "registry-v2:fixtures/distribution-2.8",
        "registry-v1:fixtures/docker-registry-0.9.1",
        &site,
    ] {
        for name in ["tiny:1", "library/tiny:1"] {
            let folder = TempDir::new("select");
            build(&[format!("{source}:{name}")], folder.path());
            let catalog = fs::read_to_string(folder.path().join("v2/_catalog")).unwrap();
            assert_eq!(catalog, r#"{"repositories":["tiny"]}"#, "{source}:{name}");
        }
    }
    let folder = TempDir::new("latest");
    build(
        &["registry-v2:fixtures/distribution-2.8:sample/hello"],
        folder.path(),
    );
    assert!(
        folder
            .path()
            .join("v2/sample/hello/manifests/latest")
            .exists()
    );
}

/// A crash can leave a v1 image without its ancestry, in sites of earlier versions too.
#[test]
fn a_lost_ancestry_comes_back() {
    let (_folder, site) = site();
    let before = tree(&site);
    for entry in fs::read_dir(site.join("v1/images")).unwrap() {
        fs::remove_file(entry.unwrap().path().join("ancestry")).unwrap();
    }
    build(&[SOURCE], &site);
    assert_same(&tree(&site), &before);
}

/// A damaged blob is mended in the repositories that the sources do not name, too.
#[test]
fn a_damaged_blob_is_mended_in_every_repository() {
    let folder = TempDir::new("shared");
    let (site, sources) = (folder.path().join("site"), folder.path().join("sources"));
    let text = "some text ".repeat(4000);
    let source = |name: &str| {
        let path = sources.join(name);
        Archive::oci(&[Image::new(&[&format!("{name}:1")])
            .packed(Pack::Plain)
            .layer("file", &text)])
        .folder(&path);
        path.to_str().unwrap().to_owned()
    };
    let (one, other) = (source("one"), source("other"));
    build(&[&one, &other], &site);
    let before = tree(&site);
    for entry in fs::read_dir(site.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if bytes.len() > 10_000 {
            fs::write(&path, &bytes[..100]).unwrap();
        }
    }
    build(&[&one], &site);
    assert_same(&tree(&site), &before);
    verify(&site);
}

/// A manifest that is also a blob of an artifact, longer than what is copied.
#[test]
fn a_manifest_can_be_a_blob_of_another() {
    let folder = TempDir::new("blob");
    let (source, site) = (folder.path().join("source"), folder.path().join("site"));
    let image = Image::new(&["app:1"])
        .layer("file", "text")
        .manifest(|manifest| manifest["annotations"] = json!({"long": "x".repeat(9000)}));
    let mut archive = Archive::oci(&[image]);
    let entry = {
        let index: Value = serde_json::from_slice(archive.bytes("index.json")).unwrap();
        index["manifests"][0].clone()
    };
    let layer =
        json!({"mediaType": "text/plain", "digest": entry["digest"], "size": entry["size"]});
    let config = archive.blob("application/vnd.oci.empty.v1+json", b"{}");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "artifactType": "application/test",
        "config": config,
        "layers": [layer],
    });
    let mut artifact = archive.blob(media_type, artifact.to_string().as_bytes());
    artifact["annotations"] = json!({"org.opencontainers.image.ref.name": "app:2"});
    archive
        .edit_json("index.json", |index| {
            index["manifests"].as_array_mut().unwrap().push(artifact);
        })
        .folder(&source);
    let source = source.to_str().unwrap();
    build(&[source], &site);
    verify(&site);
    let before = inodes(&site);
    build(&[source], &site);
    assert_same(&inodes(&site), &before);
}

/// Schema 1 has one digest with and without signatures; the site's form stays for all repositories.
#[test]
fn signatures_of_another_repository_stay() {
    let folder = TempDir::new("signed");
    let site = folder.path().join("site");
    let layer = one_file_tar("file", "text");
    let body = format!(
        "{{\n   \"schemaVersion\": 1,\n   \"name\": \"x\",\n   \"tag\": \"1\",\n   \"architecture\": \"amd64\",\n   \
         \"fsLayers\": [{{\"blobSum\": \"{}\"}}],\n   \"history\": [{{\"v1Compatibility\": \"{{}}\"}}]",
        digest(&layer)
    );
    let plain = format!("{body}\n}}");
    let base64 = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let protected = json!({"formatLength": body.len(), "formatTail": base64("\n}"), "time": "t"});
    let signature = json!({"header": {"alg": "ES256"}, "signature": "abcd", "protected": base64(&protected.to_string())});
    let signed = format!("{body},\n   \"signatures\": [{signature}]\n}}");
    let source = |name: &str, kind: &str, bytes: &str| {
        let path = folder.path().join(name);
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        fs::write(blobs.join(&digest(&layer)[7..]), &layer).unwrap();
        fs::write(blobs.join(&digest(plain.as_bytes())[7..]), bytes).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": format!("application/vnd.docker.distribution.manifest.v1+{kind}"),
            "digest": digest(plain.as_bytes()),
            "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": format!("{name}:1")},
        }]});
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    build(&[source("one", "prettyjws", &signed)], &site);
    build(&[source("other", "json", &plain)], &site);
    verify(&site);
    for name in ["one", "other"] {
        let served = fs::read_to_string(site.join(format!("v2/{name}/manifests/1"))).unwrap();
        assert_eq!(served, signed);
    }
}

/// What `verify` says in the end is what mends the site, whatever is lost or damaged.
#[test]
fn the_advice_of_verify_is_true() {
    let folder = small_site();
    let site = folder.path();
    let whole = tree(site);
    let findings = || -> Vec<Value> {
        let mut verify = stillage(["verify", "--json"]);
        serde_json::from_slice(&verify.arg(site).output().unwrap().stdout).unwrap()
    };
    let files = whole
        .iter()
        .filter(|(path, (_, content))| content != "folder" && *path != "index.json")
        .map(|(path, _)| path);
    let files: Vec<&String> = files.step_by(if is_long() { 1 } else { 9 }).collect();
    assert!(files.len() > 30);
    for (path, is_lost) in files.iter().flat_map(|path| [(path, true), (path, false)]) {
        let file = site.join(path);
        let mut bytes = fs::read(&file).unwrap();
        if is_lost {
            fs::remove_file(&file).unwrap();
        } else {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            // Under all of its names.
            fs::write(&file, bytes).unwrap();
        }
        for finding in findings() {
            let found = site.join(finding["path"].as_str().unwrap());
            if finding["kind"] == "damaged" && found.is_dir() {
                fs::remove_dir_all(found).unwrap();
            } else if finding["kind"] == "damaged" && found.exists() {
                fs::remove_file(found).unwrap();
            }
        }
        build(&SMALL, site);
        assert_eq!(findings(), Vec::<Value>::new(), "{path}, lost: {is_lost}");
        assert_same(&whole, &tree(site));
    }
    fs::write(site.join("v2/README"), "mine").unwrap();
    let said = stderr(&stillage(["verify"]).arg(site).output().unwrap());
    assert!(
        said.contains("hint: files that do not belong to the site"),
        "{said}"
    );
}
