//! Tags that sources give to different manifests.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{WithHint as _, invalid_input};
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::source_name::Hosts;

/// The most conflicts in a message.
const SHOWN: usize = 10;

/// Where tags come from, and where they conflict.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    given: BTreeMap<(Repository, Tag), Given>,
    found: Vec<Conflict>,
}

/// Who gives a tag.
#[derive(Clone, Debug)]
pub(super) struct Given {
    origin: Arc<str>,
    /// The name in the source, in backticks.
    called: Arc<str>,
}

#[derive(Debug)]
struct Conflict {
    message: String,
    is_within_a_source: bool,
    /// Whether the names differ in their hosts.
    is_by_host: bool,
}

impl Given {
    /// `called` is the name in the source, in backticks.
    pub(super) fn by(origin: &Arc<str>, called: &str) -> Self {
        Self {
            origin: origin.clone(),
            called: called.into(),
        }
    }

    /// The host in the name of the image, if the site drops that and nothing else.
    fn host(&self, repository: &Repository) -> Option<&str> {
        let name = self.called.trim_matches('`');
        let dropped = Reference::from_source(name, Hosts::Drop, None).ok()?;
        let is_same = repository.as_str().ends_with(dropped.repository.as_str());
        Reference::host(name).filter(|_| is_same)
    }
}

impl Conflicts {
    /// For each repository one of its sources: that of the last tag in order.
    pub(super) fn origins(&self) -> BTreeMap<Repository, Arc<str>> {
        let all = self.given.iter();
        all.map(|((repository, _), given)| (repository.clone(), given.origin.clone()))
            .collect()
    }

    /// Records a tag for the manifest `digest`; `known` is that which it has already.
    pub(super) fn add(
        &mut self,
        repository: &Repository,
        tag: &Tag,
        digest: Digest,
        known: Digest,
        given: &Given,
    ) {
        let key = (repository.clone(), tag.clone());
        let other = self.given.entry(key).or_insert_with(|| given.clone());
        if known == digest {
            return;
        }
        let (old, new) = (known.short(), digest.short());
        let (there, here) = (&other.origin, &given.origin);
        let is_within_a_source = there == here;
        let message = if is_within_a_source {
            format!("`{repository}:{tag}` is both {old} and {new} in {here}")
        } else {
            format!("`{repository}:{tag}` is {old} in {there} and {new} in {here}")
        };
        let hosts = given.host(repository).zip(other.host(repository));
        self.found.push(Conflict {
            message,
            is_within_a_source,
            is_by_host: hosts.is_some_and(|(one, other)| one != other),
        });
    }

    /// Fails if there are any.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let message = match self.found.as_slice() {
            [] => return Ok(()),
            [one] => one.message.clone(),
            all => {
                let mut lines = vec![format!("{} tags have different images:", all.len())];
                lines.extend(all.iter().take(SHOWN).map(|it| it.message.clone()));
                if all.len() > SHOWN {
                    lines.push(format!("and {} more", all.len() - SHOWN));
                }
                lines.join("\n  ")
            }
        };
        let hint = if self.found.iter().all(|it| it.is_by_host) {
            "keep names of different hosts apart with `--keep-host`"
        } else if self.found.iter().all(|it| it.is_within_a_source) {
            "give each image a name of its own, with `FORMAT:PATH:REF=NAME`, or keep their names, with `SOURCE=PREFIX/`"
        } else {
            "give the images of one source other names, with `SOURCE=NAME` or `SOURCE=PREFIX/`, or let the last source win with `--last-wins`"
        };
        Err(invalid_input(message)).hint(hint)
    }
}
