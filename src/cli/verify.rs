//! `stillage verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::report;
use crate::cli::ui::Ui;
use crate::ops::verify::{self, Depth};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The folder of the site
    site: PathBuf,
    /// Check which files there are and their lengths, read no content
    #[arg(long)]
    fast: bool,
    /// Unpack the layers too and check their diff IDs
    #[arg(long, conflicts_with = "fast")]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    pub(super) fn run(&self, ui: &Ui) -> anyhow::Result<ExitCode> {
        let depth = match (self.fast, self.deep) {
            (true, _) => Depth::Fast,
            (_, true) => Depth::Deep,
            _ => Depth::Normal,
        };
        let verified = verify::verify(&self.site, depth)?;
        let findings = &verified.findings;
        Ui::data(&if self.json {
            report::json(findings)?
        } else {
            report::findings(findings)
        })?;
        if verified.unused > 0 {
            let files = report::count(verified.unused, "unused file");
            ui.message(&format!(
                "{files}: `stillage prune` deletes what stays unused"
            ));
        }
        if findings.is_empty() {
            ui.message("no problems found");
            return Ok(ExitCode::SUCCESS);
        }
        let problems = report::count(findings.len() as u64, "problem");
        ui.message(&format!("{problems} found"));
        Ok(ExitCode::from(1))
    }
}
