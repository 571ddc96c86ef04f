//! What is handed out: the crate, the image of Stillage itself, the packages, and the demo.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::clients::{Client as _, Podman, Skopeo, installed};
use crate::support::files::Files;
use crate::support::process::{run, tool};
use crate::support::servers::builtin::SERVE;
use crate::support::site::{assert_same, build, stderr, succeed, tree};
use crate::support::temp::TempDir;

mod apart;
mod debian;
mod demo;

/// The name of the image, of the version that is built.
const IMAGE: &str = concat!("stillage:", env!("CARGO_PKG_VERSION"));

/// A program of the project with these arguments, in the root of the project.
fn script(path: &str, args: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join(path));
    command.current_dir(root).args(args);
    command
}

/// `.github/package.sh`, with the version of cargo-deb that `tests/run.sh` installs.
fn package(args: &[&str]) -> Command {
    let folder = installed(".stores/bin/cargo-deb");
    let folder = folder.parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let mut command = script(".github/package.sh", args);
    command.env("PATH", format!("{folder}:{path}"));
    command
}

/// The static binary, compiled if it is not yet there.
fn static_binary() -> PathBuf {
    let binary = run(&mut package(&["--binary"])).unwrap();
    binary.trim_end().into()
}

/// An archive with the image of a binary.
fn image_of(binary: &str, more: &[&str]) -> Vec<u8> {
    succeed(&mut script(
        "fixtures/image.sh",
        &[&[binary], more].concat(),
    ))
    .stdout
}

#[test]
fn the_image_of_stillage_is_pulled() {
    let program = env!("CARGO_BIN_EXE_stillage");
    let archive = image_of(program, &[]);
    assert!(archive == image_of(program, &[]), "not the same bytes");

    let folder = TempDir::new("image");
    let path = folder.path();
    fs::write(path.join("image.tar"), archive).unwrap();
    fs::write(path.join("named.tar"), image_of(program, &["org/app:1"])).unwrap();
    let source = |name: &str| path.join(name).to_str().unwrap().to_owned();
    let site = path.join("site");
    build(&[source("image.tar"), source("named.tar")], &site);
    let again = path.join("again");
    build(&[source("named.tar"), source("image.tar")], &again);
    assert_same(&tree(&site), &tree(&again));

    // What the image should have, made by hand.
    let expected = path.join("expected");
    let bin = expected.join("usr/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(program, bin.join("stillage")).unwrap();
    for (name, mode) in [
        ("usr/bin/stillage", 0o755),
        ("tmp", 0o1777),
        ("work", 0o755),
    ] {
        let path = expected.join(name);
        if !path.exists() {
            fs::create_dir(&path).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let expected = Files::of_folder(&expected).unwrap();
    let running = SERVE.start(&site);
    for name in [IMAGE, "org/app:1"] {
        let reference = format!("127.0.0.1:{}/{name}", running.port);
        let by_skopeo = Skopeo::new().pull(&reference, None).unwrap();
        let differences = by_skopeo.files.differences(&expected);
        assert!(differences.is_empty(), "{differences:?}");
        let by_podman = Podman::new().pull(&reference, None).unwrap();
        assert_eq!(by_podman.config_digest, by_skopeo.config_digest);
        let mut inspect = Skopeo::new().command();
        inspect.args(["inspect", "--config", "--raw", "--tls-verify=false"]);
        let config = run(inspect.arg(format!("docker://{reference}"))).unwrap();
        assert!(config.contains(r#""Entrypoint":["stillage"]"#), "{config}");
    }
}

#[test]
fn the_crate_is_complete() {
    let folder = TempDir::new("crate");
    let mut cargo = Command::new(tool("cargo"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "package",
            "--locked",
            "--offline",
            "--no-verify",
            "--allow-dirty",
            "--target-dir",
        ])
        .arg(folder.path());
    let output = succeed(&mut cargo);
    let said = stderr(&output);
    assert!(!said.contains("warning"), "{said}");

    let file = format!("package/stillage-{}.crate", env!("CARGO_PKG_VERSION"));
    let mut tar = Command::new(tool("tar"));
    let list = run(tar.arg("-tzf").arg(folder.path().join(file))).unwrap();
    let names = list.lines().map(|line| line.split_once('/').unwrap().1);
    let names: BTreeSet<&str> = names.collect();
    for name in [
        "README.md",
        "LICENSE",
        "Cargo.lock",
        "src/main.rs",
        "tests/it/fuzz/targets.rs",
        "fixtures/demo.sh",
    ] {
        assert!(names.contains(name), "{name} is missing: {list}");
    }
    let hidden = |name: &&&str| {
        name.starts_with(".git/")
            || name.starts_with(".ci/")
            || name.starts_with(".gitlab/")
            || name.starts_with(".github/")
    };
    assert_eq!(names.iter().find(hidden), None);
}

/// Every path below a folder, with type, mode and owner. What a package manager writes of its own is left out.
fn paths(root: &Path) -> BTreeSet<String> {
    let own = ["var/lib/dpkg", "var/cache", "var/log", "proc"];
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter();
    let path = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    entries
        .filter_entry(|entry| !own.contains(&path(entry.path()).as_str()))
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.path().symlink_metadata().unwrap();
            let owner = (meta.uid(), meta.gid());
            format!("{} {:o} {owner:?}", path(entry.path()), meta.mode())
        })
        .collect()
}
