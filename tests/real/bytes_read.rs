//! The bytes of layers that commands read: none where nothing is new, each once where all is checked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::crash::scenarios::incompressible;
use crate::support::archive::{Archive, Image};
use crate::support::process::tool;
use crate::support::site::{build, json, stillage, succeed};
use crate::support::temp::TempDir;

/// The length of the shared base, in bytes.
const BASE: usize = 2 << 20;

/// The bytes that a command reads from files below `v1/images`, and from blobs and archives as long as a layer.
fn layer_bytes(command: &mut Command, folder: &Path) -> u64 {
    // A log for each thread: their lines would be cut in one.
    let logs = TempDir::new("reads");
    let log = logs.path().join("log");
    let mut strace = Command::new(tool("strace"));
    strace
        .args([
            "-ff",
            "-y",
            "-e",
            "trace=read,readv,pread64,preadv,copy_file_range,sendfile,mmap",
            "-o",
        ])
        .arg(&log)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    succeed(&mut strace);
    let entries = fs::read_dir(logs.path()).unwrap();
    let files = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let text: String = files.collect();
    let of = |line: &str| -> Option<u64> {
        let (path, rest) = line.split_once('<')?.1.split_once('>')?;
        let name = path.rsplit('/').next()?;
        let is_layer = name == "layer" || fs::metadata(path).is_ok_and(|meta| meta.len() > 1 << 20);
        let count = rest.rsplit_once(" = ")?.1;
        (is_layer && path.starts_with(folder.to_str()?)).then(|| count.trim().parse().ok())?
    };
    text.lines().filter_map(of).sum()
}

/// An archive of Docker 1.x: ten tags on one base, whose v1 images have checksums.
fn archive(folder: &Path) -> String {
    let path = folder.join("old.tar");
    let base = incompressible(BASE);
    let image = |number: usize| {
        Image::new(&[&format!("o/app:{number}")])
            .layer("etc/base", &base)
            .layer("etc/text", &format!("{number}"))
    };
    let images: Vec<Image> = (0..10).map(image).collect();
    fs::write(&path, Archive::docker_1(&images).tar()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn layers_are_read_when_something_is_new_and_once() {
    let folder = TempDir::new("bytes");
    let folder = folder.path();
    let source = archive(folder);
    settle();
    let site = folder.join("site");
    let path = site.to_str().unwrap();
    build(&[&source], &site);
    let listed = json_of(&["list", "--json", path]);
    assert_eq!(listed.as_array().unwrap().len(), 10);
    let read = |args: &[&str]| layer_bytes(&mut stillage(args), folder);
    // The first bytes of a file tell its compression: a few for each layer.
    let few = 100_000;
    for args in [
        &["list", path][..],
        &["tag", path, "o/app:1", "again"],
        &["remove", path, "o/app:again"],
        &["config", "nginx", path],
        &["prune", path],
        &["verify", "--fast", path],
        &["build", "-q", &source, "-o", path],
    ] {
        let bytes = read(args);
        assert!(bytes < few, "{args:?} reads {bytes} bytes of layers");
    }
    // The same base has several names.
    let layers: BTreeMap<u64, u64> = fs::read_dir(site.join("v1/images"))
        .unwrap()
        .map(|entry| fs::metadata(entry.unwrap().path().join("layer")).unwrap())
        .map(|meta| (meta.ino(), meta.len()))
        .collect();
    let layers: u64 = layers.values().sum();
    assert!(layers > BASE as u64 / 2);
    let once = read(&["verify", path]);
    assert!(
        once <= layers + few,
        "verify reads {once} bytes of {layers}"
    );
}

/// What is known of a file is kept once it has not changed for two seconds.
fn settle() {
    std::thread::sleep(std::time::Duration::from_secs(3));
}

#[test]
fn archives_that_share_a_layer_are_not_read_again() {
    let folder = TempDir::new("bytes");
    let base = incompressible(BASE);
    let archives: Vec<String> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            let path = folder.path().join(format!("{name}.tar"));
            let image = Image::new(&[&format!("o/{name}:1")])
                .layer("etc/base", &base)
                .layer("etc/text", name);
            fs::write(&path, Archive::docker_20(&[image]).tar()).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    settle();
    let site = folder.path().join("site");
    build(&archives, &site);
    let mut again = stillage(["build", "-q", "-o", site.to_str().unwrap()]);
    let bytes = layer_bytes(again.args(&archives), folder.path());
    // The headers of members are read in blocks.
    assert!(bytes < 100_000, "{bytes}");
}

fn json_of(args: &[&str]) -> serde_json::Value {
    let output = succeed(&mut stillage(args));
    let file = TempDir::new("json");
    fs::write(file.path().join("json"), output.stdout).unwrap();
    json(file.path().join("json"))
}
