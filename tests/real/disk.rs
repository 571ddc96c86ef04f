//! Disks that are full, cannot be written, or change while they are read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::crash::reader;
use crate::crash::scenarios::incompressible;
use crate::support::archive::{Archive, Image, Pack, zstd};
use crate::support::files::digest;
use crate::support::process::tool;
use crate::support::site::{assert_same, build, copy_program, stderr, stillage, succeed, tree};
use crate::support::temp::TempDir;

/// `nobody`.
const PLAIN_USER: u32 = 65534;

fn image(name: &str, text: &str) -> Image {
    Image::new(&[name]).layer("etc/text", text)
}

/// A folder for a disk of its own, for sources, and for copies of what is on the disk.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(TempDir::new("disk"));
        fs::create_dir(disk.path("disk")).unwrap();
        disk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an archive of plain layers, which are compressed on the way into a site.
    fn plain(&self, name: &str, images: &[Image]) {
        fs::write(self.path(name), Archive::docker_20(images).tar()).unwrap();
    }

    /// Writes a layout of packed layers.
    fn packed(&self, name: &str, image: Image) {
        Archive::oci(&[image.packed(Pack::Zstd)]).folder(&self.path(name));
    }

    /// Runs a script in the folder, with mounts of its own: `disk` is one MiB. What must fail leaves
    /// its exit code and messages in `code` and `said`.
    fn script(&self, script: &str) {
        let whole = format!(
            "set -e\nstillage() {{ \"$STILLAGE\" \"$@\"; }}\n\
             fails() {{ code=0; \"$@\" 2>said || code=$?; echo $code >code; }}\n\
             mount -t tmpfs -o size=1m tmpfs disk\n{script}"
        );
        let mut command = Command::new(tool("unshare"));
        command
            .args(["-m", "sh", "-c", &whole])
            .current_dir(self.0.path())
            .env("STILLAGE", env!("CARGO_BIN_EXE_stillage"));
        succeed(&mut command);
    }

    /// What the run that had to fail said, with its exit code.
    fn failed(&self) -> (i32, String) {
        let read = |name| fs::read_to_string(self.path(name)).unwrap();
        (read("code").trim().parse().unwrap(), read("said"))
    }

    /// That the run failed since the disk is full, and the site is as it was.
    fn assert_full(&self, why: &str) {
        let (code, said) = self.failed();
        assert_eq!(code, 2, "{said}");
        for part in ["error: ", "`disk/site/", "No space left on device"] {
            assert!(said.contains(part), "{why}: {said}");
        }
        assert_same(&tree(&self.path("after")), &tree(&self.path("before")));
        reader::read(&self.path("after")).unwrap();
        reader::read(&self.path("final")).unwrap();
    }
}

/// What is compressed here may become small, so only the attempt shows that there is no room.
#[test]
fn a_full_disk_leaves_the_site_as_it_was() {
    let disk = Disk::new();
    disk.plain("one.tar", &[image("o/one:1", "one")]);
    disk.plain("big.tar", &[image("o/big:1", &incompressible(4 << 20))]);
    succeed(
        Command::new(tool("gzip"))
            .arg("-k")
            .arg(disk.path("big.tar")),
    );
    let layers = image("o/long:1", "long").packed(Pack::Zstd);
    let layers = layers.layer("etc/more", &incompressible(900 << 10));
    Archive::oci(&[layers]).folder(&disk.path("zstd"));
    for source in ["big.tar", "big.tar.gz", "zstd"] {
        disk.script(&format!(
            "stillage build -q one.tar -o disk/site; cp -a disk/site before
             fails stillage build -q {source} -o disk/site; cp -a disk/site after
             mount -o remount,size=30m disk
             stillage build -q {source} -o disk/site; cp -a disk/site final"
        ));
        disk.assert_full(source);
        let undisturbed = disk.path("undisturbed");
        let source = disk.path(source);
        let one = disk.path("one.tar");
        build(&[one.to_str().unwrap()], &undisturbed);
        build(&[source.to_str().unwrap()], &undisturbed);
        assert_same(&tree(&disk.path("final")), &tree(&undisturbed));
        for copy in ["before", "after", "final", "undisturbed"] {
            fs::remove_dir_all(disk.path(copy)).unwrap();
        }
    }
}

/// What is packed already has its size: where that cannot fit, nothing is written at all.
#[test]
fn what_cannot_fit_is_refused_before_anything_is_written() {
    let disk = Disk::new();
    disk.plain("one.tar", &[image("o/one:1", "one")]);
    disk.packed("big", image("o/big:1", &incompressible(4 << 20)));
    let big: u64 = fs::read_dir(disk.path("big/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .max()
        .unwrap();
    disk.script("fails stillage build -q big -o disk/site; test ! -e disk/site");
    let (code, said) = disk.failed();
    assert_eq!(code, 2, "{said}");
    let needed: u64 = number_after(&said, "need at least ");
    let free: u64 = number_after(&said, " bytes, ");
    assert!((big..big + 10_000).contains(&needed), "{needed}: {said}");
    assert!((900_000..=1 << 20).contains(&free), "{free}: {said}");
    assert!(
        said.contains("`disk/site`") && said.contains("hint: "),
        "{said}"
    );

    disk.script(
        "stillage build -q one.tar -o disk/site; cp -a disk/site before
         fails stillage build -q big -o disk/site; cp -a disk/site after
         mount -o remount,size=30m disk
         stillage build -q big -o disk/site
         mount -o remount,size=5m disk
         stillage build -q big one.tar -o disk/site",
    );
    assert_eq!(disk.failed().0, 2);
    assert_same(&tree(&disk.path("after")), &tree(&disk.path("before")));
}

fn number_after(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{text}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

#[test]
fn a_site_that_cannot_be_written_is_read() {
    let disk = Disk::new();
    disk.plain("one.tar", &[image("o/one:1", "one")]);
    disk.plain("two.tar", &[image("o/two:1", "two")]);
    for remembers in [true, false] {
        let forget = if remembers {
            ""
        } else {
            "rm -r disk/site/.stillage"
        };
        disk.script(&format!(
            "stillage build -q one.tar -o disk/site; {forget}
             mount -o remount,ro disk
             fails stillage build -q two.tar -o disk/site
             stillage list disk/site >list
             stillage verify disk/site
             stillage build --dry-run -q two.tar -o disk/site"
        ));
        let (code, said) = disk.failed();
        assert_eq!(code, 2, "{said}");
        for part in ["`disk/site/.stillage", "Read-only file system", "hint: "] {
            assert!(said.contains(part), "{said}");
        }
        let list = fs::read_to_string(disk.path("list")).unwrap();
        assert!(list.contains("o/one:1"), "{list}");
    }
}

/// The program as a user without rights; a copy of it, since its own folder may be closed to others.
fn as_plain_user(folder: &Path, args: &[&str]) -> Output {
    let program = folder.join("stillage");
    if !program.exists() {
        copy_program(&program);
    }
    let user = PLAIN_USER.to_string();
    Command::new(tool("setpriv"))
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"])
        .arg(program)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn what_a_user_may_not_read_or_write_is_named() {
    let disk = Disk::new();
    let folder = disk.0.path();
    disk.plain("open.tar", &[image("o/one:1", "one")]);
    disk.plain("closed.tar", &[image("o/two:1", "two")]);
    disk.packed("layout", image("o/three:1", "three"));
    for closed in ["closed.tar", "layout/blobs"] {
        fs::set_permissions(disk.path(closed), fs::Permissions::from_mode(0o600)).unwrap();
    }
    chown(disk.path("disk"), Some(PLAIN_USER), Some(PLAIN_USER)).unwrap();
    for (source, named) in [("closed.tar", "`closed.tar`"), ("layout", "`layout/blobs/")] {
        let output = as_plain_user(folder, &["build", "open.tar", source, "-o", "disk/site"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = stderr(&output);
        assert!(
            said.contains(named) && said.contains("Permission denied"),
            "{said}"
        );
        assert!(!disk.path("disk/site").exists(), "it came to nothing");
    }
    build(
        &[disk.path("open.tar").to_str().unwrap()],
        &disk.path("of-root"),
    );
    let output = as_plain_user(folder, &["build", "open.tar", "-o", "of-root"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.contains("`of-root/.stillage") && said.contains("hint: "),
        "{said}"
    );
    let output = as_plain_user(folder, &["verify", "of-root"]);
    assert!(output.status.success(), "{output:?}");
}

/// A file that one thread changes while others read it.
fn while_changing(change: impl Fn(usize) + Sync, run: impl FnOnce()) {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !ends.load(Ordering::Relaxed) {
                change(number);
                number += 1;
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        // Also where it panics: the scope waits for the thread.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        ends.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
}

/// Builds from a source that changes. It fails or takes what was whole; the site is always whole.
fn changing_source(name: &str, first: &[u8], states: &[Vec<u8>], replace: bool, source: &str) {
    let disk = Disk::new();
    let path = disk.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if name != source {
        let layers = image("o/app:1", &incompressible(300_000)).packed(Pack::Zstd);
        Archive::oci(&[layers]).folder(&disk.path(source));
    }
    fs::write(&path, first).unwrap();
    disk.plain("one.tar", &[image("o/one:1", "one")]);
    let site = disk.path("site");
    build(&[disk.path("one.tar").to_str().unwrap()], &site);
    let mut codes = BTreeMap::new();
    let change = |number: usize| {
        let state = &states[number % states.len()];
        if replace {
            let temporary = path.with_extension("new");
            fs::write(&temporary, state).unwrap();
            fs::rename(temporary, &path).unwrap();
        } else {
            fs::write(&path, state).unwrap();
        }
    };
    while_changing(change, || {
        // Both outcomes occur, sooner or later.
        let has_both = |codes: &BTreeMap<i32, u32>| codes.contains_key(&0) && codes.len() > 1;
        for round in 0..1000 {
            if round >= 30 && has_both(&codes) {
                break;
            }
            let before = tree(&site);
            let mut command = stillage(["build", "-q", "-o", site.to_str().unwrap()]);
            let output = command.arg(disk.path(source)).output().unwrap();
            let code = output.status.code().unwrap();
            *codes.entry(code).or_insert(0) += 1;
            match code {
                0 => {}
                1 | 2 => {
                    assert!(stderr(&output).starts_with("error: "), "{output:?}");
                    assert_same(&tree(&site), &before);
                }
                _ => panic!("{output:?}"),
            }
            reader::read(&site).unwrap();
            succeed(&mut stillage(["verify", site.to_str().unwrap()]));
        }
    });
    let succeeded = codes.remove(&0);
    assert!(
        succeeded.is_some() && !codes.is_empty(),
        "{name}: {succeeded:?}, {codes:?}"
    );
}

#[test]
fn an_archive_that_is_rewritten_while_it_is_read() {
    let archive = |text: &str| Archive::docker_20(&[image("o/app:1", text)]).tar();
    let (one, other) = (
        archive(&incompressible(300_000)),
        archive(&"text ".repeat(60_000)),
    );
    let cut = one[..one.len() / 2].to_vec();
    let states = [one.clone(), other, cut, Vec::new()];
    changing_source("app.tar", &one, &states, false, "app.tar");
    changing_source("app.tar", &one, &states, true, "app.tar");
    // Without a config that says what the layers are, as Docker 1.x saved them.
    let old = |text: &str| Archive::docker_1(&[image("o/app:1", text)]).tar();
    let states = [old(&incompressible(300_000)), old(&"text ".repeat(60_000))];
    changing_source("old.tar", &states[0], &states, false, "old.tar");
}

#[test]
fn a_layer_that_is_replaced_while_it_is_read() {
    let source = image("o/app:1", &incompressible(300_000));
    let right = zstd(&source.layers[0]);
    let wrong = zstd(&image("", "wrong").layers[0]);
    let mut bit = right.clone();
    bit[right.len() / 2] ^= 1;
    let name = format!("layout/blobs/{}", digest(&right).replace(':', "/"));
    let states = [right.clone(), wrong, bit, right[..1000].to_vec()];
    for replace in [true, false] {
        changing_source(&name, &right, &states, replace, "layout");
    }
}
