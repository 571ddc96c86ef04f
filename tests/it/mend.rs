//! Regressions that users found: a site that is damaged is mended by a build that has what is
//! missing, and never made worse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::site::{assert_same, build, inodes, stillage, succeed, tree};
use crate::support::temp::TempDir;

const SOURCE: &str = "fixtures/docker-20.10.tar";

fn site() -> (TempDir, PathBuf) {
    let folder = TempDir::new("mend");
    let site = folder.path().join("site");
    build(&[SOURCE], &site);
    (folder, site)
}

fn verify(site: &Path) {
    succeed(&mut stillage(["verify", site.to_str().unwrap()]));
}

fn run(args: &[&str], site: &Path) -> Output {
    stillage(["build", "-o", site.to_str().unwrap()])
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
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
            "moved sample/child:2.0 from sha256:738e2e01",
            "dropped sample/hello:1.0",
            "dropped tiny:1",
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
