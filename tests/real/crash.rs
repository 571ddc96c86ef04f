//! Never half a site: whatever ends a run, at whatever moment, all that is listed can be pulled, and
//! the next run makes the site what it would have been.
//!
//! A shim before libc (`shim.c`) ends the program, or fails a call, at each call that changes files.
//! It sees what the program really asks of the system, in its order, with no hook in the program
//! that could hide a call or be forgotten; ptrace could do the same, slower and for one kind of
//! processor. `strace` counts the same calls, so none passes by the shim but these: `syncfs`, which
//! rustix calls without libc, and which changes no name and no content; FICLONE, likewise, which
//! fails on file systems that share no extents. What a crash of the whole machine loses is not tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::support::process::run;
use crate::support::site::{stderr, stillage, tree};
use crate::support::temp::TempDir;

mod killed;
mod power;
pub(crate) mod reader;
pub(crate) mod scenarios;
pub(crate) mod shim;

use scenarios::{Scenario, Sources};
use shim::{Call, Fate, Shim};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EMLINK: i32 = 31;

type Tree = BTreeMap<String, (u32, String)>;

/// Whether there is time to try every point.
pub(crate) fn is_long() -> bool {
    std::env::var_os("STILLAGE_LONG").is_some()
}

/// A scenario with the site before its run, and what the site is before and after.
struct Stage<'a> {
    scenario: &'a Scenario,
    sources: &'a Sources,
    folder: TempDir,
    before: Tree,
    after: Tree,
    calls: Vec<Call>,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario, sources: &'a Sources, shim: &Shim) -> Self {
        let folder = TempDir::in_memory("stage");
        let base = folder.path().join("base");
        for args in scenario.before {
            run(&mut sources.command(args, &base)).unwrap();
        }
        let mut stage = Self {
            scenario,
            sources,
            folder,
            before: tree_of(&base),
            after: Tree::new(),
            calls: Vec::new(),
        };
        let site = stage.site("undisturbed");
        stage.calls = shim.calls(&mut sources.with_jobs(scenario.run, &site, "1"));
        reader::read(&site).unwrap();
        verified(&site).unwrap();
        stage.after = tree_of(&site);
        assert_ne!(stage.after, stage.before, "{}", scenario.name);
        stage
    }

    /// A copy of the site as it is before the run. Links do for what is never written in place; the
    /// lock must be one of its own.
    fn site(&self, name: &str) -> PathBuf {
        let site = self.folder.path().join(name);
        let _ = fs::remove_dir_all(&site);
        let base = self.folder.path().join("base");
        for entry in walkdir::WalkDir::new(&base) {
            let Ok(entry) = entry else { continue };
            let to = site.join(entry.path().strip_prefix(&base).unwrap());
            if entry.file_type().is_dir() {
                fs::create_dir(&to).unwrap();
            } else if to.starts_with(site.join(".stillage")) {
                fs::copy(entry.path(), to).unwrap();
            } else {
                fs::hard_link(entry.path(), to).unwrap();
            }
        }
        site
    }

    /// Runs the scenario to its end, or to what the shim makes of it, and looks at what is left.
    fn disturb(&self, shim: &Shim, jobs: &str, fate: Fate, site: &Path) -> Result<()> {
        let mut command = self.sources.with_jobs(self.scenario.run, site, jobs);
        let output = shim.run(&mut command, fate);
        match fate {
            Fate::Kill(_) => ensure!(output.status.code().is_none(), "it lives: {output:?}"),
            Fate::Fail(..) | Fate::FailFrom(..) => self.refused(&output, site)?,
        }
        self.check(site)
    }

    /// What failed is said, with the path. What is of no use any more may fail to go.
    fn refused(&self, output: &Output, site: &Path) -> Result<()> {
        let said = stderr(output);
        if output.status.success() {
            ensure!(tree_of(site) == self.after, "it succeeded: {said}");
            return Ok(());
        }
        ensure!(output.status.code() == Some(2), "{output:?}");
        let path = site.to_str().unwrap();
        ensure!(said.starts_with("error: "), "{said}");
        ensure!(said.contains(&format!("`{path}")), "no path: {said}");
        let reasons = ["No space left on device", "Input/output error"];
        ensure!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
        Ok(())
    }

    /// Every file is old or new, all that is listed is whole, and the next run completes the site.
    fn check(&self, site: &Path) -> Result<()> {
        self.is_old_or_new(site)?;
        reader::read(site)?;
        if site.join("index.json").exists() {
            verified(site).context("before the next run")?;
        }
        let mut again = self.sources.command(self.scenario.run, site);
        let output = again.output()?;
        ensure!(output.status.success(), "the next run: {output:?}");
        let now = tree_of(site);
        let all = now.keys().chain(self.after.keys());
        let differ: BTreeSet<&String> = all
            .filter(|path| now.get(*path) != self.after.get(*path))
            .collect();
        ensure!(differ.is_empty(), "after the next run: {differ:?}");
        let private: Vec<_> = names(&site.join(".stillage"));
        let lasting = ["catalogue", "clock", "layers", "lock", "sources", "unused"];
        let lasts = |name: &String| lasting.contains(&name.as_str());
        ensure!(private.iter().all(lasts), "it left {private:?}");
        Ok(())
    }

    fn is_old_or_new(&self, site: &Path) -> Result<()> {
        let now = tree_of(site);
        for (path, is) in &now {
            let (old, new) = (self.before.get(path), self.after.get(path));
            let known = old == Some(is) || new == Some(is);
            ensure!(known, "{path} is {is:?}, was {old:?}, becomes {new:?}");
        }
        for path in self
            .before
            .keys()
            .filter(|path| self.after.contains_key(*path))
        {
            ensure!(now.contains_key(path), "{path} is gone");
        }
        Ok(())
    }
}

/// What an interrupted run has left is no damage.
fn verified(site: &Path) -> Result<()> {
    let output = stillage(["verify", "-q"]).arg(site).output()?;
    let found = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "verify: {found}");
    Ok(())
}

fn tree_of(site: &Path) -> Tree {
    if site.exists() {
        tree(site)
    } else {
        Tree::new()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Tries points of all scenarios, on all cores, and says of how many what is wrong.
fn try_points(about: &str, jobs: &str, choose: impl Fn(&Stage<'_>) -> Vec<Fate> + Sync) {
    let start = Instant::now();
    let (shim, sources) = (Shim::new(), Sources::new());
    let stages: Vec<Stage<'_>> = scenarios::SCENARIOS
        .iter()
        .map(|scenario| Stage::new(scenario, &sources, &shim))
        .collect();
    let points: Vec<(&Stage<'_>, Fate)> = stages
        .iter()
        .flat_map(|stage| choose(stage).into_iter().map(move |fate| (stage, fate)))
        .collect();
    let wrong = in_parallel(&points, |worker, (stage, fate)| {
        let site = stage.site(&format!("site{worker}"));
        stage
            .disturb(&shim, jobs, *fate, &site)
            .with_context(|| format!("{}, {fate:?}, {}", stage.scenario.name, stage.at(*fate)))
    });
    for stage in &stages {
        let base = stage.folder.path().join("base");
        assert_eq!(tree_of(&base), stage.before, "a file was written in place");
    }
    let took = start.elapsed();
    println!("{about}: {} points in {took:.1?}", points.len());
    assert!(
        wrong.is_empty(),
        "{about}: {} of {} points are wrong\n{}",
        wrong.len(),
        points.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

impl Stage<'_> {
    /// The call that meets its fate, where the run has but one thread.
    fn at(&self, fate: Fate) -> String {
        let (Fate::Kill(number) | Fate::Fail(number, _) | Fate::FailFrom(number, _)) = fate;
        self.calls
            .get(number - 1)
            .map_or(String::new(), |call| format!("{} {}", call.name, call.path))
    }
}

/// Does something for each item, on all cores; gives the errors.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(usize, &T) -> Result<()> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (next, wrong, work) = (&next, &wrong, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(worker, item) {
                        wrong.lock().unwrap().push(format!("{error:#}"));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// Every `step`th call, all where there is time.
fn every<'a>(stage: &'a Stage<'_>, step: usize) -> impl Iterator<Item = usize> + 'a {
    let step = if is_long() { 1 } else { step };
    let calls = stage.calls.iter().skip(step - 1).step_by(step);
    calls.map(|call| call.number)
}

#[test]
fn a_run_killed_at_any_call_leaves_a_whole_site() {
    try_points("killed", "1", |stage| {
        every(stage, 1).map(Fate::Kill).collect()
    });
}

/// Threads change the order of the calls, so the points are others.
#[test]
fn a_run_of_many_threads_killed_at_any_call_leaves_a_whole_site() {
    try_points("killed with threads", "4", |stage| {
        every(stage, 7).map(Fate::Kill).collect()
    });
}

#[test]
fn a_call_that_fails_leaves_a_whole_site() {
    try_points("failed", "1", |stage| {
        let fates = |number| [Fate::Fail(number, EIO), Fate::FailFrom(number, ENOSPC)];
        every(stage, 5).flat_map(fates).collect()
    });
}

/// A file system has a limit of links; copies do then.
#[test]
fn a_link_that_is_refused_becomes_a_copy() {
    try_points("refused links", "1", |stage| {
        let links = stage
            .calls
            .iter()
            .filter(|call| call.name.starts_with("link"));
        links.map(|call| Fate::Fail(call.number, EMLINK)).collect()
    });
}
