//! `stillage put`.

use std::io::{IsTerminal as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::cli::args::{NoMove, Writing};
use crate::cli::build::build;
use crate::cli::parsed;
use crate::error::{WithHint as _, escaped};
use crate::fsx::{escaped_path, quoted_path};
use crate::ops::build::BuildOptions;
use crate::source::{self, Source};
use crate::spec::new_name::NewName;

#[derive(Debug, Args)]
pub(super) struct PutArgs {
    /// The folder of the site; created if it does not exist
    pub(super) site: PathBuf,
    /// What the images are called in the site. NAME alone keeps their tags, or gives them `latest`; PREFIX/ keeps their
    /// names, below the prefix
    #[arg(value_name = "NAME[:TAG]", value_parser = name_or_advice)]
    pub(super) name: Option<NewName>,
    /// Take an export only, and list only what the exported site does: other names are removed, their content stays
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
        refuse_stream(&self.site, "docker save app:1 | stillage put SITE")?;
        check_places(&self.site, self.name.as_ref())?;
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

/// Parses a name, which may be a file that the user wants to add.
fn name_or_advice(text: &str) -> Result<NewName, String> {
    parsed(text).map_err(|error| {
        if is_archive(text) {
            format!("{IS_FILE}: {}", build_instead(text, "SITE"))
        } else {
            error
        }
    })
}

const IS_FILE: &str = "it is a file, but `put` reads standard input";

fn build_instead(file: &str, site: &str) -> String {
    format!(
        "add it with `stillage build {} -o {site}`",
        quoted_path(Path::new(file))
    )
}

fn is_archive(path: &str) -> bool {
    source::is_archive(Path::new(path))
}

/// Fails if a file is given for a name, or the site after the name.
fn check_places(site: &Path, name: Option<&NewName>) -> anyhow::Result<()> {
    let Some(NewName::Name(name)) = name else {
        return Ok(());
    };
    let (shown, name) = (escaped_path(site), name.to_string());
    if is_archive(&name) {
        return Err(anyhow::anyhow!("cannot put `{name}`: {IS_FILE}"))
            .hint(build_instead(&name, &shown));
    }
    if !site.exists() && source::is_site(Path::new(&name)) {
        return Err(anyhow::anyhow!("`{name}` is a site, and `{shown}` is none")).hint(format!(
            "the site comes first: `stillage put {name} {shown}`"
        ));
    }
    Ok(())
}

/// Fails if a site is to be written to standard output. `example` is the command that makes one.
pub(super) fn refuse_stream(site: &Path, example: &str) -> anyhow::Result<()> {
    let text = site.to_string_lossy();
    if text.contains("://") {
        let hint = if text.starts_with("s3://") {
            let bucket = escaped(&text);
            format!("build a folder with `{example}`, then `stillage publish SITE {bucket}`")
        } else {
            format!("build a folder with `{example}`, and let a web server serve it")
        };
        let url = escaped_path(site);
        return Err(anyhow::anyhow!("`{url}` is a URL, and a site is a folder")).hint(hint);
    }
    if text != "-" {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "a site is a folder, which cannot go to standard output"
    ))
    .hint(format!(
        "write a folder with `{example}`, then `stillage export SITE`"
    ))
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
