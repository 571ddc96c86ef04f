//! What the input is not to blame for: exit code 2.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::run::{Case, TIME, case, check, run, text};
use crate::support::archive::{Archive, Image};
use crate::support::site::copy_program;
use crate::support::temp::TempDir;

fn good(folder: &Path) -> String {
    let path = folder.join("good.tar");
    let image = Image::new(&["app:1"]).layer("bin/app", "one");
    fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
    text(&path)
}

/// A good source for an output that is made in the folder.
fn output(name: &'static str, words: &[&'static str], make: fn(&Path)) -> Case {
    case(name, words, move |folder| {
        let path = folder.join("output");
        make(&path);
        vec![good(folder), "-o".into(), text(&path)]
    })
    .cannot_run()
}

fn source(name: &'static str, words: &[&'static str], text: &'static str) -> Case {
    case(name, words, move |_| vec![text.into()]).cannot_run()
}

#[test]
fn sources_and_outputs() {
    check(vec![
        source(
            "a source that is not there",
            &["there is nothing at `/none/x.tar`", "hint:"],
            "/none/x.tar",
        ),
        source("no source", &["a source is empty", "hint:"], ""),
        source(
            "an unknown prefix",
            &["`zip:` in `zip:/tmp` is not a format", "hint:"],
            "zip:/tmp",
        ),
        source(
            "a prefix and nothing",
            &["the path is missing in `oci:`", "hint:"],
            "oci:",
        ),
        source(
            "an image in a registry",
            &["is an image in a registry", "skopeo copy"],
            "docker://alpine",
        ),
        source(
            "an image of a daemon",
            &["of a Docker daemon", "docker save"],
            "docker-daemon:alpine:3",
        ),
        source(
            "an image of podman",
            &["in the storage of podman", "podman save"],
            "containers-storage:alpine",
        ),
        source(
            "a URL",
            &["is a URL", "download the file"],
            "https://example.org/app.tar",
        ),
        source("a source with a line break", &["`\\nx`"], "\nx"),
        case(
            "one source of two that is not there",
            &["there is nothing at `/none`"],
            |folder| vec![good(folder), "/none".into()],
        )
        .cannot_run(),
        case(
            "an illegal name",
            &["`A/B` is not a repository name"],
            |folder| vec![good(folder) + "=A/B"],
        )
        .cannot_run(),
        case("an illegal tag", &["is not a tag"], |folder| {
            vec![good(folder) + "=app:-"]
        })
        .cannot_run(),
        case("a digest for a name", &["has a digest"], |folder| {
            vec![good(folder) + "=app@sha256:" + &"0".repeat(64)]
        })
        .cannot_run(),
        output("on a file", &["output` is not a folder", "hint:"], |path| {
            fs::write(path, "mine").unwrap()
        }),
        output(
            "on a folder of something else",
            &["is not empty and is not a stillage site", "hint:"],
            |path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join("mine"), "mine").unwrap();
            },
        ),
        output(
            "on a layout of something else",
            &["is not empty and is not a stillage site", "hint:"],
            |path| {
                Archive::oci(&[Image::new(&["x:1"])]).folder(path);
            },
        ),
        case(
            "an output below a file",
            &["cannot", "good.tar"],
            |folder| {
                let source = good(folder);
                vec![source.clone(), "-o".into(), source + "/site"]
            },
        )
        .cannot_run(),
        case(
            "an output that no file system takes",
            &["cannot", "xxx"],
            |folder| {
                vec![
                    good(folder),
                    "-o".into(),
                    text(&folder.join("x".repeat(300))),
                ]
            },
        )
        .cannot_run(),
        case("no such option", &["--nonsense"], |folder| {
            vec![good(folder), "--nonsense".into()]
        })
        .cannot_run(),
        case("no number of threads", &["--jobs"], |folder| {
            vec![good(folder), "-j".into(), "many".into()]
        })
        .cannot_run(),
        case("no API at all", &["--no-v1", "--no-v2"], |folder| {
            vec![good(folder), "--no-v1".into(), "--no-v2".into()]
        })
        .cannot_run(),
        case(
            "an API less than the site has",
            &["--no-v1", "hint:"],
            |folder| vec![good(folder), "--no-v1".into()],
        )
        .cannot_run(),
    ]);
}

#[test]
fn reading_what_is_no_site() {
    let folder = TempDir::new("bad");
    let empty = folder.path().join("empty");
    let file = folder.path().join("file");
    let layout = folder.path().join("layout");
    let broken = folder.path().join("broken");
    fs::create_dir(&empty).unwrap();
    fs::write(&file, "x").unwrap();
    Archive::oci(&[Image::new(&["x:1"])]).folder(&layout);
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("index.json"), "{").unwrap();
    for (path, code, word) in [
        (&folder.path().join("none"), 2, "does not exist"),
        (&empty, 2, "is not a site"),
        (&file, 2, "is not a site"),
        (&layout, 2, "is not a site but an OCI layout"),
        (&broken, 2, "is not a site: its `index.json` is another"),
    ] {
        for command in ["list", "verify"] {
            let args = [command.to_owned(), text(path)];
            let ran = run(&args, TIME, folder.path());
            assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(word), "{args:?}: {}", ran.stderr);
            assert_eq!(
                ran.bad_messages(),
                Vec::<String>::new(),
                "{args:?}: {}",
                ran.stderr
            );
        }
    }
}

/// Root reads everything, so it becomes somebody else for this.
#[test]
fn a_source_that_cannot_be_read() {
    let folder = TempDir::new("bad");
    let source = good(folder.path());
    fs::set_permissions(&source, fs::Permissions::from_mode(0o000)).unwrap();
    let program = folder.path().join("stillage");
    copy_program(&program);
    let is_root = fs::metadata(&source).unwrap().uid() == 0;
    let mut command = if is_root {
        chown(folder.path(), Some(65534), Some(65534)).unwrap();
        let mut setpriv = Command::new("setpriv");
        setpriv
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&program);
        setpriv
    } else {
        Command::new(&program)
    };
    let site = folder.path().join("site");
    let output = command
        .args(["build", &source, "-o", &text(&site)])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.starts_with("error: cannot open `") && stderr.contains("good.tar"),
        "{stderr}"
    );
}
