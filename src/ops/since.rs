//! How long things have been unused. What was used again in between starts anew.

use std::collections::BTreeMap;
use std::time::Duration;

/// When each thing was first found unused, in seconds since 1970.
pub(super) struct Since {
    grace: Duration,
    now: u64,
    known: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
}

impl Since {
    /// `known` is what the run before has [seen](Self::seen).
    pub(super) fn new(known: BTreeMap<String, u64>, now: u64, grace: Duration) -> Self {
        Self {
            grace,
            now,
            known,
            seen: BTreeMap::new(),
        }
    }

    /// Whether the grace period of something unused has ended. The first call for it starts the period.
    pub(super) fn is_due(&mut self, what: &str) -> bool {
        // If the clock was set back, the recorded time may be in the future.
        let since = self
            .known
            .get(what)
            .map_or(self.now, |time| *time.min(&self.now));
        self.seen.insert(what.to_owned(), since);
        self.now - since >= self.grace.as_secs()
    }

    /// How long something that was asked for stays, in seconds.
    pub(super) fn left(&self, what: &str) -> u64 {
        let since = self.seen.get(what).unwrap_or(&self.now);
        (since.saturating_add(self.grace.as_secs())).saturating_sub(self.now)
    }

    /// What was asked for, with its time.
    pub(super) fn seen(&self) -> &BTreeMap<String, u64> {
        &self.seen
    }
}

/// A line of a file: `<seconds since 1970> <what>`.
pub(super) fn parse(line: &str) -> Option<(String, u64)> {
    let (time, what) = line.split_once(' ')?;
    Some((what.to_owned(), time.parse().ok()?))
}

pub(super) fn lines(since: &BTreeMap<String, u64>) -> impl Iterator<Item = String> {
    since.iter().map(|(what, time)| format!("{time} {what}\n"))
}
