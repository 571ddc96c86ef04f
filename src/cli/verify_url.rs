//! `stillage verify`: of a folder, or of a URL.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::cli::ui::Ui;
#[cfg(not(feature = "verify-url"))]
use crate::error::WithHint as _;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The folder of the site, or the `http://` or `https://` address of its server
    #[arg(value_name = "SITE|URL")]
    site: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// URL: download and hash every blob and layer
    #[arg(long, conflicts_with = "fast")]
    deep: bool,
    /// URL: ask for one reference of each repository only
    #[arg(long)]
    fast: bool,
    /// URL: requests at a time
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// URL: trust the certificates in this PEM file, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl VerifyArgs {
    pub(super) fn is_url(&self) -> bool {
        let text = self.site.to_string_lossy().to_ascii_lowercase();
        text.starts_with("http://") || text.starts_with("https://")
    }

    /// The folder.
    pub(super) fn site(&self) -> anyhow::Result<&PathBuf> {
        if self.deep || self.fast || self.jobs.is_some() || self.ca.is_some() {
            bail!(
                "`--deep`, `--fast`, `--jobs` and `--ca` are for a URL, a folder is checked as a whole"
            );
        }
        Ok(&self.site)
    }

    #[cfg(not(feature = "verify-url"))]
    pub(super) fn run_url(self, _ui: &Ui) -> anyhow::Result<ExitCode> {
        Err(anyhow::anyhow!(
            "cannot check `{}`: this stillage was built without the feature `verify-url`",
            crate::fsx::shown_path(&self.site)
        ))
        .hint("give it the folder of a site, or install it with its default features")
    }

    #[cfg(feature = "verify-url")]
    pub(super) fn run_url(self, ui: &Ui) -> anyhow::Result<ExitCode> {
        use crate::cli::report;
        use crate::probe::{self, Severity};

        /// Requests wait more than they work, so the number of cores says nothing.
        const JOBS: u16 = 8;
        let options = probe::Options {
            deep: self.deep,
            fast: self.fast,
            jobs: self.jobs.unwrap_or(JOBS).into(),
            ca: self.ca,
        };
        let findings = probe::verify(&self.site.to_string_lossy(), &options)?;
        Ui::data(&if self.json {
            report::json(&findings)?
        } else {
            report::server_findings(&findings)
        })?;
        let errors = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        let errors = errors.count() as u64;
        let notes = findings.len() as u64 - errors;
        ui.message(&match (errors, notes) {
            (0, 0) => "no problems found".to_owned(),
            (0, _) => format!("no problems found, {}", report::count(notes, "note")),
            _ => format!(
                "{} and {} found",
                report::count(errors, "problem"),
                report::count(notes, "note")
            ),
        });
        Ok(ExitCode::from(u8::from(errors > 0)))
    }
}
