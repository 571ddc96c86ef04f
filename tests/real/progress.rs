//! How far a run is, as a person at a terminal sees it, and as a log keeps it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::archive::{Archive, Image};
use crate::support::process::tool;
use crate::support::site::{stderr, stillage, succeed};
use crate::support::temp::TempDir;

/// What the line of progress begins with, on a terminal and in a log.
const LINE: &str = "read ";
/// What it says later.
const WRITING: &str = "writing the site, ";
/// Erases the line that the cursor is in.
const ERASE: &str = "\u{1b}[2K";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new("progress"));
        let image = Image::new(&["o/a:1"]).layer("etc/text", &"text ".repeat(100_000));
        fs::write(place.path("a.tar"), Archive::docker_20(&[image]).tar()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `build` of an archive that comes in two halves with a second between them, and its stderr.
    fn slow(&self) -> String {
        let site = self.path("site");
        let mut child = stillage(["build", "-", "-o", site.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let archive = fs::read(self.path("a.tar")).unwrap();
        let (first, second) = archive.split_at(archive.len() / 2);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(first).unwrap();
        sleep(Duration::from_secs(1));
        stdin.write_all(second).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stderr(&output)
    }

    /// The same on a terminal; gives all that is written to it.
    fn on_terminal(&self, term: &str, args: &str) -> String {
        let build = format!(
            "(head -c 200000; sleep 1; cat) < a.tar | {} build - -o site {args}",
            env!("CARGO_BIN_EXE_stillage")
        );
        self.script(term, &build)
    }

    fn script(&self, term: &str, command: &str) -> String {
        let mut script = Command::new(tool("script"));
        script.args(["-qec", command, "/dev/null"]);
        script.current_dir(self.0.path()).env("TERM", term);
        let Output { stdout, .. } = succeed(script.stdin(Stdio::null()));
        String::from_utf8(stdout).unwrap()
    }
}

#[test]
fn a_terminal_shows_a_line_that_is_gone_in_the_end() {
    let place = Place::new();
    let shown = place.on_terminal("xterm", "");
    let (progress, rest) = shown.rsplit_once(ERASE).expect("a line that is erased");
    let states = progress
        .split(ERASE)
        .filter(|state| !state.trim().is_empty());
    assert!(states.clone().count() >= 2, "{shown:?}");
    for state in states {
        // A slow machine may show the bar of the last blob before it is done.
        let is_one = state.contains(LINE) || state.contains(WRITING);
        assert!(is_one, "{shown:?}");
    }
    assert!(progress.contains("/s "), "no speed: {shown:?}");
    assert!(rest.starts_with("o/a:1@sha256:"), "{shown:?}");
}

/// An image under thousands of names is read at once; its files take longer.
#[test]
fn a_terminal_shows_that_files_are_written() {
    let place = Place::new();
    let names: Vec<String> = (0..3000).map(|number| format!("o/a:{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let image = Image::new(&names).layer("etc/text", "text");
    let archive = place.path("many.tar");
    fs::write(&archive, Archive::docker_20(&[image]).tar()).unwrap();
    let build = format!(
        "{} build {} -o site >/dev/null",
        env!("CARGO_BIN_EXE_stillage"),
        archive.display()
    );
    let shown = place.script("xterm", &build);
    let steps = shown.split(ERASE).filter(|line| line.contains(WRITING));
    assert!(steps.count() >= 1, "{shown:?}");
}

#[test]
fn a_terminal_without_a_cursor_and_quiet_runs_show_none() {
    let place = Place::new();
    let shown = place.on_terminal("dumb", "");
    assert!(shown.starts_with("o/a:1@sha256:"), "{shown:?}");
    assert_eq!(place.on_terminal("xterm", "-q"), "");
    let verify = format!("{} verify -q site", env!("CARGO_BIN_EXE_stillage"));
    assert_eq!(place.script("xterm", &verify), "");
}

/// Messages come before anything is read, and errors when the line is gone.
#[test]
fn what_else_is_said_is_not_mangled() {
    let place = Place::new();
    let broken = format!(
        "(head -c 200000 a.tar; sleep 1) | {} build - -o site; true",
        env!("CARGO_BIN_EXE_stillage")
    );
    let shown = place.script("xterm", &broken);
    let (progress, rest) = shown.rsplit_once(ERASE).expect("a line that is erased");
    assert!(progress.contains(LINE), "{shown:?}");
    assert!(
        rest.replace("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m", "error:")
            .starts_with("error: cannot read standard input"),
        "{shown:?}"
    );
}

#[test]
fn the_log_of_a_short_run_has_no_progress() {
    let start = Instant::now();
    let log = Place::new().slow();
    // On a busy machine it may be a long run.
    assert!(log.starts_with("note: ") || start.elapsed() > Duration::from_secs(10));
}
