//! Finds jobs whose content another job reads, so that nothing is read twice.

use std::collections::{BTreeMap, HashMap};

use crate::content::Packing;
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
        let mut by_digest: HashMap<(Digest, Option<Packing>), usize> = HashMap::new();
        let mut by_place = HashMap::new();
        let mut groups = Self::default();
        for (index, job) in jobs.iter().enumerate() {
            let key = match job.work {
                Work::Compress { claimed, packing } => claimed.map(|it| (it, Some(packing))),
                Work::Verbatim { .. } => job.digest.map(|it| (it, None)),
            };
            let mut other = None;
            if let Some(key) = key.filter(|_| job.checks.is_empty()) {
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
            let lead = other.map(|other| groups.duplicate[other].unwrap_or(other));
            groups.duplicate.push(lead);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Content, Identity};

    #[test]
    fn a_file_by_two_names_is_read_for_all_who_need_it() {
        let digest = Digest::of(b"x");
        let job = |digest: Option<Digest>, inode: u64, diff_id: bool| Job {
            digest,
            identity: Some(Identity {
                key: Digest::of(b"key"),
                place: ((1, inode), 0),
                changed: 0,
            }),
            ..Job::new(Content::memory(*b"x", "`x`"), Work::Verbatim { diff_id })
        };
        let jobs = [
            job(None, 1, false),
            job(Some(digest), 1, true),
            job(Some(digest), 2, true),
            job(None, 3, false),
        ];
        let groups = Groups::of(&jobs.iter().collect::<Vec<_>>());
        assert_eq!(groups.duplicate, [None, Some(0), Some(0), None]);
        let lead = &groups.merged[&0];
        // What it has is compared with the digest of the others.
        assert_eq!(lead.digest, None);
        assert_eq!(lead.work, Work::Verbatim { diff_id: true });
    }
}
