//! Programs that tests run: found by name, run to their end, or kept in the background by a guard.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The path of an installed program, looked for where Debian puts it before `PATH`:
/// the tests are about Debian's versions, whatever else a machine has.
///
/// # Panics
/// When it is not there: a test without its program fails, it is never skipped.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/usr/sbin"]
        .into_iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run tests/run.sh"))
}

/// Runs a command to its end and gives its standard output.
/// The error of one that fails shows the command and what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

/// A program in the background, stopped by its process id on drop.
///
/// A test binary that is killed drops nothing, so the kernel is asked to end the program too:
/// when the *thread* that started it ends. Hence a guard belongs to one test, never to a static.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// The signal that ends it.
    end: &'static str,
}

impl Daemon {
    /// Starts `program`; what it prints goes to the file `log`.
    pub(crate) fn start(program: &Path, args: &[&str], log: &Path) -> Self {
        Self::start_until("TERM", program, args, log)
    }

    /// The same, to be ended by another signal.
    pub(crate) fn start_until(
        end: &'static str,
        program: &Path,
        args: &[&str],
        log: &Path,
    ) -> Self {
        let file = fs::File::create(log).expect("a log file");
        let child = Command::new(tool("setpriv"))
            .args(["--pdeathsig", end, "--"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle of the log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Self {
            child,
            log: log.into(),
            end,
        }
    }

    /// Waits until `ready` says yes.
    ///
    /// # Panics
    /// When that takes more than two minutes, or the program has ended, with the program's log.
    pub(crate) fn wait_until(mut self, ready: impl Fn() -> bool) -> Self {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().expect("the state of a child");
            if ended.is_some() || start.elapsed() > Duration::from_mins(2) {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("not ready ({ended:?}), its log:\n{log}");
            }
            sleep(Duration::from_millis(20));
        }
        self
    }
}

impl Daemon {
    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        // The shell has a `kill` of its own, Debian's comes in a package.
        let kill = format!("kill -{name} {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &kill]).status();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(self.end);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most memory that a process had, in KiB.
pub(crate) fn peak_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.unwrap_or(0)
}

/// Puts a program of these lines of a shell into a folder.
pub(crate) fn program(folder: &Path, name: &str, lines: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}
