//! What to build, and what was built.

use std::collections::BTreeSet;
use std::path::PathBuf;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;

use crate::catalogue::{Apis, ServedBy};
use crate::draft::Rules;
use crate::note::Note;
use crate::site::write::Changes;
use crate::source::Source;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;

/// What to build.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// Where the images come from.
    pub sources: Vec<Source>,
    /// The folder of the site.
    pub output: PathBuf,
    /// The APIs that it offers.
    pub apis: Apis,
    /// Servers that get files of their own in it, beside those that have them.
    pub servers: BTreeSet<ServedBy>,
    /// How the sources are to be taken.
    pub rules: Rules,
    /// Which repositories are taken.
    pub selection: Selection,
    /// Where several sources give one tag, the last one has it.
    pub last_wins: bool,
    /// The site lists exactly what the sources say.
    pub mirror: bool,
    /// The platform whose image v1 clients get of an index.
    pub v1_platform: Option<Platform>,
    /// Files of sources may be linked into the site rather than copied.
    pub link: bool,
    /// Believe what earlier runs learnt of files that have not changed since.
    pub cache: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// Which repositories are taken, by globs: `*` stays within a part of a name, `**` does not.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    only: Option<GlobSet>,
    exclude: GlobSet,
}

impl Selection {
    /// Compiles the globs; without any `only` all are wanted.
    ///
    /// # Errors
    /// When one is no glob.
    pub fn new(only: &[String], exclude: &[String]) -> anyhow::Result<Self> {
        let compile = |globs: &[String]| -> anyhow::Result<GlobSet> {
            let mut set = GlobSetBuilder::new();
            for glob in globs {
                set.add(GlobBuilder::new(glob).literal_separator(true).build()?);
            }
            Ok(set.build()?)
        };
        let only = if only.is_empty() {
            None
        } else {
            Some(compile(only)?)
        };
        Ok(Self {
            only,
            exclude: compile(exclude)?,
        })
    }

    /// Whether a repository is taken.
    pub(super) fn wants(&self, repository: &Repository) -> bool {
        let is = |set: &GlobSet| repository.published().iter().any(|name| set.is_match(name));
        self.only.as_ref().is_none_or(is) && !is(&self.exclude)
    }
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The references that the sources gave.
    pub references: Vec<Built>,
    /// Tags that had another manifest before.
    pub moved: Vec<Moved>,
    /// Tags that the site no longer has.
    pub dropped: Vec<String>,
    /// What changed in the site.
    pub changes: Changes,
    /// What was decided or left out, and why.
    pub notes: Vec<Note>,
}

/// A tag that moved.
#[derive(Debug, Serialize)]
pub struct Moved {
    /// `repository:tag`.
    pub name: String,
    /// The manifest that it had.
    pub from: Digest,
    /// The manifest that it has.
    pub to: Digest,
}

/// A reference in the site.
#[derive(Debug, Serialize)]
pub struct Built {
    /// `repository:tag`.
    pub name: String,
    /// The manifest.
    pub digest: Digest,
    /// The top v1 id, if it has a v1 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v1_id: Option<String>,
}
