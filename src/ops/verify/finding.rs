//! Problems of a site. What one lost file causes is one finding.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::images::Images;
use crate::images::damage::Lost;
use crate::note::Severity;
use crate::spec::digest::Digest;

/// A problem with a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// A path relative to the site, or a reference.
    pub path: String,
    /// The kind of problem, which decides how to repair it.
    pub kind: Kind,
    /// Always `Severity::Error`.
    pub severity: Severity,
    pub message: String,
    /// The references that need a lost file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed_by: Vec<String>,
    /// Whether a build of the site from itself makes the file anew: a list, a page, a pointer.
    #[serde(skip)]
    pub is_derived: bool,
    /// The content that the file should have, if that has a digest.
    #[serde(skip)]
    content: Option<Digest>,
}

impl Finding {
    pub(super) fn new(path: impl Into<String>, (kind, message): Problem) -> Self {
        Self {
            path: path.into(),
            kind,
            severity: Severity::Error,
            message,
            needed_by: Vec::new(),
            is_derived: false,
            content: None,
        }
    }

    /// About a planned file: with content of a digest, or else derived.
    pub(super) fn of(self, content: Option<Digest>) -> Self {
        Self {
            content,
            is_derived: content.is_none(),
            ..self
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file that the catalogue refers to is missing. A build from the sources restores it.
    Missing,
    /// A file has the wrong content. A build from the sources restores it only after it has been deleted:
    /// builds compare content that is named by its digest by length alone.
    Damaged,
    /// A web server that runs as another user cannot read a file or folder. A build restores the mode.
    Closed,
    /// A file belongs to a reference that the catalogue does not have. `prune` deletes it.
    Stale,
    /// A file that no build wrote. Stillage never deletes it.
    Foreign,
}

pub(super) type Problem = (Kind, String);

pub(super) fn damaged(text: impl Into<String>) -> Problem {
    (Kind::Damaged, text.into())
}

pub(super) fn missing() -> Problem {
    (Kind::Missing, "it is missing".into())
}

/// Turns an error of a check into a problem.
pub(super) fn or_error(checked: anyhow::Result<Option<Problem>>) -> Option<Problem> {
    checked.unwrap_or_else(|error| Some(damaged(format!("{error:#}"))))
}

/// A finding for each file that is lost, with the references that need it.
pub(super) fn lost(images: &Images) -> Vec<Finding> {
    let mut needed_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, all) in images.damaged() {
        for lost in all {
            let names = needed_by.entry(lost.path.clone()).or_default();
            if names.last() != Some(&name) {
                names.push(name.clone());
            }
        }
    }
    let content = images.damage.content.iter();
    let content = content.map(|(digest, lost)| (Some(*digest), lost));
    let chains = images.damage.chains.values().map(|lost| (None, lost));
    content
        .chain(chains)
        .map(
            |(
                content,
                Lost {
                    path,
                    is_missing,
                    reason,
                    ..
                },
            )| {
                let kind = if *is_missing {
                    Kind::Missing
                } else {
                    Kind::Damaged
                };
                Finding {
                    content,
                    needed_by: needed_by.remove(path).unwrap_or_default(),
                    ..Finding::new(path, (kind, reason.clone()))
                }
            },
        )
        .collect()
}

/// Sorts findings, and makes one of those about the same path, and of all missing names of one content. The first
/// finding about a path is kept.
pub(super) fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let (mut paths, mut missing) = (BTreeSet::new(), BTreeMap::<Digest, Finding>::new());
    let mut names: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut merged = Vec::new();
    for finding in findings {
        if !paths.insert(finding.path.clone()) {
            continue;
        }
        match finding.content.filter(|_| finding.kind == Kind::Missing) {
            Some(digest) => {
                *names.entry(digest).or_default() += 1;
                let first = missing.entry(digest).or_insert_with(|| finding.clone());
                if finding.path < first.path {
                    *first = finding;
                }
            }
            None => merged.push(finding),
        }
    }
    for (digest, mut finding) in missing {
        match names[&digest] - 1 {
            0 => {}
            1 => finding.message += ", under another name too",
            more => finding.message = format!("{}, under {more} other names too", finding.message),
        }
        merged.push(finding);
    }
    merged.sort();
    merged
}
