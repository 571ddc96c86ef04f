//! The packages, and the .deb installed in a Debian of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{package, paths, script};
use crate::support::clients::{Client as _, Skopeo};
use crate::support::http;
use crate::support::process::{Daemon, run, tool};
use crate::support::servers::free_port;
use crate::support::temp::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A command in the system below a folder.
fn inside(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(tool("chroot"));
    command
        .arg(root)
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C");
    command
}

/// The release of Debian that this machine has, from where it gets its packages.
fn debian(root: &Path) {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.unwrap();
    let format = ["indextargets", "--format", "$(CODENAME) $(REPO_URI)"];
    let indexes = run(Command::new(tool("apt-get")).args(format)).unwrap();
    let address = indexes
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{codename} ")));
    run(Command::new(tool("debootstrap"))
        .args(["--variant=minbase", "--include=man-db", codename])
        .arg(root)
        .arg(address.expect("a source of packages")))
    .unwrap();
}

#[test]
#[ignore = "compiles a release and installs it in a Debian of its own"]
fn packages_are_installed_and_removed() {
    run(&mut package(&[])).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages");
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let mut files: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    files.push("SHA256SUMS");
    files.sort_unstable();
    let entries = fs::read_dir(&folder).unwrap();
    let mut found: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, files);
    let mut check = Command::new(tool("sha256sum"));
    run(check.args(["--check", "SHA256SUMS"]).current_dir(&folder)).unwrap();
    let named = |end: &str| folder.join(files.iter().find(|name| name.ends_with(end)).unwrap());
    the_archive_is_complete(&named(".tar.gz"));

    let root = TempDir::new("debian");
    let root = root.path();
    debian(root);
    let before = paths(root);
    fs::copy(named(".deb"), root.join("stillage.deb")).unwrap();
    run(&mut inside(root, &["dpkg", "--install", "/stillage.deb"])).unwrap();
    fs::remove_file(root.join("stillage.deb")).unwrap();
    let status = run(&mut inside(root, &["dpkg", "--status", "stillage"])).unwrap();
    assert!(!status.contains("Depends:"), "{status}");
    let version = run(&mut inside(root, &["stillage", "--version"])).unwrap();
    assert_eq!(version, format!("stillage {VERSION}\n"));
    it_is_documented(root);
    it_builds_and_serves(root);
    let installed = paths(root);
    let new: Vec<&String> = installed.difference(&before).collect();
    assert!(new.iter().all(|path| path.ends_with("(0, 0)")), "{new:#?}");
    run(&mut inside(root, &["dpkg", "--remove", "stillage"])).unwrap();
    assert_eq!(paths(root), before);
    let status = inside(root, &["dpkg", "--status", "stillage"])
        .output()
        .unwrap();
    assert!(!status.status.success(), "{status:?}");
}

/// Every page of the manual and every completion is where its reader looks for it.
fn it_is_documented(root: &Path) {
    let folder = TempDir::new("man");
    run(&mut inside(root, &["stillage", "man", "-o", "/man"])).unwrap();
    fs::rename(root.join("man"), folder.path().join("man")).unwrap();
    let mut pages = 0;
    let man = folder.path().join("man");
    let sections = ["man1", "man7"].map(|section| fs::read_dir(man.join(section)).unwrap());
    for page in sections.into_iter().flatten() {
        let page = page.unwrap().file_name().into_string().unwrap();
        let (name, section) = page.rsplit_once('.').unwrap();
        let found = run(&mut inside(root, &["man", "-w", section, name])).unwrap();
        assert_eq!(found, format!("/usr/share/man/man{section}/{page}.gz\n"));
        pages += 1;
    }
    assert!(pages > 10, "{pages} pages");
    let text = run(&mut inside(root, &["man", "stillage-build"])).unwrap();
    assert!(text.contains("--keep-manifests"), "{text}");
    for path in [
        "bash-completion/completions/stillage",
        "zsh/vendor-completions/_stillage",
        "fish/vendor_completions.d/stillage.fish",
        "doc/stillage/README.md",
        "doc/stillage/copyright",
        "doc/stillage/nginx.conf.example",
    ] {
        let text = fs::read_to_string(root.join("usr/share").join(path));
        assert!(text.unwrap().len() > 500, "{path}");
    }
}

fn it_builds_and_serves(root: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/docker-20.10.tar");
    fs::copy(fixture, root.join("images.tar")).unwrap();
    run(&mut inside(
        root,
        &["stillage", "build", "/images.tar", "-o", "/site"],
    ))
    .unwrap();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let command = inside(root, &["stillage", "serve", "/site", "--listen", &listen]);
    let args: Vec<&str> = command
        .get_args()
        .map(|word| word.to_str().unwrap())
        .collect();
    let log = TempDir::new("debian-log");
    let daemon = Daemon::start(&tool("chroot"), &args, &log.path().join("log"))
        .wait_until(|| http::send(port, "GET", "/v2/", &[]).is_ok());
    let pulled = Skopeo::new().pull(&format!("{listen}/sample/hello:1.0"), None);
    assert_eq!(pulled.unwrap().diff_ids.len(), 3);
    let address = format!("http://{listen}");
    run(&mut inside(root, &["stillage", "verify", &address])).unwrap();
    drop(daemon);
    for name in ["site", "images.tar"] {
        run(Command::new("rm").arg("-r").arg(root.join(name))).unwrap();
    }
}

/// It can be unpacked over /usr/local.
fn the_archive_is_complete(archive: &Path) {
    let folder = TempDir::new("unpacked");
    let mut unpack = Command::new(tool("tar"));
    unpack
        .arg("-xzf")
        .arg(archive)
        .args(["--strip-components=1", "-C"]);
    run(unpack.arg(folder.path())).unwrap();
    let version = run(Command::new(folder.path().join("bin/stillage")).arg("--version"));
    assert_eq!(version.unwrap(), format!("stillage {VERSION}\n"));
    for path in [
        "LICENSE",
        "share/man/man1/stillage.1.gz",
        "share/bash-completion/completions/stillage",
        "share/zsh/site-functions/_stillage",
        "share/fish/vendor_completions.d/stillage.fish",
    ] {
        assert!(folder.path().join(path).is_file(), "{path}");
    }
}

#[test]
fn the_script_says_what_it_takes() {
    let help = run(&mut script(".github/package.sh", &["-h"])).unwrap();
    assert!(help.contains("--binary"), "{help}");
    let help = run(&mut script("fixtures/image.sh", &["-h"])).unwrap();
    assert!(help.contains("stillage build - -o SITE"), "{help}");
    let wrong = script(".github/package.sh", &["x"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}
