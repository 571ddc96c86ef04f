//! One writer at a time: others wait or give up, and one that dies holds nobody up.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::archive::{Archive, Image};
use crate::support::site::{assert_same, build, stderr, stillage, tree, verify};
use crate::support::temp::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new("locks"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn site(&self) -> PathBuf {
        self.path("site")
    }

    fn tar(&self, name: &str, images: &[Image]) -> String {
        fs::write(self.path(name), Archive::docker_20(images).tar()).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = stillage(["build", "-o", self.site().to_str().unwrap()]);
        command.args(args).stderr(Stdio::piped());
        command
    }

    /// A build that holds the lock for as long as its standard input is open.
    fn holder(&self) -> Child {
        let mut holder = self.command(&["-"]).stdin(Stdio::piped()).spawn().unwrap();
        let lock = self.site().join(".stillage/lock");
        let start = Instant::now();
        while !lock.exists() || self.site().join(".stillage/staging").read_dir().is_err() {
            assert!(holder.try_wait().unwrap().is_none(), "the holder ended");
            assert!(start.elapsed() < Duration::from_mins(2), "no lock");
            std::thread::sleep(Duration::from_millis(2));
        }
        holder
    }
}

fn image(name: &str) -> Image {
    Image::new(&[name]).layer("etc/text", name)
}

/// Waits until a run says that it waits.
fn says_that_it_waits(child: &mut Child) {
    let mut line = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    assert!(line.contains("waiting for another run"), "{line}");
}

#[test]
fn a_run_that_will_not_wait_says_who_is_in_the_way() {
    let place = Place::new();
    let source = place.tar("a.tar", &[image("o/a:1")]);
    let mut holder = place.holder();
    let output = place.command(&[&source, "--no-wait"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for part in ["error: another run", "/site`", "hint: "] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let output = place.command(&[&source, "--no-wait"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    verify(&place.site());
}

#[test]
fn a_holder_that_dies_frees_those_who_wait() {
    let place = Place::new();
    let source = place.tar("a.tar", &[image("o/a:1")]);
    let mut holder = place.holder();
    let mut waiting = place.command(&[&source]).spawn().unwrap();
    says_that_it_waits(&mut waiting);
    assert!(waiting.try_wait().unwrap().is_none());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(waiting.wait().unwrap().success());
    verify(&place.site());
}

/// A first run that comes to nothing takes its lock away: whoever waited for it gets a new one.
#[test]
fn a_first_run_that_fails_leaves_nothing_and_frees_those_who_wait() {
    let place = Place::new();
    let source = place.tar("a.tar", &[image("o/a:1")]);
    let mut holder = place.holder();
    let mut waiting: Vec<Child> = (0..4)
        .map(|_| place.command(&[&source]).spawn().unwrap())
        .collect();
    waiting.iter_mut().for_each(says_that_it_waits);
    drop(holder.stdin.take());
    assert!(!holder.wait().unwrap().success(), "nothing is no archive");
    for mut child in waiting {
        assert!(child.wait().unwrap().success());
    }
    verify(&place.site());

    let other = place.path("other");
    let mut command = stillage(["build", "-o", other.to_str().unwrap()]);
    let output = command.arg(place.path("none.tar")).output().unwrap();
    assert!(!output.status.success() && !other.exists());
    fs::create_dir(&other).unwrap();
    assert!(!command.output().unwrap().status.success());
    assert!(other.read_dir().unwrap().next().is_none());
}

/// Runs all at once; each must succeed.
fn all_at_once(place: &Place, sources: &[String]) {
    let children: Vec<Child> = sources
        .iter()
        .map(|source| place.command(&[source]).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

fn in_turn(sources: &[String], site: &Path) {
    for source in sources {
        build(&[source], site);
    }
}

#[test]
fn builds_at_once_give_what_they_give_in_turn() {
    for count in [2, 8] {
        for shared in [false, true] {
            let place = Place::new();
            let source = |number: usize| {
                let name = if shared {
                    format!("o/shared:{number}")
                } else {
                    format!("o/own{number}:1")
                };
                place.tar(&format!("{number}.tar"), &[image(&name)])
            };
            let sources: Vec<String> = (0..count).map(source).collect();
            all_at_once(&place, &sources);
            let sequential = place.path("sequential");
            in_turn(&sources, &sequential);
            assert_same(&tree(&place.site()), &tree(&sequential));
            verify(&place.site());
        }
    }
}
