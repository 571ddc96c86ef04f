//! Pulls that never stop while builds move tags, change their types, and drop and add others.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::crash::is_long;
use crate::support::archive::{Archive, Image, Pack};
use crate::support::process::{run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::build;
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
    let ends = AtomicBool::new(false);
    let (pulls, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let mut builds = 0;
    std::thread::scope(|scope| {
        for (number, tag) in STAYING.iter().enumerate() {
            let (ends, pulls, failed, port) = (&ends, &pulls, &failed, nginx.port);
            let target = folder.path().join(format!("pulled{number}"));
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let _ = fs::remove_dir_all(&target);
                    if let Err(error) = pull(port, tag, &target) {
                        failed.lock().unwrap().push(format!("{tag}: {error:#}"));
                    }
                    pulls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let start = Instant::now();
        let changed = std::panic::catch_unwind(|| {
            let mut builds = 0;
            while start.elapsed() < time {
                let mut args = states[(builds + 1) % 2].clone();
                args.push("--mirror".into());
                build(&args, site.path());
                builds += 1;
            }
            builds
        });
        ends.store(true, Ordering::Relaxed);
        builds = changed.unwrap();
    });
    let failed = failed.into_inner().unwrap();
    let pulls = pulls.into_inner();
    println!(
        "{pulls} pulls during {builds} builds, {} failed",
        failed.len()
    );
    assert!(pulls > 20 && builds > 10, "{pulls} pulls, {builds} builds");
    assert!(failed.is_empty(), "{}\n{}", failed.join("\n"), nginx.log());
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
