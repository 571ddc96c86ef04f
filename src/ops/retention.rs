//! Which tags `prune` removes by their age: `--keep-last` and `--older-than`.
//!
//! The age of an image is `created` in its config; of an index it is that of its newest image. Images without one, such
//! as artifacts, stay, and so do those of reproducible builds, which are all of the same day long ago. Tags that attach
//! something to a manifest go and stay with it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::escaped;
use crate::images::Images;
use crate::import::selection::Glob;
use crate::note::{Note, NoteKind};
use crate::ops::changes::{Named, named};
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};

/// Rules for tags. One that both kinds are about goes if it is old and not among the last.
#[derive(Debug, Default)]
pub struct Retention {
    /// The first rule that matches a tag is about it.
    pub keep_last: Vec<KeepLast>,
    pub older_than: Option<OlderThan>,
}

/// An age from which tags go.
#[derive(Clone, Debug)]
pub struct OlderThan {
    pub age: Duration,
    /// The option, for messages.
    pub text: String,
}

/// Keeps the newest images of each repository.
#[derive(Debug)]
pub struct KeepLast {
    pub number: usize,
    /// What the rule is about; all tags if there is none.
    pub glob: Option<Glob>,
    /// The option, for messages.
    pub text: String,
}

/// A tag that the rules remove.
#[derive(Debug, Serialize)]
pub struct Expired {
    #[serde(flatten)]
    pub name: Named,
    /// When its image was created (RFC 3339).
    pub created: String,
    /// The rules.
    pub rule: String,
}

impl Retention {
    pub(super) fn is_none(&self) -> bool {
        self.keep_last.is_empty() && self.older_than.is_none()
    }

    /// Notes on the globs that matched no tag.
    pub(super) fn unmatched(&self) -> Vec<Note> {
        let is_unmatched = |rule: &&KeepLast| {
            let glob = rule.glob.as_ref();
            glob.and_then(Glob::unmatched).is_some()
        };
        let unmatched = self.keep_last.iter().filter(is_unmatched);
        let note = |rule: &KeepLast| {
            NoteKind::Choice.note(format!("`{}` matches nothing", escaped(&rule.text)))
        };
        unmatched.map(note).collect()
    }

    /// The tags of a repository that go, `now` being in seconds since 1970.
    ///
    /// # Errors
    /// When a config cannot be read.
    pub(super) fn expired(
        &self,
        images: &Images,
        repository: &Repository,
        repo: &Repo,
        now: u64,
    ) -> anyhow::Result<Vec<Expired>> {
        let mut dated: Vec<(&Tag, Digest, Timestamp)> = Vec::new();
        for (tag, digest) in &repo.tags {
            if tag.attached_to().is_none()
                && let Some(created) = images.measure(digest)?.created
            {
                dated.push((tag, *digest, created));
            }
        }
        dated.sort_by(|(a, _, old), (b, _, new)| new.cmp(old).then_with(|| a.cmp(b)));
        // The images that each rule has seen, the newest first.
        let mut seen: BTreeMap<usize, Vec<Digest>> = BTreeMap::new();
        let mut expired = Vec::new();
        for (tag, digest, created) in dated {
            let is_about = |rule: &KeepLast| {
                let glob = rule.glob.as_ref();
                glob.is_none_or(|glob| glob.matches(repository, Some(tag)))
            };
            let mut rules = Vec::new();
            if let Some(number) = self.keep_last.iter().position(is_about) {
                let rule = &self.keep_last[number];
                let seen = seen.entry(number).or_default();
                let place = seen.iter().position(|seen| *seen == digest);
                let place = place.unwrap_or_else(|| {
                    seen.push(digest);
                    seen.len() - 1
                });
                if place < rule.number {
                    continue;
                }
                let images = if place == 1 { "image" } else { "images" };
                rules.push(format!("{}: {place} newer {images}", rule.text));
            }
            if let Some(OlderThan { age, text }) = &self.older_than {
                let limit = i64::try_from(now.saturating_sub(age.as_secs())).unwrap_or(i64::MAX);
                if created.as_second() >= limit {
                    continue;
                }
                rules.push(format!("{text}: created {created}"));
            }
            if !rules.is_empty() {
                expired.push(Expired {
                    name: named(repository, Some(tag), digest),
                    created: created.to_string(),
                    rule: rules.join("; "),
                });
            }
        }
        Ok(expired)
    }
}
