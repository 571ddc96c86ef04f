//! What of a site is unused, and since when.
//! ```text
//! .stillage/unused    <time of the site> <path, or repository@digest of a manifest without a tag>
//! .stillage/clock     <time of the site> <time of the machine> <seconds since it started> <id of that start>
//! ```
//! Times are in seconds since 1970. The time of the site is that of the machine at first. Then it goes on by as much as
//! the machine has run, since its clock may be set meanwhile: that must not shorten a grace period. Only after a
//! restart does the clock of the machine say how long it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fsx;
use crate::ops::edit::reachable;
use crate::ops::since;
use crate::plan::Plan;
use crate::site_files::SiteFiles;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::writer::unreferenced::{FileKind, Unreferenced};
use crate::writer::{Site, unreferenced};

const FILE: &str = "unused";
const CLOCK: &str = "clock";

/// The time of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970, by a clock that may be wrong.
    pub(super) clock: u64,
    /// Seconds since the machine has started, and the id of that start, if it says so.
    pub(super) running: Option<(u64, String)>,
}

impl Moment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the private folder may know the time"
    )]
    pub(super) fn now() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        let text = |path| fsx::read(Path::new(path), 1 << 10).ok().flatten();
        let text = |path| text(path).and_then(|bytes| String::from_utf8(bytes).ok());
        let running = || {
            let uptime = text("/proc/uptime")?;
            let seconds = uptime.split('.').next()?.parse().ok()?;
            let id = text("/proc/sys/kernel/random/boot_id")?;
            Some((seconds, id.trim().to_owned()))
        };
        Self {
            clock: clock.map_or(0, |since| since.as_secs()),
            running: running(),
        }
    }

    /// The seconds from another moment to this one.
    fn since(&self, before: &Self) -> u64 {
        match (&before.running, &self.running) {
            (Some((before, start)), Some((now, same))) if start == same => {
                now.saturating_sub(*before)
            }
            _ => self.clock.saturating_sub(before.clock),
        }
    }
}

/// The list, and the time of the site.
#[derive(Debug, Default)]
pub(super) struct Unused {
    /// When each was first found unused, by the time of the site.
    pub(super) since: BTreeMap<String, u64>,
    time: u64,
    machine: Moment,
}

impl Unused {
    pub(super) fn read(site: &Site) -> anyhow::Result<Self> {
        let clock = site.private_lines(CLOCK, clock)?.pop();
        let (time, machine) = clock.unwrap_or_default();
        Ok(Self {
            since: site
                .private_lines(FILE, since::parse)?
                .into_iter()
                .collect(),
            time,
            machine,
        })
    }

    /// Lets the time of the site go on until now. Returns it.
    pub(super) fn go_on(&mut self, now: Moment) -> u64 {
        self.time = match self.time {
            0 => now.clock,
            time => time.saturating_add(now.since(&self.machine)),
        };
        self.machine = now;
        self.time
    }

    /// The time of the machine in so many seconds, as text (RFC 3339).
    pub(super) fn in_seconds(&self, seconds: u64) -> String {
        let clock = Duration::from_secs(self.machine.clock.saturating_add(seconds));
        let time = UNIX_EPOCH.checked_add(clock).unwrap_or(UNIX_EPOCH);
        humantime::format_rfc3339_seconds(time).to_string()
    }

    /// Replaces the clock, which comes first, and the list.
    pub(super) fn write(&self, site: &Site) -> anyhow::Result<()> {
        site.replace_private_durably(CLOCK, self.clock().as_bytes())?;
        self.write_list(site)
    }

    /// Replaces the list, durably: of what is used again no old time must come back.
    fn write_list(&self, site: &Site) -> anyhow::Result<()> {
        let lines: String = since::lines(&self.since).collect();
        site.replace_private_durably(FILE, lines.as_bytes())
    }

    fn clock(&self) -> String {
        let (seconds, start) = self.machine.running.clone().unwrap_or_default();
        format!("{} {} {seconds} {start}\n", self.time, self.machine.clock)
    }
}

fn clock(text: &str) -> Option<(u64, Moment)> {
    let mut words = text.split(' ');
    let mut number = || words.next()?.parse().ok();
    let (time, clock, seconds) = (number()?, number()?, number()?);
    let start = words.next().filter(|start| !start.is_empty());
    let running = start.map(|start| (seconds, start.to_owned()));
    Some((time, Moment { clock, running }))
}

/// Takes off the list what a site is about to use. Where it becomes unused again, its grace period starts anew.
pub(super) fn take_off(site: &Site, plan: &Plan<'_>) -> anyhow::Result<()> {
    let mut unused = Unused::read(site)?;
    let before = unused.since.len();
    if before == 0 {
        return Ok(());
    }
    unreferenced::planned(plan, &mut |path| {
        unused.since.remove(path);
    })?;
    for (name, repo) in &plan.images.repositories {
        for digest in reachable(plan.images, repo, repo.tags.values().copied()) {
            unused.since.remove(&format!("{name}@{digest}"));
        }
    }
    if unused.since.len() < before {
        unused.write_list(site)?;
    }
    Ok(())
}

/// Files that seem unused, but may be needed by a manifest that is lost: any v1 image, and whatever has a name in its
/// repository.
pub(super) struct Withheld {
    /// The names of the repositories with lost manifests.
    names: Vec<String>,
    has_lost_v1: bool,
    has_v2: bool,
}

impl Withheld {
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let images = plan.images;
        let names = images.repositories.keys();
        let lost = names.filter(|name| images.has_lost_manifest(name));
        Self {
            names: lost.flat_map(Repository::aliases).collect(),
            has_lost_v1: !images.damage.chains.is_empty(),
            has_v2: plan.catalogue.apis.v2,
        }
    }

    pub(super) fn has(&self, files: &SiteFiles, file: &Unreferenced) -> bool {
        let mut names = self.names.iter();
        let is_named = |name: &String, folder: &str, digest: Digest| {
            let path = format!("v2/{name}/{folder}/{digest}");
            files.path(&path).exists()
        };
        match file.kind {
            FileKind::V1Json(_) | FileKind::V1Rest(_) => self.has_lost_v1 || !self.names.is_empty(),
            FileKind::Content(_) if !self.has_v2 => !self.names.is_empty(),
            FileKind::Content(digest) => names
                .any(|name| is_named(name, "blobs", digest) || is_named(name, "manifests", digest)),
            _ => names.any(|name| file.path.starts_with(&format!("v2/{name}/"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(clock: u64, seconds: u64, start: &str) -> Moment {
        Moment {
            clock,
            running: Some((seconds, start.to_owned())),
        }
    }

    #[test]
    fn a_clock_is_read_as_it_is_written() {
        let silent = Moment {
            clock: 100,
            running: None,
        };
        for now in [moment(100, 1, "a-b"), silent] {
            let mut unused = Unused::default();
            unused.go_on(now.clone());
            let line = unused.clock();
            assert_eq!(clock(line.trim_end_matches('\n')), Some((100, now)));
        }
        for line in ["", "1 2", "1 2 x a", "-1 2 3 a"] {
            assert_eq!(clock(line), None, "{line}");
        }
    }

    proptest! {
        /// While a machine runs, its clock does not matter; after a restart it never goes back.
        #[test]
        fn the_time_of_a_site_is_that_which_has_passed(
            steps in prop::collection::vec((0..100_000_u64, any::<u32>(), prop::bool::weighted(0.1)), 1..20),
        ) {
            let mut unused = Unused::default();
            let (mut seconds, mut start, mut last) = (0, 0, 0);
            for (number, (passed, clock, restarts)) in steps.into_iter().enumerate() {
                seconds += passed;
                if restarts {
                    (seconds, start) = (passed, start + 1);
                }
                let now = moment(clock.into(), seconds, &start.to_string());
                let time = unused.go_on(now);
                if number > 0 && !restarts && last > 0 {
                    prop_assert_eq!(time, last + passed);
                }
                prop_assert!(time >= last);
                last = time;
            }
        }
    }
}
