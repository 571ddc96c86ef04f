//! What is damaged in a site does not come out of it whole.

use std::fs;

use super::{get, site};
use crate::support::site::json;

/// Each byte of what the site has is looked at before its archive is whole.
#[test]
fn a_flipped_byte_ends_the_stream() {
    let site = site();
    let ask = |format: &str| get(site.path(), &["zstd:1.0", "--format", format]);
    let formats = ["hybrid", "docker", "docker-1", "oci-archive"];
    let whole = formats.map(|format| ask(format).stdout);
    let manifest = json(site.path().join("v2/zstd/manifests/1.0"));
    let layers = manifest["layers"].as_array().unwrap().iter();
    let blobs = layers.chain([&manifest["config"]]);
    let mut refused = 0;
    for blob in blobs.map(|blob| blob["digest"].as_str().unwrap().replace("sha256:", "")) {
        let path = site.path().join("blobs/sha256").join(&blob);
        let right = fs::read(&path).unwrap();
        for at in [0, right.len() / 2, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            fs::write(&path, &wrong).unwrap();
            for (format, whole) in formats.iter().zip(&whole) {
                let out = ask(format);
                if out.status.success() {
                    // The site has it under another name too.
                    assert!(out.stdout == *whole, "{format} {blob} {at}");
                    continue;
                }
                refused += 1;
                assert_eq!(out.status.code(), Some(1), "{format} {blob} {at}");
                assert!(!out.stdout.ends_with(&[0; 1024]), "{format} {blob} {at}");
                let file = site.path().with_extension("tar");
                let more = ["zstd:1.0", "--format", format, "-o", file.to_str().unwrap()];
                assert_eq!(get(site.path(), &more).status.code(), Some(1));
                assert!(!file.exists());
            }
        }
        fs::write(&path, &right).unwrap();
    }
    assert!(refused >= 3 * 3 * 2, "{refused}");
    assert_eq!(ask("hybrid").stdout, whole[0]);
}

#[test]
fn a_damaged_v1_layer_ends_the_stream() {
    let site = site();
    let id = json(site.path().join("v1/repositories/old/tags/1"));
    for file in ["layer", "json"] {
        let path = site
            .path()
            .join(format!("v1/images/{}/{file}", id.as_str().unwrap()));
        let right = fs::read(&path).unwrap();
        let mut wrong = right.clone();
        let last = wrong.len() - 2;
        wrong[last] ^= 1;
        fs::write(&path, &wrong).unwrap();
        for format in ["docker", "docker-1"] {
            let out = get(site.path(), &["old:1", "--format", format]);
            assert_ne!(out.status.code(), Some(0), "{file} {format}");
            assert!(!out.stdout.ends_with(&[0; 1024]), "{file} {format}");
        }
        fs::write(&path, &right).unwrap();
    }
}
