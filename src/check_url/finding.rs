//! The findings of a check: one for each kind of problem and set of clients that it breaks, with a count
//! and one example, however many addresses have the problem.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::check_url::kinds::{self, Kind};
use crate::note::Severity;

/// A kind of problem found at a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServerProblem {
    /// One address that has the problem: the first alphabetically.
    pub path: String,
    /// The id of the kind, for machines.
    pub kind: &'static str,
    /// What was seen at `path`, and its consequence.
    pub message: String,
    /// The clients that fail; for a note, those that work less well.
    pub breaks: Vec<&'static str>,
    /// How many times the problem was seen.
    pub count: u64,
    pub severity: Severity,
    /// Whether the right configuration of the server mends it.
    #[serde(skip)]
    pub is_of_configuration: bool,
}

/// Collects findings from many threads.
#[derive(Default)]
pub(super) struct Findings(Mutex<BTreeMap<Key, Seen>>);

/// Severity, id of the kind, clients.
type Key = (Severity, &'static str, &'static [&'static str]);

struct Seen {
    path: String,
    what: String,
    why: &'static str,
    is_of_configuration: bool,
    count: u64,
}

impl Findings {
    /// Adds a problem at a path. `what` was seen there; it must be escaped for the terminal.
    pub(super) fn add(&self, kind: &'static Kind, path: &str, what: impl Into<String>) {
        let breaks = kind.breaks.unwrap_or_else(|| kinds::clients_of(path));
        self.add_for(breaks, kind, path, what);
    }

    /// Adds a problem that breaks these clients.
    pub(super) fn add_for(
        &self,
        breaks: &'static [&'static str],
        kind: &'static Kind,
        path: &str,
        what: impl Into<String>,
    ) {
        let (path, what) = (path.to_owned(), what.into());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all
            .entry((kind.severity, kind.name, breaks))
            .or_insert_with(|| Seen {
                path: path.clone(),
                what: what.clone(),
                why: kind.why,
                is_of_configuration: kind.is_of_configuration,
                count: 0,
            });
        seen.count += 1;
        if (&path, &what) < (&seen.path, &seen.what) {
            (seen.path, seen.what) = (path, what);
        }
    }

    /// All findings: errors first, then by kind. Their paths are those of the site, below `prefix`.
    pub(super) fn finish(self, prefix: &str) -> Vec<ServerProblem> {
        let all = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let findings = all
            .into_iter()
            .map(|((severity, kind, breaks), seen)| ServerProblem {
                path: format!("{prefix}{}", seen.path),
                kind,
                message: if seen.why.is_empty() {
                    seen.what
                } else {
                    format!("{}: {}", seen.what, seen.why)
                },
                breaks: breaks.to_vec(),
                count: seen.count,
                severity,
                is_of_configuration: seen.is_of_configuration,
            });
        findings.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_a_kind_with_the_first_path() {
        let findings = Findings::default();
        for path in ["/v2/b", "/v2/a", "/v1/c", "/v2/b"] {
            findings.add(&kinds::MISSING, path, "the status is 404");
        }
        findings.add(&kinds::DOT_STILLAGE, "/.stillage/lock", "it is served");
        let found = findings.finish("");
        let short: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.count)).collect();
        assert_eq!(short, [("/v2/a", 3), ("/v1/c", 1), ("/.stillage/lock", 1)]);
    }
}
