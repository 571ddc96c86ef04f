//! What to build, and what was built.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::import::draft::ImportOptions;
use crate::import::selection::Selection;
use crate::note::Note;
use crate::ops::changes::{Changes, Named};
use crate::site_files::catalogue::{Apis, ServedBy};
use crate::source::Source;
use crate::spec::descriptor::Platform;

/// What to build.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct BuildOptions {
    /// Where the images come from.
    pub sources: Vec<Source>,
    /// The folder of the site.
    pub output: PathBuf,
    /// The APIs that it offers.
    pub apis: Apis,
    /// Servers that get files of their own in it, beside those that have them.
    pub servers: BTreeSet<ServedBy>,
    /// How the sources are to be imported.
    pub rules: ImportOptions,
    /// Which images are imported.
    pub selection: Selection,
    /// Where several sources give one tag, the last one has it.
    pub last_wins: bool,
    /// The site lists exactly what the sources say.
    pub mirror: bool,
    /// What is wrong with a source is an error, even where the rest of it can be imported.
    pub strict: bool,
    /// The platform whose image v1 clients get of an index.
    pub v1_platform: Option<Platform>,
    /// Files of sources may be linked into the site rather than copied.
    pub link: bool,
    /// Believe what earlier runs learnt of files that have not changed since.
    pub cache: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The references that the sources gave.
    pub references: Vec<Named>,
    /// What changed in the site.
    pub changes: Changes,
    /// What was decided or left out, and why.
    pub notes: Vec<Note>,
}
