//! What a command changed, in the form that `--json` prints.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::error::{WithHint as _, invalid_input};
use crate::import::selection::Glob;
use crate::site_files::catalogue::Repo;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};
use crate::writer::counts::FileChanges;

/// A reference: a tag, or a manifest without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    pub repository: Repository,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The manifest digest.
    pub digest: Digest,
    /// The id of its top v1 image, if it has a v1 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v1_id: Option<String>,
}

/// `repository:tag`, or `repository@digest` without a tag.
impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.repository),
            None => write!(f, "{}@{}", self.repository, self.digest),
        }
    }
}

/// A tag that moved from one manifest to another.
#[derive(Debug, Serialize)]
pub struct MovedTag {
    /// The tag with its new manifest.
    #[serde(flatten)]
    pub to: Named,
    /// The digest of its old manifest.
    pub from: Digest,
}

/// What a command changed, or would change.
#[derive(Debug, Default, Serialize)]
pub struct Changes {
    pub added: Vec<Named>,
    pub moved: Vec<MovedTag>,
    /// Tags and manifests that are gone.
    pub removed: Vec<Named>,
    #[serde(flatten)]
    pub files: FileChanges,
}

impl Changes {
    /// Compares the tags of two catalogues.
    pub(super) fn of_tags(
        before: &BTreeMap<Repository, Repo>,
        after: &BTreeMap<Repository, Repo>,
    ) -> Self {
        let mut changes = Self::default();
        let none = Repo::default();
        for (repository, repo) in before {
            let new = after.get(repository).unwrap_or(&none);
            for (tag, from) in &repo.tags {
                match new.tags.get(tag) {
                    Some(to) if to == from => {}
                    Some(to) => changes.moved.push(MovedTag {
                        to: named(repository, Some(tag), *to),
                        from: *from,
                    }),
                    None => changes.removed.push(named(repository, Some(tag), *from)),
                }
            }
        }
        for (repository, repo) in after {
            let old = before.get(repository).unwrap_or(&none);
            let added = repo
                .tags
                .iter()
                .filter(|(tag, _)| !old.tags.contains_key(*tag));
            let added = added.map(|(tag, digest)| named(repository, Some(tag), *digest));
            changes.added.extend(added);
        }
        changes
    }

    /// Refuses to move tags that match `no_move`. Tags that attach something to a manifest may move: they list
    /// what is attached.
    pub(super) fn check_moves(&self, no_move: Option<&Glob>) -> anyhow::Result<()> {
        let is_kept = |moved: &&MovedTag| {
            let Named {
                repository, tag, ..
            } = &moved.to;
            let is_name = tag.as_ref().is_some_and(|tag| tag.attached_to().is_none());
            is_name && no_move.is_some_and(|glob| glob.matches(repository, tag.as_ref()))
        };
        let kept: Vec<String> = self
            .moved
            .iter()
            .filter(is_kept)
            .map(|moved| {
                format!(
                    "`{}` would move from {} to {}",
                    moved.to, moved.from, moved.to.digest
                )
            })
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        Err(invalid_input(kept.join("; "))).hint("leave out `--no-move` to move tags")
    }

    /// Adds the manifests that are gone to `removed`.
    pub(super) fn with_manifests(
        mut self,
        before: &BTreeMap<Repository, Repo>,
        after: &BTreeMap<Repository, Repo>,
    ) -> Self {
        let none = Repo::default();
        for (repository, repo) in before {
            let new = after.get(repository).unwrap_or(&none);
            let digests = repo.manifests.keys();
            let gone = digests.filter(|digest| !new.manifests.contains_key(*digest));
            self.removed
                .extend(gone.map(|digest| named(repository, None, *digest)));
        }
        self
    }
}

/// A reference without a v1 id.
pub(super) fn named(repository: &Repository, tag: Option<&Tag>, digest: Digest) -> Named {
    Named {
        repository: repository.clone(),
        tag: tag.cloned(),
        digest,
        v1_id: None,
    }
}
