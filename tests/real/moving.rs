//! Pulls that never stop while builds move tags, change their types, drop and add others, and what is
//! dropped is pruned.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use crate::crash::is_long;
use crate::support::archive::{Archive, Image, Pack};
use crate::support::http::send;
use crate::support::process::{run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::{build, stillage, succeed};
use crate::support::temp::TempDir;

/// The tags that are always there.
const STAYING: [&str; 4] = ["o/moves:1", "o/types:1", "o/types:2", "stays:1"];

fn image(name: &str, text: &str) -> Image {
    Image::new(&[name]).layer("etc/text", &text.repeat(2000))
}

/// Two states of the site, which differ in what the tags are and in which others there are.
fn sources(folder: &Path) -> [Vec<String>; 2] {
    let state = |name: &str, text: &str, others: &[&str]| {
        let mut images = vec![image("o/moves:1", text), image("stays:1", "stays")];
        images.extend(others.iter().map(|other| image(other, other)));
        let tar = folder.join(format!("{name}.tar"));
        fs::write(&tar, Archive::docker_20(&images).tar()).unwrap();
        tar
    };
    let one = state("one", "one", &["o/gone:1", "o/moves:gone"]);
    let two = state("two", "two", &["o/other:1", "o/moves:other"]);
    let single = |name: &str| image(name, "single");
    let docker = folder.join("docker.tar");
    let types = [single("o/types:1"), single("o/types:2")];
    fs::write(&docker, Archive::docker_20(&types[..1]).tar()).unwrap();
    let docker_two = folder.join("docker-two.tar");
    fs::write(&docker_two, Archive::docker_20(&types[1..]).tar()).unwrap();
    let oci = folder.join("oci");
    Archive::oci(&types[..1]).folder(&oci);
    let index = folder.join("index");
    let children = vec![
        image("", "single"),
        image("", "x").platform("linux", "arm64"),
    ];
    let children = Image::index(&["o/types:2"], children).packed(Pack::Zstd);
    Archive::oci(&[children]).folder(&index);
    let texts = |paths: [&Path; 3]| paths.map(|path| path.to_str().unwrap().to_owned()).to_vec();
    [
        texts([&one, &docker, &index]),
        texts([&two, &oci, &docker_two]),
    ]
}

#[test]
fn pulls_by_tag_never_fail_while_the_site_changes() {
    let time = Duration::from_secs(if is_long() { 600 } else { 20 });
    let folder = TempDir::new("moving");
    let site = TempDir::new("moving-site");
    let states = sources(folder.path());
    build(&states[0], site.path());
    let nginx = Nginx::start(site.path());
    let meanwhile = Meanwhile::default();
    let (mut builds, mut pruned) = (0, 0);
    std::thread::scope(|scope| {
        for (number, tag) in STAYING.iter().enumerate() {
            let (meanwhile, port) = (&meanwhile, nginx.port);
            let target = folder.path().join(format!("pulled{number}"));
            let pulls = move || {
                let _ = fs::remove_dir_all(&target);
                pull(port, tag, &target)
            };
            scope.spawn(move || meanwhile.repeat(&meanwhile.pulls, pulls));
            scope.spawn(move || meanwhile.repeat(&meanwhile.requests, || get(port, tag)));
        }
        let start = Instant::now();
        let changed = std::panic::catch_unwind(|| {
            let mut pruned = 0;
            for number in 1.. {
                let passing = folder.path().join("passing.tar");
                let image = image("o/moves:passing", &number.to_string());
                fs::write(&passing, Archive::docker_20(&[image]).tar()).unwrap();
                let mut args = states[number % 2].clone();
                args.extend([passing.to_str().unwrap().into(), "--mirror".into()]);
                build(&args, site.path());
                pruned += prune(site.path());
                // A busy machine needs longer for as much.
                let is_enough =
                    meanwhile.pulls.load(Ordering::Relaxed) > 20 && number > 10 && pruned > 20;
                if start.elapsed() > time && is_enough {
                    return (number, pruned);
                }
            }
            (0, 0)
        });
        // Also where a build failed: the scope waits for its threads.
        meanwhile.ends.store(true, Ordering::Relaxed);
        (builds, pruned) = changed.unwrap();
    });
    let (pulls, requests) = (
        meanwhile.pulls.into_inner(),
        meanwhile.requests.into_inner(),
    );
    println!("{pulls} pulls and {requests} requests during {builds} builds, {pruned} files pruned");
    let failed = meanwhile.failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), nginx.log());
}

/// Deletes what no client can be in the middle of any more; the number of files.
fn prune(site: &Path) -> usize {
    let mut command = stillage(["prune", "--untagged", "--grace", "3s", "--json"]);
    let output = succeed(command.arg(site));
    let pruned: Value = serde_json::from_slice(&output.stdout).unwrap();
    pruned["files"].as_array().unwrap().len()
}

/// What happens while builds run.
#[derive(Default)]
struct Meanwhile {
    ends: AtomicBool,
    pulls: AtomicUsize,
    requests: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Meanwhile {
    fn repeat(&self, count: &AtomicUsize, work: impl Fn() -> anyhow::Result<()>) {
        while !self.ends.load(Ordering::Relaxed) {
            if let Err(error) = work() {
                self.failed.lock().unwrap().push(format!("{error:#}"));
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All of what a tag names, checked by its digests.
fn pull(port: u16, tag: &str, target: &Path) -> anyhow::Result<()> {
    let mut skopeo = Command::new(tool("skopeo"));
    skopeo
        .args([
            "copy",
            "-q",
            "--insecure-policy",
            "--all",
            "--src-tls-verify=false",
        ])
        .arg(format!("docker://127.0.0.1:{port}/{tag}"))
        .arg(format!("dir:{}", target.display()));
    run(&mut skopeo).map(drop)
}

/// The manifest of a tag alone, far more often than a whole pull can: it comes with its own type.
fn get(port: u16, tag: &str) -> anyhow::Result<()> {
    let (name, tag) = tag.split_once(':').unwrap();
    let response = send(port, "GET", &format!("/v2/{name}/manifests/{tag}"), &[])?;
    ensure!(response.status == 200, "{name}:{tag}: {}", response.status);
    let manifest: Value = serde_json::from_slice(&response.body)?;
    let header = response.header("content-type");
    let said = manifest["mediaType"].as_str();
    ensure!(header == said, "{name}:{tag}: {header:?}, not {said:?}");
    Ok(())
}
