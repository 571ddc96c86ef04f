//! `get` into real loaders: they say the image ids, diff IDs and digests that a pull gives.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::clients::{Ctr, Docker, Podman};
use crate::support::expected::{Expected, Image, Kind, build_site, expected};
use crate::support::place::feed;
use crate::support::process::{run, tool};
use crate::support::site::{build, stillage};
use crate::support::temp::TempDir;

/// The archive of a reference.
fn archive(site: &TempDir, more: &[&str]) -> Vec<u8> {
    let output = stillage(["get"])
        .arg(site.path())
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{more:?}: {output:?}");
    output.stdout
}

/// Gives an archive to a command on its standard input.
fn pipe(archive: &[u8], command: &mut Command) {
    let output = feed(command, archive);
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Every image with a tag, for linux/amd64 or the only one.
fn images() -> Vec<(Expected, Image)> {
    let all = expected()
        .into_iter()
        .filter(|expected| expected.tag.is_some());
    let of_index = |image: &Image| {
        image
            .platform
            .as_deref()
            .is_none_or(|platform| platform == "linux/amd64")
    };
    let images = all.filter_map(|expected| {
        let image = expected
            .images
            .iter()
            .find(|image| of_index(image))?
            .clone();
        Some((expected, image))
    });
    images.collect()
}

fn name(expected: &Expected) -> String {
    format!("{}:{}", expected.name, expected.tag.as_ref().unwrap())
}

#[test]
fn docker_loads_every_image_in_two_formats() {
    let site = build_site();
    let docker = Docker::start();
    let mut count = 0;
    for (expected, image) in images() {
        if matches!(expected.kind, Kind::Artifact | Kind::Schema1) {
            continue;
        }
        for format in ["hybrid", "docker"] {
            let name = name(&expected);
            let tar = archive(&site, &[&name, "--format", format]);
            pipe(&tar, docker.command().arg("load"));
            let loaded = docker.inspect(&name).unwrap();
            assert_eq!(
                loaded["Id"],
                image.config_digest.as_str(),
                "{format} {name}"
            );
            let diff_ids: Vec<&str> = loaded["RootFS"]["Layers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(diff_ids, image.diff_ids, "{format} {name}");
            run(docker.command().args(["rmi", "--force", &name])).unwrap();
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn podman_and_ctr_load_every_image() {
    let site = build_site();
    let (podman, ctr) = (Podman::new(), Ctr::start());
    let mut count = 0;
    for (expected, image) in images() {
        if matches!(expected.kind, Kind::Artifact | Kind::Schema1) {
            continue;
        }
        let name = name(&expected);
        let tar = archive(&site, &[&name]);
        pipe(&tar, podman.command().args(["load", "--quiet"]));
        let first = name.split('/').next().unwrap();
        let full = if first.contains('.') {
            name.clone()
        } else if name.contains('/') {
            format!("docker.io/{name}")
        } else {
            format!("docker.io/library/{name}")
        };
        let inspect = ["image", "inspect", "--format", "{{.Id}} {{.Digest}}", &full];
        let said = run(podman.command().args(inspect)).unwrap();
        let id = image.config_digest.replace("sha256:", "");
        assert!(said.starts_with(&id), "{name}: {said}");
        run(podman.command().args(["rmi", "--force", &full])).unwrap();

        let import = ["images", "import", "--snapshotter", "native", "-"];
        pipe(&tar, ctr.command().args(import));
        let target = ctr.target(&full).unwrap();
        let root = fs::read_link(site.path().join(format!(
            "v2/{}/_tags/{}",
            expected.name,
            expected.tag.as_ref().unwrap()
        )));
        let root = root.unwrap();
        assert_eq!(
            Some(target.as_str()),
            root.file_name().unwrap().to_str(),
            "{name}"
        );
        run(ctr.command().args(["images", "rm", "--sync", &full])).unwrap();
        count += 1;
    }
    assert!(count > 10, "{count}");
}

#[test]
fn skopeo_copies_from_every_format() {
    let site = build_site();
    let work = TempDir::new("formats");
    let mut number = 0;
    for (expected, image) in images() {
        if expected.kind == Kind::Schema1 {
            continue;
        }
        for (format, transport) in [
            ("hybrid", "docker-archive"),
            ("docker", "docker-archive"),
            ("oci-archive", "oci-archive"),
            ("oci", "oci"),
            ("dir", "dir"),
        ] {
            if expected.kind == Kind::Artifact && transport == "docker-archive" {
                continue;
            }
            number += 1;
            let name = name(&expected);
            let path = work.path().join(format!("{number}"));
            let path = path.to_str().unwrap();
            let mut get = stillage(["get"]);
            run(get
                .arg(site.path())
                .args([&name, "--format", format, "-o", path]))
            .unwrap();
            // skopeo finds Docker's manifests in a layout only where there is one image and no name is asked for.
            let has_attachments = name.contains("referrer");
            let source = if has_attachments && transport.starts_with("oci") {
                format!("{transport}:{path}:{name}")
            } else {
                format!("{transport}:{path}")
            };
            let copy = work.path().join(format!("{number}.copy"));
            let mut skopeo = Command::new(tool("skopeo"));
            skopeo.args(["--insecure-policy", "copy", "--quiet", &source]);
            run(skopeo.arg(format!("dir:{}", copy.display()))).unwrap();
            let config = image.config_digest.replace("sha256:", "");
            assert!(copy.join(config).exists(), "{format} {name}");
        }
    }
    assert!(number > 40, "{number}");
}

/// The most memory that a process has used so far, in KiB.
fn peak(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A site in `work` with `large:1`, whose only layer has that many bytes.
fn large_site(work: &TempDir, bytes: u64) -> PathBuf {
    let layout = work.path().join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let layer = blobs.join("layer");
    fs::File::create(&layer).unwrap().set_len(bytes).unwrap();
    let sum = run(Command::new("sha256sum").arg(&layer)).unwrap();
    let hex = sum.split(' ').next().unwrap();
    fs::rename(&layer, blobs.join(hex)).unwrap();
    let put = |value: &Value| {
        let json = value.to_string().into_bytes();
        let digest = crate::support::files::digest(&json);
        fs::write(blobs.join(digest.replace("sha256:", "")), &json).unwrap();
        (digest, json.len())
    };
    let layer = format!("sha256:{hex}");
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer]}});
    let (config, length) = put(&config);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI, "config": {"mediaType": CONFIG, "digest": config, "size": length},
        "layers": [{"mediaType": TAR, "digest": layer, "size": bytes}]});
    let (manifest, length) = put(&manifest);
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": OCI, "digest": manifest, "size": length}]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let site = work.path().join("site");
    let source = format!("oci:{}=large:1", layout.display());
    build(&[&source, "--no-v1", "--link"], &site);
    site
}

/// A layer of 10 GiB with `STILLAGE_LONG=1`, which takes minutes.
#[test]
fn memory_does_not_grow_with_a_layer() {
    let bytes: u64 = if std::env::var_os("STILLAGE_LONG").is_some() {
        10 << 30
    } else {
        256 << 20
    };
    let work = TempDir::new("large");
    let site = large_site(&work, bytes);
    for format in ["hybrid", "docker"] {
        let mut get = stillage(["get"]);
        get.arg(&site)
            .args(["large:1", "--format", format])
            .stdout(Stdio::piped());
        let mut child = get.spawn().unwrap();
        let mut archive = child.stdout.take().unwrap();
        let read = std::io::copy(&mut (&mut archive).take(bytes), &mut std::io::sink()).unwrap();
        let used = peak(child.id());
        std::io::copy(&mut archive, &mut std::io::sink()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(read, bytes, "{format}");
        assert!(used < 64 << 10, "{format}: {used} KiB");
    }
}

/// A large archive that nobody waits for takes no room.
#[test]
fn a_killed_get_leaves_nothing() {
    let work = TempDir::new("killed");
    let site = large_site(&work, 256 << 20);
    let out = work.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut killed = 0;
    for signal in ["KILL", "TERM", "INT"] {
        let mut get = stillage(["get"]);
        get.arg(&site)
            .args(["large:1", "-o"])
            .arg(out.join("large.tar"));
        let mut child = get.spawn().unwrap();
        // Until it has opened its file, which has no name.
        let folder = format!("/proc/{}/fd", child.id());
        let has_file = || {
            let open = fs::read_dir(&folder).into_iter().flatten().flatten();
            let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
            open.any(|file| file.starts_with(&out))
        };
        while !has_file() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        run(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()])).unwrap();
        if child.wait().unwrap().success() {
            fs::remove_file(out.join("large.tar")).unwrap();
        } else {
            killed += 1;
            assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{signal}");
        }
    }
    assert!(killed > 0, "it was always faster than the signal");
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
