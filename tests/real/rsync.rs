//! The script that copies a site: in the order of publishing, whatever there was before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::crash::reader;
use crate::support::archive::{Archive, Image};
use crate::support::clients::Docker;
use crate::support::http;
use crate::support::process::{run, tool};
use crate::support::servers::apache;
use crate::support::servers::nginx::Nginx;
use crate::support::site::{
    assert_same, build, inodes, small_site, stderr, stillage, succeed, tree, verify,
};
use crate::support::sshd::Sshd;
use crate::support::temp::TempDir;

/// A site, the script that copies it, and the folder that it is copied to.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new("rsync"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn site(&self) -> PathBuf {
        self.path("site")
    }

    fn served(&self) -> PathBuf {
        self.path("served")
    }

    /// Builds the images into the site.
    fn build(&self, images: &[Image], args: &[&str]) {
        let tar = self.path("images.tar");
        fs::write(&tar, Archive::docker_20(images).tar()).unwrap();
        let args = [&[tar.to_str().unwrap()], args].concat();
        build(&args, &self.site());
    }

    fn script(&self) -> PathBuf {
        let script = self.path("copy.sh");
        if !script.exists() {
            let mut config = stillage(["config", "rsync"]);
            succeed(config.arg(self.site()).arg("-o").arg(&script));
        }
        script
    }

    fn command(&self, dest: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg(self.script()).arg(dest).args(args);
        command
    }

    fn copy(&self) -> Output {
        succeed(&mut self.command(self.served().to_str().unwrap(), &[]))
    }
}

fn image(name: &str, text: &str) -> Image {
    Image::new(&[name]).layer("etc/text", &text.repeat(2000))
}

/// So many repositories of one tag; those of equal text are of equal size, too.
fn images(prefix: &str, text: &str, count: usize) -> Vec<Image> {
    let each = |number| {
        image(
            &format!("{prefix}/n{number}:1"),
            &format!("{prefix} {text} {number:02}"),
        )
    };
    (0..count).map(each).collect()
}

#[test]
fn a_copy_is_the_site_and_only_what_differs_is_sent() {
    let place = Place::new();
    let site = small_site();
    fs::rename(site.path(), place.site()).unwrap();
    place.copy();
    assert_same(&tree(&place.site()), &tree(&place.served()));
    let links = |folder: &Path| tree(folder).len() - distinct(folder);
    assert_eq!(links(&place.site()), links(&place.served()));
    verify(&place.served());

    // Another checkout of the same site has new times.
    let before = inodes(&place.served());
    let fresh = place.path("fresh");
    succeed(
        Command::new("cp")
            .arg("-r")
            .args([place.site(), fresh.clone()]),
    );
    let mut again = place.command(place.served().to_str().unwrap(), &["--stats"]);
    let output = succeed(again.env("STILLAGE_SITE", &fresh));
    assert_same(&before, &inodes(&place.served()));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("Number of regular files transferred: 0"),
        "{said}"
    );
    assert!(!said.contains("transferred: 1"), "{said}");
}

/// The number of files of their own.
fn distinct(folder: &Path) -> usize {
    let inodes: std::collections::BTreeSet<u64> = inodes(folder)
        .into_values()
        .map(|(inode, ..)| inode)
        .collect();
    inodes.len()
}

#[test]
fn pointers_of_equal_size_and_time_are_replaced() {
    let place = Place::new();
    place.build(&images("o", "a", 2), &[]);
    place.copy();
    place.build(&images("o", "b", 2), &[]);
    let now = fs::metadata(place.served().join("index.json")).unwrap();
    for folder in [place.site(), place.served()] {
        for entry in walkdir::WalkDir::new(folder) {
            let file = fs::File::open(entry.unwrap().path()).unwrap();
            file.set_modified(now.modified().unwrap()).unwrap();
        }
    }
    place.copy();
    assert_same(&tree(&place.site()), &tree(&place.served()));
}

#[test]
fn what_the_site_no_longer_has_goes_and_what_is_not_its_own_stays() {
    let place = Place::new();
    place.build(&[images("o", "a", 3), images("gone", "a", 2)].concat(), &[]);
    place.copy();
    let others = ["robots.txt", ".stillage/lock", "pictures/a.png"];
    for other in others {
        let path = place.served().join(other);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    place.build(&images("o", "b", 3), &["--mirror"]);
    let mut prune = stillage(["prune", "--grace", "0"]);
    succeed(prune.arg(place.site()));
    let dest = place.served();
    let kept = succeed(
        Command::new("sh")
            .arg(place.script())
            .arg("--keep-content")
            .arg(&dest),
    );
    assert!(kept.stdout.is_empty() && kept.stderr.is_empty(), "{kept:?}");
    let copied = tree(&dest);
    assert!(!copied.contains_key("v2/gone/n0/tags/list"));
    assert!(!copied.contains_key("v2/gone/n0/manifests/1"));
    assert!(!copied.contains_key("v1/repositories/gone/n0/images"));
    let old_blobs = copied
        .keys()
        .filter(|path| path.starts_with("v2/gone/n0/blobs/"));
    assert!(old_blobs.count() > 1, "{:?}", copied.keys());
    verify(&dest);
    let output = place.copy();
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    for other in others {
        assert!(dest.join(other).exists(), "{other}");
    }
    for folder in ["blobs", "v1", "v2"] {
        assert_same(&tree(&place.site().join(folder)), &tree(&dest.join(folder)));
    }
}

#[test]
fn mistakes_are_named_and_change_nothing() {
    let place = Place::new();
    let site = place.path("it's a \"site\" $HOME");
    build(&["fixtures/docker-20.10.tar"], &site);
    fs::rename(&site, place.site()).unwrap();
    let script = place.script();
    // The script names the site wherever it lies.
    fs::rename(place.site(), &site).unwrap();
    fs::remove_file(&script).unwrap();
    succeed(
        stillage(["config", "rsync"])
            .arg(&site)
            .arg("-o")
            .arg(&script),
    );
    place.copy();
    assert_same(&tree(&site), &tree(&place.served()));
    let refused = |args: &[&str], site: &str, words: &str| {
        let mut command = Command::new("sh");
        let output = command
            .arg(&script)
            .args(args)
            .env("STILLAGE_SITE", site)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(words), "{output:?}");
    };
    let site = site.to_str().unwrap();
    refused(&[], site, "usage: ");
    refused(&["--delete"], site, "usage: ");
    refused(&["/nowhere"], "/", "is not a site");
}

/// Reads a site again and again while something is done; gives how often.
fn poll(site: &Path, work: impl FnOnce()) -> usize {
    let (ends, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                if let Err(error) = reader::read_listed(site) {
                    failed.lock().unwrap().push(format!("{error:#}"));
                }
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ends.store(true, Ordering::Relaxed);
        done
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    done.unwrap();
    reads.into_inner()
}

#[test]
fn a_reader_never_finds_a_name_without_what_it_stands_for() {
    for server in [&[][..], &["--server", "apache"]] {
        let place = Place::new();
        place.build(&images("o", "a", 40), server);
        place.copy();
        let (mut rounds, mut reads) = (0, 0);
        // A busy machine needs more rounds for as many reads.
        while rounds < 3 || reads < 10 {
            let moved = images("o", &format!("b{rounds}"), 40);
            let come = images(&format!("new{rounds}"), "c", 40);
            place.build(&[moved, come].concat(), &[]);
            reads += poll(&place.served(), || drop(place.copy()));
            assert_same(&tree(&place.site()), &tree(&place.served()));
            rounds += 1;
        }
    }
}

/// Each pass in turn is the last one: what is listed then can be read, and the next run finishes.
#[test]
fn a_copy_that_breaks_off_is_whole() {
    const PASSES: usize = 10;
    let place = Place::new();
    let states = [
        [images("o", "a", 4), images("gone", "a", 2)].concat(),
        [images("o", "b", 4), images("new", "b", 2)].concat(),
    ];
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    let wrapper = format!(
        "#!/bin/sh\necho >>$COUNT\n[ $(wc -l <$COUNT) -le $LAST ] || exit 30\nexec {} \"$@\"\n",
        tool("rsync").display()
    );
    let program = bin.join("rsync");
    fs::write(&program, wrapper).unwrap();
    succeed(Command::new("chmod").arg("+x").arg(&program));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for last in 0..=PASSES {
        place.build(&states[last % 2], &["--mirror", "--server", "apache"]);
        succeed(stillage(["prune", "--grace", "0", "--untagged"]).arg(place.site()));
        let count = place.path("count");
        let _ = fs::remove_file(&count);
        let mut copy = place.command(place.served().to_str().unwrap(), &[]);
        copy.env("PATH", &path).env("COUNT", &count);
        let output = copy.env("LAST", last.to_string()).output().unwrap();
        assert_eq!(
            output.status.success(),
            last == PASSES,
            "{last}: {output:?}"
        );
        if place.served().join("v2/_catalog").exists() {
            let read = reader::read_listed(&place.served());
            read.unwrap_or_else(|error| panic!("after pass {last}: {error:#}"));
        }
        place.copy();
        assert_same(&tree(&place.site()), &tree(&place.served()));
    }
}

/// Apache has its rules for tags in the site, one file for all tags of a repository: tags that go are
/// answered as long as they are listed.
#[test]
fn apache_answers_each_listed_tag_while_tags_go() {
    let place = Place::new();
    let tags = |count: usize| {
        let names: Vec<String> = (0..count).map(|tag| format!("o/app:{tag}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Image::new(&names).layer("etc/text", "text")
    };
    place.build(&[tags(40)], &["--server", "apache"]);
    place.copy();
    let server = apache::SHARED_HOST.start(&place.served());
    let listed = || {
        // Apache takes the length of one file and the content of its successor if that comes in between.
        let list: serde_json::Value = loop {
            let answer = http::get(server.port, "/v2/o/app/tags/list");
            if let Ok(list) = serde_json::from_slice(&answer.body) {
                break list;
            }
        };
        let tags = list["tags"].as_array().unwrap().iter();
        tags.map(|tag| tag.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (ends, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let poller = scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                for tag in listed() {
                    let response = http::get(server.port, &format!("/v2/o/app/manifests/{tag}"));
                    // It may have gone off the list meanwhile.
                    if response.status != 200 && listed().contains(&tag) {
                        return Some((tag, response));
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
            None
        });
        let mut rounds = 0;
        while !poller.is_finished() && (rounds < 3 || asked.load(Ordering::Relaxed) < 200) {
            for count in [40, 20, 1] {
                place.build(&[tags(count)], &["--mirror"]);
                place.copy();
            }
            rounds += 1;
        }
        ends.store(true, Ordering::Relaxed);
        assert!(poller.join().unwrap().is_none());
    });
    assert_eq!(listed(), ["0"]);
}

#[test]
fn docker_pulls_while_copies_run() {
    let place = Place::new();
    let state = |number: usize| {
        let mut all = images("o", &format!("s{}", number % 2), 3);
        all.push(image("o/stays:1", "stays"));
        all
    };
    place.build(&state(0), &[]);
    place.copy();
    let nginx = Nginx::start(&place.served());
    let docker = Docker::start();
    let (ends, pulls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let puller = scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let count = pulls.fetch_add(1, Ordering::Relaxed);
                let name = ["n0", "n1", "n2", "stays"][count % 4];
                let reference = format!("127.0.0.1:{}/o/{name}:1", nginx.port);
                run(docker.command().args(["pull", "-q", &reference]))?;
                run(docker.command().args(["rmi", "-f", &reference]))?;
            }
            anyhow::Ok(())
        });
        let mut round = 0;
        while !puller.is_finished() && (round < 20 || pulls.load(Ordering::Relaxed) < 20) {
            round += 1;
            place.build(&state(round), &[]);
            place.copy();
        }
        ends.store(true, Ordering::Relaxed);
        puller.join().unwrap().unwrap();
    });
}

#[test]
fn a_copy_to_another_host() {
    let place = Place::new();
    place.build(&images("o", "a", 3), &[]);
    let sshd = Sshd::start(place.0.path(), &[("user", "")]);
    let ssh = sshd.words("user");
    let dest = format!("127.0.0.1:{}", place.served().display());
    for text in ["a", "b"] {
        place.build(&images("o", text, 3), &[]);
        succeed(&mut place.command(&dest, &["-e", &ssh]));
        assert_same(&tree(&place.site()), &tree(&place.served()));
    }
}

/// A build that comes meanwhile would publish names whose content the copy has passed by already.
#[test]
fn builds_wait_for_the_copy() {
    let place = Place::new();
    place.build(&images("o", "a", 1), &[]);
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    let program = bin.join("rsync");
    let other = format!(
        "#!/bin/sh\n{} prune --no-wait {} >{} 2>&1\necho $? >>{}\n",
        env!("CARGO_BIN_EXE_stillage"),
        place.site().display(),
        place.path("said").display(),
        place.path("codes").display()
    );
    fs::write(&program, other).unwrap();
    succeed(Command::new("chmod").arg("+x").arg(&program));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut copy = place.command("/nowhere", &[]);
    succeed(copy.env("PATH", path));
    let codes = fs::read_to_string(place.path("codes")).unwrap();
    assert_eq!(codes, "2\n".repeat(10));
    let said = fs::read_to_string(place.path("said")).unwrap();
    assert!(
        said.contains("another run is writing to the site"),
        "{said}"
    );
}
