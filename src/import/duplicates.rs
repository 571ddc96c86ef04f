//! Finds jobs whose content another job reads, so that nothing is read twice.

use std::collections::{BTreeMap, HashMap};

use crate::import::ingest::{Job, Work};
use crate::spec::digest::Digest;

/// Which jobs have the result of an earlier one.
#[derive(Default)]
pub(super) struct Groups {
    /// For each job, the earlier one.
    pub(super) duplicate: Vec<Option<usize>>,
    /// In place of jobs whose file others read as well: what all of them need.
    pub(super) merged: BTreeMap<usize, Job>,
}

impl Groups {
    /// A blob that several sources have is read from one of them, and a file that has several names once. A tar
    /// with a claimed diff ID is compressed once; its duplicates are only checked.
    pub(super) fn of(jobs: &[&Job]) -> Self {
        let mut by_digest: HashMap<(Option<Digest>, Option<Digest>), usize> = HashMap::new();
        let mut by_place = HashMap::new();
        let mut groups = Self::default();
        for (index, job) in jobs.iter().enumerate() {
            let claimed = match job.work {
                Work::Compress { claimed } => claimed,
                Work::Verbatim { .. } => None,
            };
            let key = (job.digest, claimed);
            let mut other = None;
            if key != (None, None) && job.checks.is_empty() {
                let first = *by_digest.entry(key).or_insert(index);
                other = (first != index && covers(jobs[first], job)).then_some(first);
            }
            // What is known of a file need not be checked against another.
            if job.ready.is_some() {
                other = None;
            } else if let (None, Work::Verbatim { .. }, Some(identity)) =
                (other, job.work, &job.identity)
            {
                let place = (identity.place, job.content.len());
                let first = *by_place.entry(place).or_insert(index);
                if first != index {
                    other = Some(first);
                    let lead = groups.merged.entry(first);
                    lead.or_insert_with(|| jobs[first].clone()).include(job);
                }
            }
            groups.duplicate.push(other);
        }
        groups
    }
}

/// Whether the result of `first` is also the result of `job`.
fn covers(first: &Job, job: &Job) -> bool {
    match (first.work, job.work) {
        (Work::Verbatim { diff_id: have }, Work::Verbatim { diff_id: want }) => {
            (have || !want) && first.size == job.size
        }
        (first, job) => first == job,
    }
}
