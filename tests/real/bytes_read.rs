//! The bytes of layers that commands read: none where nothing is new, each once where all is checked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::crash::scenarios::incompressible;
use crate::support::archive::{Archive, Image, gzip, one_file_tar};
use crate::support::files::digest;
use crate::support::process::tool;
use crate::support::site::{build, stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// The length of the shared base, in bytes.
const BASE: usize = 2 << 20;

/// The bytes that a command reads from files below `v1/images`, from blobs and archives of more than 64 KiB, and from
/// what is staged.
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
        // What was staged has another name by now.
        let is_layer = match fs::metadata(path) {
            Ok(meta) => name == "layer" || meta.len() > 1 << 16,
            Err(_) => path.contains("/.stillage/"),
        };
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
    let layers = all_layers(&site.join("v1"));
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

/// The bytes of the layers in a folder, each file once.
fn all_layers(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap);
    let layers: BTreeMap<u64, u64> = files
        .filter(|entry| entry.file_name() == "layer")
        .map(|entry| entry.metadata().unwrap())
        .map(|meta| (meta.ino(), meta.len()))
        .collect();
    layers.values().sum()
}

/// Checks that building a site reads each layer of the source once, and none when nothing is new.
fn is_read_once(source: &str, folder: &Path, layers: u64) {
    settle();
    let site = folder.join("new");
    let site = site.to_str().unwrap();
    // Headers of tars are read in blocks.
    let few = 100_000;
    let build = || layer_bytes(&mut stillage(["build", "-q", source, "-o", site]), folder);
    let bytes = build();
    assert!(layers > BASE as u64 / 2);
    assert!(
        bytes.abs_diff(layers) < few,
        "{bytes} bytes read of {layers}"
    );
    let bytes = build();
    assert!(bytes < few, "{bytes} bytes read of an unchanged source");
    succeed(&mut stillage(["verify", "-q", site]));
}

#[test]
fn old_registries_are_read_once() {
    for packed in [true, false] {
        let folder = TempDir::new("bytes");
        let folder = folder.path();
        let pack = |tar: &[u8]| if packed { gzip(tar) } else { tar.to_vec() };
        let (base, storage) = (incompressible(BASE), folder.join("storage"));
        let mut parent = None;
        for (number, text) in [base.as_str(), "1", "2"].into_iter().enumerate() {
            let id = digest(&[u8::try_from(number).unwrap()]).split_off(7);
            let image = storage.join("images").join(&id);
            let mut json = json!({"id": id, "created": "2014-01-02T03:04:05Z"});
            if let Some(parent) = &parent {
                json["parent"] = String::clone(parent).into();
            }
            let layer = pack(&one_file_tar(&number.to_string(), text));
            let checksum = digest(&[json.to_string().as_bytes(), b"\n", &layer].concat());
            for (name, bytes) in [
                ("json", json.to_string().into_bytes()),
                ("layer", layer),
                ("_checksum", checksum.into_bytes()),
            ] {
                fs::create_dir_all(&image).unwrap();
                fs::write(image.join(name), bytes).unwrap();
            }
            let repository = storage.join("repositories/library/app");
            fs::create_dir_all(&repository).unwrap();
            fs::write(repository.join(format!("tag_{number}")), &id).unwrap();
            parent = Some(id);
        }
        let path = storage.to_str().unwrap();
        // What v2 clients cannot read is packed for them from a second reading.
        let times = if packed { 1 } else { 2 };
        is_read_once(path, folder, times * all_layers(&storage));
    }
}

#[test]
fn a_site_is_read_once() {
    let folder = TempDir::new("bytes");
    let site = folder.path().join("site");
    build(&[archive(folder.path())], &site);
    let layers = all_layers(&site.join("v1"));
    is_read_once(site.to_str().unwrap(), folder.path(), layers);
}

/// Each layer implies a folder, so v1 clients get it with an entry for that.
#[test]
fn layers_are_completed_from_one_more_reading() {
    let folder = TempDir::new("bytes");
    let text = incompressible(40 * 200_000);
    let image = text.as_bytes().chunks(200_000).enumerate();
    let image = image.fold(Image::new(&["o/app:1"]), |image, (number, text)| {
        image.layer(
            &format!("d{number}/text"),
            std::str::from_utf8(text).unwrap(),
        )
    });
    let tar = Archive::docker_20(&[image]).tar();
    let (source, site) = (folder.path().join("app.tar"), folder.path().join("site"));
    fs::write(&source, &tar).unwrap();
    settle();
    let mut build = stillage(["build", "-q", source.to_str().unwrap(), "-o"]);
    let bytes = layer_bytes(build.arg(&site), folder.path());
    assert!(all_layers(&site.join("v1")) > 4_000_000);
    let archive = tar.len() as u64;
    assert!(
        bytes > archive * 5 / 4 && bytes < 2 * archive,
        "{bytes} of {archive}"
    );
}

#[test]
fn a_tar_that_is_no_image_is_unpacked_once() {
    let folder = TempDir::new("bytes");
    let (sources, site) = (folder.path().join("sources"), folder.path().join("site"));
    fs::create_dir(&sources).unwrap();
    fs::rename(archive(folder.path()), sources.join("image.tar")).unwrap();
    let rootfs = gzip(&one_file_tar("etc/base", &incompressible(BASE)));
    fs::write(sources.join("rootfs.tar.gz"), rootfs).unwrap();
    settle();
    let (sources, path) = (sources.to_str().unwrap(), site.to_str().unwrap());
    let run = || {
        let output = succeed(&mut stillage(["build", sources, "-o", path]));
        assert!(stderr(&output).contains("rootfs.tar.gz` is not an image"));
    };
    run();
    let mut again = stillage(["build", "-q", sources, "-o", path]);
    let bytes = layer_bytes(&mut again, folder.path());
    assert!(bytes < 100_000, "{bytes}");
    run();
}

fn json_of(args: &[&str]) -> Value {
    serde_json::from_slice(&succeed(&mut stillage(args)).stdout).unwrap()
}
