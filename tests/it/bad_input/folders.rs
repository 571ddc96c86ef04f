//! What a folder can hold that an archive cannot, and folders of skopeo.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::run::{Case, app, case, check, folder, text};
use crate::support::archive::{Archive, Image, Kind};

fn layout() -> Archive {
    Archive::oci(&[app()])
}

fn blob(index: usize) -> String {
    layout().names("blobs/").swap_remove(index)
}

fn manifest_blob() -> String {
    format!("blobs/{}", app().manifest_digest().replace(':', "/"))
}

fn dir() -> Archive {
    Archive::dir(&app())
}

/// A folder with something done to it once it is there.
fn changed(
    name: &'static str,
    words: &[&'static str],
    make: fn() -> Archive,
    change: fn(&Path),
) -> Case {
    case(name, words, move |folder| {
        let path = folder.join("bad");
        make().folder(&path);
        change(&path);
        vec![text(&path)]
    })
}

/// The folder of skopeo with an error that blames the command line alone.
fn case_of(name: &'static str, words: &[&'static str], make: fn() -> Archive) -> Case {
    changed(name, words, make, |_| ())
}

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    let status = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}

fn replace_with_link(path: &Path, target: &str) {
    fs::remove_file(path).unwrap();
    symlink(target, path).unwrap();
}

#[test]
fn special_files() {
    check(vec![
        folder(
            "a blob that is a folder",
            &["is not a regular file"],
            || layout().drop(&blob(0)).folder_member(blob(0)),
        ),
        folder(
            "a manifest that is a folder",
            &["is not a regular file"],
            || {
                layout()
                    .drop(&manifest_blob())
                    .folder_member(manifest_blob())
            },
        ),
        folder("blobs that are a file", &["is missing"], || {
            Archive::default().file("blobs", "x").and(Archive {
                members: layout()
                    .members
                    .into_iter()
                    .filter(|m| !m.name.starts_with(b"blobs/"))
                    .collect(),
            })
        }),
        changed(
            "a blob that is a pipe",
            &["is not a regular file"],
            layout,
            |path| pipe(&path.join(blob(0))),
        ),
        changed(
            "a blob that is a device",
            &["is not a regular file"],
            layout,
            |path| {
                replace_with_link(&path.join(blob(0)), "/dev/zero");
            },
        ),
        changed(
            "a blob that is a link to another file",
            &["blobs/sha256/"],
            layout,
            |path| {
                replace_with_link(&path.join(blob(0)), "/etc/passwd");
            },
        ),
        changed(
            "a blob that is a link to nothing",
            &["is missing"],
            layout,
            |path| {
                replace_with_link(&path.join(blob(0)), "none");
            },
        ),
        changed(
            "a blob that is a link to itself",
            &["blobs/sha256/", "leads back to itself"],
            layout,
            |path| {
                let name = blob(0);
                replace_with_link(&path.join(&name), name.rsplit('/').next().unwrap());
            },
        ),
        changed(
            "a blob that is a link to the same content",
            &[],
            layout,
            |path| {
                fs::rename(path.join(blob(0)), path.join("elsewhere")).unwrap();
                symlink("../../elsewhere", path.join(blob(0))).unwrap();
            },
        )
        .taken(),
        changed("an index.json that is a folder", &["bad"], layout, |path| {
            fs::remove_file(path.join("index.json")).unwrap();
            fs::create_dir(path.join("index.json")).unwrap();
        }),
        changed(
            "an index.json that is a pipe",
            &["index.json"],
            layout,
            |path| pipe(&path.join("index.json")),
        )
        .within(3),
        changed(
            "an index.json without an end",
            &["index.json"],
            layout,
            |path| {
                replace_with_link(&path.join("index.json"), "/dev/zero");
            },
        ),
        changed("an index.json of 2 TiB", &["index.json"], layout, |path| {
            let file = fs::File::options()
                .write(true)
                .open(path.join("index.json"))
                .unwrap();
            file.set_len(2 << 40).unwrap();
        }),
        changed("a version that is a pipe", &["bad"], dir, |path| {
            pipe(&path.join("version"))
        })
        .within(3),
        changed("a version without an end", &["bad"], dir, |path| {
            replace_with_link(&path.join("version"), "/dev/zero")
        }),
        changed(
            "a version that is a folder",
            &["holds no image", "hint:"],
            dir,
            |path| {
                fs::remove_file(path.join("version")).unwrap();
                fs::create_dir(path.join("version")).unwrap();
            },
        ),
        case("a source that is a pipe", &["pipe"], |folder| {
            let path = folder.join("pipe");
            pipe(&path);
            vec![text(&path)]
        })
        .within(3),
        case(
            "a source that is a device",
            &["`/dev/zero` is neither a file nor a folder"],
            |_| vec!["/dev/zero".into()],
        ),
        case("an empty folder", &["holds no image"], |folder| {
            let path = folder.join("empty");
            fs::create_dir(&path).unwrap();
            vec![text(&path)]
        }),
        changed(
            "no oci-layout",
            &["holds no image", "hint:"],
            layout,
            |path| {
                fs::remove_file(path.join("oci-layout")).unwrap();
            },
        ),
        case(
            "1,000 files that are no images",
            &["holds no image", "hint:"],
            |folder| {
                let path = folder.join("many");
                fs::create_dir(&path).unwrap();
                (0..1000).for_each(|number| fs::write(path.join(number.to_string()), "x").unwrap());
                vec![text(&path)]
            },
        ),
        changed(
            "another format than the prefix",
            &["is not a source for `dir:`", "hint:"],
            layout,
            |_| (),
        )
        .prefixed("dir:")
        .cannot_run(),
        case("a file with a hostile name", &["\\x1b[2Jx.tar"], |folder| {
            let path = folder.join("\u{1b}[2Jx.tar");
            fs::write(&path, "no tar").unwrap();
            vec![text(&path)]
        }),
    ]);
}

#[test]
fn dirs() {
    let manifest = |edit: fn(&mut Value)| move || Archive::dir(&app().manifest(edit));
    let blob = |index: usize| {
        let names: Vec<String> = dir()
            .names("")
            .into_iter()
            .filter(|name| name.len() == 64)
            .collect();
        names[index].clone()
    };
    check(vec![
        folder("the folder that the others are made of", &[], dir)
            .named("=app:1")
            .taken(),
        folder("no name", &["has no name", "hint:"], dir).cannot_run(),
        folder("no manifest", &["`manifest.json` is missing"], || {
            dir().drop("manifest.json")
        })
        .named("=app"),
        folder(
            "a manifest that is a folder",
            &["manifest.json` is not a regular file"],
            || dir().set("manifest.json", Kind::Folder),
        )
        .named("=app"),
        folder(
            "a manifest that is cut",
            &["manifest.json", "not a manifest"],
            || dir().edit("manifest.json", |bytes| bytes.truncate(40)),
        )
        .named("=app"),
        folder(
            "layers that are no list",
            &["manifest.json", "not a manifest"],
            manifest(|m| m["layers"] = json!(1)),
        )
        .named("=app"),
        folder(
            "a digest that is a path",
            &["manifest.json", "is not a sha256 digest"],
            manifest(|m| m["config"]["digest"] = json!("sha256:../version")),
        )
        .named("=app"),
        folder(
            "a blob that is missing",
            &["the blob sha256:", "is missing"],
            move || dir().drop(&blob(0)),
        )
        .named("=app"),
        folder("a blob with a wrong bit", &["/bad/"], move || {
            dir().flip(&blob(0))
        })
        .named("=app"),
        folder("a blob that is cut", &["/bad/"], move || {
            dir().edit(&blob(1), |bytes| bytes.truncate(9))
        })
        .named("=app"),
        folder(
            "a child with another space",
            &[".manifest.json", "has the digest"],
            || {
                let index = Image::index(&[], vec![app(), app().platform("linux", "arm64")]);
                let archive = Archive::dir(&index);
                let child = archive.names(".manifest.json").remove(0);
                archive.edit(&child, |bytes| bytes.push(b' '))
            },
        )
        .named("=app")
        .in_part(),
        folder("a wrong diff ID", &["as its config says"], || {
            Archive::dir(
                &app().config(|c| c["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse()),
            )
        })
        .named("=app"),
        folder("one of many that there are not", &["no image `x`"], dir)
            .prefixed("dir:")
            .named(":x")
            .cannot_run(),
        case_of("an illegal name", &["`A` is not a repository name"], dir)
            .named("=A")
            .cannot_run(),
        case_of("an illegal tag", &["a/b`"], dir)
            .named("=app:a/b")
            .cannot_run(),
    ]);
}
