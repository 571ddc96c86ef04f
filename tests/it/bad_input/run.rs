//! Runs the cases of a table and says of all of them what is wrong.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::archive::{Archive, Image};
use crate::support::process::peak_of;
use crate::support::site::{inodes, tree};
use crate::support::temp::TempDir;

/// Memory that a run may reserve, in KiB: far less than the bombs would need.
const MEMORY: u32 = 900 << 10;
/// Processor time that a run may take: far less than work in the square of the input would need.
pub(super) const TIME: Duration = Duration::from_secs(40);
/// Time after which a run hangs, however busy the machine is.
const HANGS: Duration = Duration::from_mins(10);
/// What the program gets on its standard input, if it is there.
const STDIN: &str = ".stdin";
/// An error that is longer than this is no longer read.
const MAX_ERROR: usize = 2500;

/// Makes the input in a folder and gives the arguments of `build`.
type Make = Box<dyn Fn(&Path) -> Vec<String> + Send + Sync>;

/// One input and what the program must make of it.
pub(super) struct Case {
    name: &'static str,
    make: Make,
    words: Vec<&'static str>,
    code: i32,
    time: Duration,
    peak: u64,
    bug: Option<&'static str>,
}

/// A case whose input and arguments are made by hand; `words` must be in the error.
pub(super) fn case(
    name: &'static str,
    words: &[&'static str],
    make: impl Fn(&Path) -> Vec<String> + Send + Sync + 'static,
) -> Case {
    Case {
        name,
        make: Box::new(make),
        words: words.to_vec(),
        code: 1,
        time: TIME,
        peak: u64::MAX,
        bug: None,
    }
}

/// A case that is a file of these bytes, `bad.tar`.
pub(super) fn bytes<B: Into<Vec<u8>>>(
    name: &'static str,
    words: &[&'static str],
    make: impl Fn() -> B + Send + Sync + 'static,
) -> Case {
    let words = [&["bad.tar`"], words].concat();
    case(name, &words, move |folder| {
        let path = folder.join("bad.tar");
        fs::write(&path, make().into()).unwrap();
        vec![text(&path)]
    })
}

/// A case that is an archive, written to `bad.tar`.
pub(super) fn tar(
    name: &'static str,
    words: &[&'static str],
    make: impl Fn() -> Archive + Send + Sync + 'static,
) -> Case {
    bytes(name, words, move || make().tar())
}

/// A case that is bytes on the standard input, `-`.
pub(super) fn stdin<B: Into<Vec<u8>>>(
    name: &'static str,
    words: &[&'static str],
    make: impl Fn() -> B + Send + Sync + 'static,
) -> Case {
    let words = [&["standard input"], words].concat();
    case(name, &words, move |folder| {
        fs::write(folder.join(STDIN), make().into()).unwrap();
        vec!["-".into()]
    })
}

/// A case that is a folder, `bad`.
pub(super) fn folder(
    name: &'static str,
    words: &[&'static str],
    make: impl Fn() -> Archive + Send + Sync + 'static,
) -> Case {
    let words = [&["/bad"], words].concat();
    case(name, &words, move |folder| {
        let path = folder.join("bad");
        make().folder(&path);
        vec![text(&path)]
    })
}

impl Case {
    /// The input is not to blame: exit code 2.
    pub(super) fn cannot_run(mut self) -> Self {
        self.code = 2;
        self
    }

    /// The input is odd and legal: it must be taken.
    pub(super) fn taken(mut self) -> Self {
        self.code = 0;
        self.words.clear();
        self
    }

    /// Part of the input is left out: the rest is taken, and the words are in a note.
    pub(super) fn in_part(mut self) -> Self {
        self.code = 0;
        self
    }

    /// More arguments for `build`.
    pub(super) fn with(self, args: &'static [&'static str]) -> Self {
        let make = self.make;
        let make = Box::new(move |folder: &Path| {
            let mut all = make(folder);
            all.extend(args.iter().map(ToString::to_string));
            all
        });
        Self { make, ..self }
    }

    /// Puts text behind the first argument: `=NAME:TAG`.
    pub(super) fn named(self, name: &'static str) -> Self {
        let make = self.make;
        let make = Box::new(move |folder: &Path| {
            let mut all = make(folder);
            all[0].push_str(name);
            all
        });
        Self { make, ..self }
    }

    /// Puts the name of a format before the first argument.
    pub(super) fn prefixed(self, prefix: &'static str) -> Self {
        let make = self.make;
        let make = Box::new(move |folder: &Path| {
            let mut all = make(folder);
            all[0].insert_str(0, prefix);
            all
        });
        Self { make, ..self }
    }

    /// The time that the run may take on two cores.
    pub(super) fn within(mut self, seconds: u64) -> Self {
        self.time = Duration::from_secs(2 * seconds);
        self
    }

    /// The memory that the run may really take: what cannot be reserved may be told as an error that
    /// nobody sees.
    pub(super) fn within_mib(mut self, mebibytes: u64) -> Self {
        self.peak = mebibytes << 10;
        self
    }

    /// Today the case fails, because of this.
    #[allow(dead_code, reason = "the best list of bugs is empty")]
    pub(super) fn bug(mut self, bug: &'static str) -> Self {
        self.bug = Some(bug);
        self
    }

    fn problems(&self, site: &BaseSite) -> Vec<String> {
        let input = TempDir::new("bad");
        let mut args = vec!["build".to_owned()];
        args.extend((self.make)(input.path()));
        if !args.contains(&"-o".to_owned()) {
            args.extend(["-o".to_owned(), text(&site.path)]);
        }
        let ran = run(&args, self.time, input.path());
        let mut problems = Vec::new();
        if ran.code != Some(self.code) {
            problems.push(format!("{}, not exit code {}", ran.ended(), self.code));
        }
        if ran.peak > self.peak {
            problems.push(format!("it took {} MiB", ran.peak >> 10));
        }
        let missing = self
            .words
            .iter()
            .filter(|word| !ran.stderr.contains(**word));
        problems.extend(missing.map(|word| format!("`{word}` is not in the messages")));
        if self.code != 0 {
            problems.extend(ran.bad_messages());
            problems.extend(site.changes());
        }
        if !problems.is_empty() {
            let shown: String = ran.stderr.chars().take(700).collect();
            problems.push(format!("it printed: {shown:?}"));
        }
        problems
    }
}

/// The image that most cases are made of.
pub(super) fn app() -> Image {
    Image::new(&["app:1"])
        .layer("bin/app", "one")
        .layer("etc/app", "two")
}

/// Runs all cases of a table.
///
/// # Panics
/// When one of them does not end as it must, or a known bug is no more.
pub(super) fn check(cases: Vec<Case>) {
    let mut site = BaseSite::new();
    let mut wrong = Vec::new();
    for case in cases {
        let start = Instant::now();
        let problems = case.problems(&site);
        match (case.bug, problems.is_empty()) {
            (None, true) => {}
            (None, false) => wrong.push(format!("{}:\n  {}", case.name, problems.join("\n  "))),
            (Some(bug), true) => {
                wrong.push(format!("{}: it passes, so drop the mark: {bug}", case.name));
            }
            (Some(bug), false) => {
                println!(
                    "known bug, {}: {bug}\n  {}",
                    case.name,
                    problems.join("\n  ")
                );
            }
        }
        println!("{:5} ms  {}", start.elapsed().as_millis(), case.name);
        if !site.changes().is_empty() {
            site = BaseSite::new();
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases are wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The path as an argument.
pub(super) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// How a run ended and what it printed.
pub(super) struct Ran {
    /// `None` when a signal ended it, or there was no time left.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// In KiB, as far as it was seen.
    peak: u64,
    timed_out: bool,
}

/// Runs the program with little processor time and memory.
pub(super) fn run(args: &[String], time: Duration, scratch: &Path) -> Ran {
    let (out, err) = (scratch.join(".stdout"), scratch.join(".stderr"));
    let seconds = time.as_secs();
    let limited = format!("ulimit -v {MEMORY}; ulimit -t {seconds}; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limited])
        .arg(env!("CARGO_BIN_EXE_stillage"))
        .args(args)
        .env_remove("RUST_BACKTRACE")
        .stdin(File::open(scratch.join(STDIN)).map_or_else(|_| Stdio::null(), Stdio::from))
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let (mut status, mut peak) = (None, 0);
    while status.is_none() && start.elapsed() < HANGS {
        sleep(Duration::from_millis(5));
        peak = peak.max(peak_of(child.id()));
        status = child.try_wait().unwrap();
    }
    let timed_out = status.is_none();
    if timed_out {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    // On a slow machine a run says how far it is before it fails.
    let stderr = read(&err);
    let lines = stderr.split_inclusive('\n');
    Ran {
        code: status.code().filter(|_| !timed_out),
        stdout: read(&out),
        stderr: lines.filter(|line| !line.starts_with("read ")).collect(),
        peak,
        timed_out,
    }
}

impl Ran {
    fn ended(&self) -> String {
        match self.code {
            _ if self.timed_out => "it hangs".into(),
            None => "ended by a signal, or out of processor time".into(),
            Some(code) => format!("exit code {code}"),
        }
    }

    /// What is wrong with an error as text, whatever it says.
    pub(super) fn bad_messages(&self) -> Vec<String> {
        let stderr = &self.stderr;
        let mut wrong = Vec::new();
        let mut refuse = |is_wrong: bool, problem: &str| {
            if is_wrong {
                wrong.push(problem.to_owned());
            }
        };
        let hostile = |c: char| c.is_control() && c != '\n';
        refuse(!stderr.starts_with("error: "), "no `error:` at the start");
        refuse(stderr.chars().any(hostile), "a control character");
        refuse(
            stderr.len() > MAX_ERROR,
            "an error longer than anyone reads",
        );
        refuse(!self.stdout.is_empty(), "something on the standard output");
        refuse(
            stderr.contains("out of memory"),
            "all memory was taken first",
        );
        let debug = [
            "panicked",
            "Error {",
            "Os {",
            "Custom {",
            "Error(",
            "Some(",
            "RUST_BACKTRACE",
        ];
        let found = debug.iter().find(|word| stderr.contains(**word));
        refuse(found.is_some(), "debug output");
        wrong
    }
}

/// By path: mode and content, inode and mtime.
type Seen = BTreeMap<String, ((u32, String), (u64, i64, i64))>;

fn snapshot(site: &Path) -> Seen {
    let mut inodes = inodes(site);
    tree(site)
        .into_iter()
        .filter_map(|(path, content)| inodes.remove(&path).map(|inode| (path, (content, inode))))
        .collect()
}

/// A site that holds an image, and what all its files were.
struct BaseSite {
    _folder: TempDir,
    path: PathBuf,
    before: Seen,
}

impl BaseSite {
    fn new() -> Self {
        let folder = TempDir::new("base");
        let source = folder.path().join("good.tar");
        let path = folder.path().join("site");
        let image = Image::new(&["good:1"]).layer("a", "base").layer("b", "top");
        fs::write(&source, Archive::docker_20(&[image]).tar()).unwrap();
        let args = ["build", &text(&source), "-o", &text(&path)].map(ToString::to_string);
        let ran = run(&args, TIME, folder.path());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let before = snapshot(&path);
        Self {
            _folder: folder,
            path,
            before,
        }
    }

    /// The files that are not what they were.
    fn changes(&self) -> Vec<String> {
        let now = snapshot(&self.path);
        let all = self.before.keys().chain(now.keys());
        let changed = all.filter(|path| self.before.get(*path) != now.get(*path));
        let mut names: Vec<String> = changed.cloned().collect();
        names.sort();
        names.dedup();
        let count = names.len();
        names.truncate(3);
        match count {
            0 => Vec::new(),
            _ => vec![format!(
                "{count} files of the site changed: {}",
                names.join(", ")
            )],
        }
    }
}
