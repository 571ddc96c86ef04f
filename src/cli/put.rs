//! `stillage put`.

use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::args::{NoMove, Writing};
use crate::cli::build::build;
use crate::cli::parsed;
use crate::error::WithHint as _;
use crate::ops::build::BuildOptions;
use crate::source::Source;
use crate::spec::new_name::NewName;

#[derive(Debug, Args)]
pub(super) struct PutArgs {
    /// The folder of the site; created if it does not exist
    pub(super) site: PathBuf,
    /// What the images are called in the site. NAME alone keeps their tags, or gives them `latest`; PREFIX/ keeps their
    /// names, below the prefix
    #[arg(value_name = "NAME[:TAG]", value_parser = parsed::<NewName>)]
    pub(super) name: Option<NewName>,
    /// Take an export only, and list only what the exported site does: other names are dropped, their content stays
    #[arg(long, conflicts_with = "name")]
    pub(super) mirror: bool,
    #[command(flatten)]
    pub(super) no_move: NoMove,
    #[command(flatten)]
    pub(super) writing: Writing,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "docker save app:1 | stillage put site",
        "under the names in the archive",
    ),
    (
        "docker save app:1 | stillage put site team/app",
        "the same tags, in this repository",
    ),
    (
        "stillage export origin | stillage put site --mirror",
        "make a site list what another one does",
    ),
];

impl PutArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        refuse_terminal("docker save app:1 | stillage put SITE")?;
        let options = BuildOptions {
            no_move: self.no_move.glob()?,
            mirror: self.mirror,
            exports_only: self.mirror,
            dry_run: self.writing.dry_run,
            ..BuildOptions::new(vec![Source::stdin(self.name)], self.site)
        };
        build(&options, 0, &self.writing)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Fails if standard input is a terminal: nobody types an archive. `example` is the command that the hint shows.
pub(super) fn refuse_terminal(example: &str) -> anyhow::Result<()> {
    if !stdin().is_terminal() {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "standard input is a terminal, not an image archive"
    ))
    .hint(format!("pipe an archive into it: `{example}`"))
}
