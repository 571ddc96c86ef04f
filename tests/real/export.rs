//! Exports between real hosts and tools: over SSH, from a server, checked without Stillage.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::crash::is_long;
use crate::crash::scenarios::incompressible;
use crate::support::archive::{Archive, Image};
use crate::support::process::{peak_of, run, tool};
use crate::support::servers::nginx::Nginx;
use crate::support::site::{
    SMALL, assert_same, build, json, small_site, stderr, stillage, succeed, tree, verify,
};
use crate::support::sshd::Sshd;
use crate::support::temp::TempDir;

/// In KiB.
const MOST_MEMORY: u64 = 128 << 10;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The line in the README, with `bash` and a real host.
#[test]
fn a_far_mirror_is_one_line() {
    let folder = TempDir::new("export");
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    build(&SMALL, &here);
    build(&["fixtures/docker-17.06.tar=own"], &there);
    let program = env!("CARGO_BIN_EXE_stillage");
    let key = |site: &Path, option: &str| {
        format!(
            "command=\"{program} ssh-command --site {}{option}\",restrict",
            site.display()
        )
    };
    let keys = [
        ("mirror", key(&there, " --mirror")),
        ("adds", key(&there, "")),
        ("origin", key(&here, " --read-only")),
    ];
    let keys = keys
        .each_ref()
        .map(|(name, options)| (*name, options.as_str()));
    let sshd = Sshd::start(folder.path(), &keys);
    let ssh = |name: &str| {
        let command = sshd.ssh(name, &[]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    };
    let line = |name: &str| {
        let ssh = ssh(name);
        let line = format!(
            "set -o pipefail; {program} export {} --since <({ssh} index) | {ssh} put",
            here.display()
        );
        succeed(Command::new("bash").args(["-c", &line]))
    };
    line("adds");
    assert!(there.join("v2/own/tags/list").exists());
    line("mirror");
    assert!(!there.join("v2/own/tags/list").exists());
    // What was removed and added in between goes the same way; nothing more goes twice.
    succeed(stillage(["remove", text(&here), "zstd"]).stdout(Stdio::null()));
    build(
        &["fixtures/podman-4.3-docker-archive-multi.tar=podman/"],
        &here,
    );
    line("mirror");
    let catalogue = fs::read(here.join("index.json")).unwrap();
    assert_eq!(fs::read(there.join("index.json")).unwrap(), catalogue);
    verify(&there);
    // A mirror behind a firewall asks for it.
    let pulls = folder.path().join("pulls");
    for source in [None, Some("fixtures/docker-1.12.6.tar=late/")] {
        if let Some(source) = source {
            build(&[source], &here);
        }
        let ssh = ssh("origin");
        let pulls = pulls.display();
        let command = match source {
            None => format!("{ssh} export"),
            Some(_) => format!("{ssh} export-since < {pulls}/index.json"),
        };
        let line = format!("set -o pipefail; {command} | {program} build - -o {pulls} --mirror");
        succeed(Command::new("bash").args(["-c", &line]));
        verify(Path::new(&pulls.to_string()));
        let catalogue = fs::read(here.join("index.json")).unwrap();
        assert_eq!(fs::read(format!("{pulls}/index.json")).unwrap(), catalogue);
    }
}

/// The URL of a served site says what it has.
#[test]
fn a_server_is_a_base() {
    let (here, folder) = (small_site(), TempDir::new("export"));
    let there = folder.path().join("there");
    build(&["fixtures/docker-20.10.tar"], &there);
    let server = Nginx::start(&there);
    let url = format!("http://127.0.0.1:{}", server.port);
    let export = |base: &str| {
        succeed(&mut stillage([
            "export",
            text(here.path()),
            "--since",
            base,
        ]))
        .stdout
    };
    assert_eq!(export(&url), export(text(&there)));
    let diff = |base: &str| succeed(&mut stillage(["diff", text(here.path()), base])).stdout;
    assert_eq!(diff(&url), diff(text(&there.join("index.json"))));
    for (url, words) in [
        (format!("{url}/nothing"), "there is no site at"),
        ("http://127.0.0.1:1".to_owned(), "cannot request"),
    ] {
        let output = stillage(["diff", text(here.path()), &url])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

/// A full export is an image layout for skopeo, and `sha256sum` alone verifies volumes.
#[test]
fn other_tools_read_exports() {
    let folder = TempDir::new("export");
    let at = |name: &str| folder.path().join(name);
    let site = at("site");
    let image = Image::new(&["large:1"]).layer("etc/large", &incompressible(400_000));
    fs::write(at("large.tar"), Archive::docker_20(&[image]).tar()).unwrap();
    let large = at("large.tar");
    build(
        &[
            text(&large),
            "fixtures/oci-layout",
            "fixtures/docker-1.4.1.tar=old",
        ],
        &site,
    );
    let all = at("all.tar");
    succeed(stillage(["export", text(&site), "-o", text(&all)]).stdout(Stdio::null()));
    // Docker's manifests are none for it.
    for name in ["sample/hello:1.0", "tiny:1"] {
        let mut inspect = Command::new(tool("skopeo"));
        let found = run(inspect.args([
            "inspect",
            "--raw",
            &format!("oci-archive:{}:{name}", all.display()),
        ]));
        let (repository, tag) = name.split_once(':').unwrap();
        let manifest =
            fs::read_to_string(site.join(format!("v2/{repository}/manifests/{tag}"))).unwrap();
        assert_eq!(found.unwrap(), manifest, "{name}");
    }
    let volumes = at("v.tar");
    succeed(&mut stillage([
        "export",
        text(&site),
        "-o",
        text(&volumes),
        "--max-size",
        "100K",
    ]));
    let mut count = 0;
    while let Some(volume) = Some(at(&format!("v.{}.tar", count + 1))).filter(|path| path.exists())
    {
        count += 1;
        let unpacked = at(&format!("volume-{count}"));
        fs::create_dir(&unpacked).unwrap();
        run(Command::new("tar")
            .arg("-C")
            .arg(&unpacked)
            .arg("-xf")
            .arg(&volume))
        .unwrap();
        let check = |code| {
            let mut sums = Command::new("sha256sum");
            let checked = sums
                .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
                .current_dir(&unpacked);
            assert_eq!(
                checked.output().unwrap().status.code(),
                Some(code),
                "{volume:?}"
            );
        };
        check(0);
        let largest = walkdir::WalkDir::new(&unpacked)
            .into_iter()
            .map(|entry| entry.unwrap().into_path());
        let largest = largest
            .filter(|path| path.is_file())
            .max_by_key(|path| fs::metadata(path).unwrap().len());
        let largest = largest.unwrap();
        let mut bytes = fs::read(&largest).unwrap();
        bytes[7] ^= 4;
        fs::write(largest, bytes).unwrap();
        check(1);
    }
    assert!((4..10).contains(&count), "{count}");
}

/// An export of one new image among very many carries that image, and little more.
#[test]
fn one_new_image_among_many_is_a_small_export() {
    let folder = TempDir::new("export");
    let at = |name: &str| folder.path().join(name);
    let number = if is_long() { 10_000 } else { 1_000 };
    let images: Vec<Image> = (0..number)
        .map(|number| {
            let name = format!(
                "team{:03}/app{}:{}",
                number / 100,
                number / 10 % 10,
                number % 10
            );
            let own = incompressible(600) + &number.to_string();
            Image::new(&[&name])
                .layer("base", "the same in all")
                .layer("own", &own)
        })
        .collect();
    Archive::oci(&images).folder(&at("layout"));
    let (site, there) = (at("site"), at("there"));
    build(&[text(&at("layout")), "--no-v1"], &site);
    succeed(&mut stillage([
        "export",
        text(&site),
        "-q",
        "-o",
        text(&at("full.tar")),
    ]));
    build(&[text(&at("full.tar"))], &there);
    let new = Image::new(&["team005/new:1"]).layer("new", "new");
    fs::write(at("new.tar"), Archive::docker_20(&[new]).tar()).unwrap();
    build(&[text(&at("new.tar")), "--no-v1"], &site);
    let since = at("there/index.json");
    let delta = at("delta.tar");
    let options = ["--since", text(&since), "-o", text(&delta), "-q"];
    let peak = watched(stillage(["export", text(&site)]).args(options));
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 10);
    let length = |name: &str| fs::metadata(at(name)).unwrap().len();
    assert!(
        length("delta.tar") * 20 < length("full.tar"),
        "{} of {}",
        length("delta.tar"),
        length("full.tar")
    );
    let peak = watched(&mut stillage([
        "build",
        text(&delta),
        "-q",
        "--mirror",
        "-o",
        text(&there),
    ]));
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 10);
    assert_same(&tree(&site), &tree(&there));
    let names = json(there.join("v2/_catalog"))["repositories"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(names, number / 10 + 1);
}

/// The most memory that a command takes, in KiB.
fn watched(command: &mut Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    loop {
        peak = peak.max(peak_of(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}");
            assert!(peak > 0);
            return peak;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
