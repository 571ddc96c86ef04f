//! Runs of the program with `shim.c` before libc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::process::{run, tool};
use crate::support::temp::TempDir;

/// The shim, compiled.
pub(crate) struct Shim {
    folder: TempDir,
}

/// What becomes of a call, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kill(usize),
    Fail(usize, i32),
    FailFrom(usize, i32),
}

/// A call that changes files.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) path: String,
}

impl Shim {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new("shim");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/crash/shim.c");
        let mut compile = Command::new(tool("cc"));
        compile
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
            .args(["-Wno-nonnull-compare", "-o"])
            .arg(folder.path().join("shim.so"))
            .arg(source)
            .arg("-ldl");
        run(&mut compile).unwrap();
        Self { folder }
    }

    /// The calls of a run that nothing disturbs.
    pub(crate) fn calls(&self, command: &mut Command) -> Vec<Call> {
        let log = self.folder.path().join("log");
        let _ = fs::remove_file(&log);
        run(self.before(command).env("SHIM_LOG", &log)).unwrap();
        let text = fs::read_to_string(log).unwrap();
        let call = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().unwrap().to_owned();
            Call {
                number: word().parse().unwrap(),
                name: word(),
                path: word(),
            }
        };
        text.lines().map(call).collect()
    }

    /// A run in which one call, or all from one on, meet their fate.
    pub(crate) fn run(&self, command: &mut Command, fate: Fate) -> Output {
        let (name, value) = match fate {
            Fate::Kill(number) => ("SHIM_KILL", number.to_string()),
            Fate::Fail(number, error) => ("SHIM_FAIL", format!("{number}:{error}")),
            Fate::FailFrom(number, error) => ("SHIM_FAIL", format!("{number}+:{error}")),
        };
        self.before(command).env(name, value).output().unwrap()
    }

    /// A run on a file system that lacks something; see `shim.c`.
    pub(crate) fn lacking(&self, command: &mut Command, what: &str) -> Output {
        self.before(command)
            .env("SHIM_LACKS", what)
            .output()
            .unwrap()
    }

    fn before<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", self.library())
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("shim.so")
    }
}
