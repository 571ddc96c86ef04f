//! The options and the result of a build.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::import::draft::ImportOptions;
use crate::import::selection::{Glob, Selection};
use crate::note::Note;
use crate::ops::changes::{Changes, Named};
use crate::site_files::catalogue::{Apis, ServedBy};
use crate::source::Source;
use crate::spec::descriptor::Platform;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct BuildOptions {
    pub sources: Vec<Source>,
    pub output: PathBuf,
    /// The APIs that the site is to offer.
    pub apis: Apis,
    /// Servers whose configuration files go into the site, in addition to those it has.
    pub servers: BTreeSet<ServedBy>,
    /// Whether the site is to have pages for people; `None` for what it has: a new site has some.
    pub pages: Option<bool>,
    /// A new title for the lists of repositories; if it is empty, the default one.
    pub title: Option<String>,
    pub rules: ImportOptions,
    /// Which images to import.
    pub selection: Selection,
    /// If several sources give a tag, the last one wins.
    pub last_wins: bool,
    /// List only what the sources have.
    pub mirror: bool,
    /// Refuse sources that are not exports.
    pub exports_only: bool,
    /// Tags that must not move to another manifest.
    pub no_move: Option<Glob>,
    /// Fail on any fault in a source, even if the rest can be imported.
    pub strict: bool,
    /// The platform that v1 clients get from an index.
    pub v1_platform: Option<Platform>,
    /// Hard-link source files into the site instead of copying them.
    pub link: bool,
    /// Reuse what earlier runs recorded about files that have not changed.
    pub cache: bool,
    pub dry_run: bool,
}

impl BuildOptions {
    /// A build of all that the sources have, with both APIs.
    pub fn new(sources: Vec<Source>, output: PathBuf) -> Self {
        let apis = Apis { v1: true, v2: true };
        Self {
            sources,
            output,
            apis,
            servers: BTreeSet::new(),
            pages: None,
            title: None,
            rules: ImportOptions {
                v1: true,
                ..ImportOptions::default()
            },
            selection: Selection::default(),
            last_wins: false,
            mirror: false,
            exports_only: false,
            no_move: None,
            strict: false,
            v1_platform: None,
            link: false,
            cache: true,
            dry_run: false,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Summary {
    /// The references that came from the sources.
    pub references: Vec<Named>,
    pub changes: Changes,
    /// What was decided or left out, and why.
    pub notes: Vec<Note>,
}
