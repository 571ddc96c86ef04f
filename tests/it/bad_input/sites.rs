//! Sites that somebody else has made, as sources.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::run::{Case, TIME, app, case, check, run, text};
use crate::support::archive::{Archive, Image};
use crate::support::temp::TempDir;

/// A site of an image from before Docker 1.10, something done to it.
fn site(name: &'static str, words: &[&'static str], change: fn(&Path)) -> Case {
    case(name, words, move |folder| {
        let path = folder.join("bad");
        build(folder, &Archive::docker_1(&[app()]), &path, &[]);
        change(&path);
        vec![text(&path)]
    })
}

fn build(folder: &Path, archive: &Archive, site: &Path, more: &[&str]) {
    let source = folder.join("source.tar");
    fs::write(&source, archive.tar()).unwrap();
    let mut args = ["build", &text(&source), "-o", &text(site)]
        .map(ToString::to_string)
        .to_vec();
    args.extend(more.iter().map(ToString::to_string));
    let ran = run(&args, TIME, folder);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

fn catalogue(site: &Path, edit: impl FnOnce(&mut Value)) {
    let path = site.join("index.json");
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(&path, value.to_string()).unwrap();
}

fn entry(site: &Path, edit: impl FnOnce(&mut Value)) {
    catalogue(site, |index| edit(&mut index["manifests"][0]));
}

fn manifest(site: &Path) -> PathBuf {
    let mut digest = String::new();
    entry(site, |entry| {
        digest = entry["digest"].as_str().unwrap().replace(':', "/")
    });
    site.join("blobs").join(digest)
}

/// A file of the top v1 image.
fn v1(site: &Path, name: &str) -> PathBuf {
    site.join("v1/images")
        .join(Archive::v1_id(&app(), 1))
        .join(name)
}

/// Changes bytes without a change of their number; a file of many names is unlinked first.
fn overwrite(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path) {
    overwrite(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

/// Deletes all names of a blob.
fn lose(site: &Path, blob: &Path) {
    lose_others(site, blob);
    fs::remove_file(blob).unwrap();
}

/// Deletes the names of a blob in repositories.
fn lose_others(site: &Path, blob: &Path) {
    let digest = format!("sha256:{}", blob.file_name().unwrap().to_str().unwrap());
    for name in ["app", "library/app"] {
        for file in ["blobs/DIGEST", "manifests/DIGEST", "manifests/1"] {
            let file = file.replace("DIGEST", &digest);
            let _ = fs::remove_file(site.join("v2").join(name).join(file));
        }
    }
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[test]
fn catalogues() {
    check(vec![
        site("the site that the others are made of", &[], |_| ()).taken(),
        site("cut", &["index.json"], |site| {
            overwrite(&site.join("index.json"), |bytes| bytes.truncate(99))
        }),
        site("of another format", &["`9`", "hint:"], |site| {
            catalogue(site, |index| {
                index["annotations"]["org.stillage.format"] = "9".into()
            });
        }),
        site("of a format that drives a terminal", &["\\x1b"], |site| {
            catalogue(site, |index| {
                index["annotations"]["org.stillage.format"] = "\u{1b}c".into()
            });
        }),
        site("an entry without a name", &["/bad", "no name"], |site| {
            entry(site, |entry| entry["annotations"] = json!({}));
        }),
        site("a repository outside", &["/bad", "`../x`"], |site| {
            entry(site, |entry| {
                entry["annotations"][REF_NAME] = "../x:1".into()
            })
        }),
        site("a tag index.html", &["/bad", "`index.html`"], |site| {
            entry(site, |entry| {
                entry["annotations"][REF_NAME] = "app:index.html".into()
            });
        }),
        site("a host", &["/bad", "`Host.example:5000/app`"], |site| {
            entry(site, |entry| {
                entry["annotations"][REF_NAME] = "Host.example:5000/app:1".into()
            });
        }),
        site(
            "a v1 id that is a path",
            &["/bad", "is not a v1 image id"],
            |site| {
                entry(site, |entry| {
                    entry["annotations"]["org.stillage.v1.id"] = "../../../etc".into()
                });
            },
        ),
        site(
            "a v1 id of nothing",
            &["/bad", "the v1 image 000", "is missing"],
            |site| {
                entry(site, |entry| {
                    entry["annotations"]["org.stillage.v1.id"] = "0".repeat(64).into()
                });
            },
        ),
        site(
            "a wrong size",
            &["blobs/sha256/", " bytes, not 3"],
            |site| entry(site, |entry| entry["size"] = json!(3)),
        ),
        site("a digest of nothing", &["/bad", "is missing"], |site| {
            entry(site, |entry| {
                entry["digest"] = format!("sha256:{}", "0".repeat(64)).into()
            });
        }),
        site("one tag for two manifests", &["/bad", "`app:1`"], |site| {
            catalogue(site, |index| {
                let list = index["manifests"].as_array_mut().unwrap();
                let mut other = list[0].clone();
                other["digest"] = format!("sha256:{}", "0".repeat(64)).into();
                list.push(other);
            });
        }),
    ]);
}

#[test]
fn content() {
    check(vec![
        site("a manifest with a wrong bit", &["blobs/sha256/"], |site| {
            flip(&manifest(site));
            lose_others(site, &manifest(site));
        }),
        site(
            "a manifest with a wrong bit and a whole copy",
            &[],
            |site| flip(&manifest(site)),
        )
        .taken(),
        site(
            "a manifest that is missing",
            &["/bad", "is missing"],
            |site| lose(site, &manifest(site)),
        ),
        site("a manifest with its other name only", &[], |site| {
            fs::remove_file(manifest(site)).unwrap()
        })
        .taken(),
        site("a config with its other name only", &[], |site| {
            fs::remove_file(config(site)).unwrap()
        })
        .taken(),
        site(
            "a config with a wrong bit",
            &["blobs/sha256/", "has the digest"],
            |site| flip(&config(site)),
        ),
        site(
            "a config that is missing",
            &["/bad", "is missing"],
            |site| lose(site, &config(site)),
        ),
        site(
            "a v1 JSON with a wrong bit",
            &["/bad", "the v1 image"],
            |site| flip(&v1(site, "json")),
        ),
        site(
            "a v1 JSON that is missing",
            &["/bad", "is missing"],
            |site| fs::remove_file(v1(site, "json")).unwrap(),
        ),
        site(
            "a v1 layer with a wrong bit",
            &["has the checksum", "which is not in"],
            |site| flip(&v1(site, "layer")),
        ),
        site("a v1 layer that is missing", &["is missing"], |site| {
            fs::remove_file(v1(site, "layer")).unwrap()
        }),
        site(
            "a v1 layer that is a folder",
            &["layer` is not a regular file"],
            |site| {
                fs::remove_file(v1(site, "layer")).unwrap();
                fs::create_dir(v1(site, "layer")).unwrap();
            },
        ),
        site(
            "a checksum that is none",
            &["checksum`", "is not a digest"],
            |site| fs::write(v1(site, "checksum"), "x").unwrap(),
        ),
        site("a checksum of a device", &["checksum"], |site| {
            fs::remove_file(v1(site, "checksum")).unwrap();
            symlink("/dev/zero", v1(site, "checksum")).unwrap();
        }),
        site("no checksum", &["/bad", "checksum"], |site| {
            fs::remove_file(v1(site, "checksum")).unwrap()
        }),
        site(
            "a v1 layer that is a link to a secret, and no checksum",
            &["/bad"],
            |site| {
                fs::remove_file(v1(site, "checksum")).unwrap();
                fs::remove_file(v1(site, "layer")).unwrap();
                symlink("/etc/passwd", v1(site, "layer")).unwrap();
            },
        ),
        site(
            "a parent of itself, and no checksum",
            &["form a cycle"],
            |site| {
                let id = Archive::v1_id(&app(), 1);
                fs::remove_file(v1(site, "checksum")).unwrap();
                fs::write(
                    v1(site, "json"),
                    format!(r#"{{"id":"{id}","parent":"{id}"}}"#),
                )
                .unwrap();
            },
        ),
    ]);
}

fn config(site: &Path) -> PathBuf {
    let bytes = fs::read(manifest(site)).unwrap();
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    site.join("blobs").join(
        manifest["config"]["digest"]
            .as_str()
            .unwrap()
            .replace(':', "/"),
    )
}

/// An image whose config lies has no place in a site: not in one without v1 either, since v1 ids
/// would be made from the lie when v1 is added.
#[test]
fn lies_do_not_wait_for_v1() {
    let folder = TempDir::new("bad");
    let lying = app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse());
    let (layout, site) = (folder.path().join("layout"), folder.path().join("site"));
    Archive::oci(&[lying]).folder(&layout);
    let args = ["build", &text(&layout), "-o", &text(&site), "--no-v1"].map(ToString::to_string);
    let first = run(&args, TIME, folder.path());
    if first.code == Some(1) {
        return;
    }
    let source = folder.path().join("good.tar");
    fs::write(
        &source,
        Archive::docker_20(&[Image::new(&["good:1"]).layer("a", "b")]).tar(),
    )
    .unwrap();
    let args = ["build", &text(&source), "-o", &text(&site)].map(ToString::to_string);
    run(&args, TIME, folder.path());
    let tag = site.join("v1/repositories/app/tags/1");
    assert!(
        !tag.exists(),
        "v1 ids were made from diff IDs that nobody has checked"
    );
}
