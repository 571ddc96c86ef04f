//! `stillage verify`, for a folder or a URL.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::cli::args::{Trust, jobs};
use crate::cli::progress::{Verb, with_progress};
use crate::cli::report;
use crate::cli::ui::{Loudness, Ui};
use crate::error::WithHint as _;
use crate::ops::verify::{self, Depth};
use crate::text;

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct VerifyArgs {
    /// The folder of the site, the `http://` or `https://` address of its server, or an export with all its volumes
    #[arg(value_name = "SITE|URL|EXPORT", required = true)]
    sites: Vec<PathBuf>,
    /// Check only the names and lengths of files; for a URL, only one reference of each repository
    #[arg(long)]
    fast: bool,
    /// Also unpack the layers and check their diff IDs; for a URL, download and hash everything
    #[arg(long, conflicts_with = "fast")]
    deep: bool,
    /// Print findings only
    #[arg(short, long)]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Requests at a time, for a URL; 0 is the default, 8
    #[arg(short, long, value_name = "N", value_parser = jobs())]
    jobs: Option<u16>,
    #[command(flatten)]
    trust: Trust,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("stillage verify site", "every file of a site"),
    (
        "stillage verify site --fast",
        "only that files are there, and their lengths",
    ),
    (
        "stillage verify https://registry.example.org",
        "a server, with the requests that clients send",
    ),
    (
        "stillage verify mirror.1.tar mirror.2.tar",
        "the volumes of an export",
    ),
];

impl VerifyArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let ui = Ui(if self.quiet {
            Loudness::Quiet
        } else {
            Loudness::Normal
        });
        if let Some(code) = self.run_exports(ui)? {
            return Ok(code);
        }
        let [site] = &self.sites[..] else {
            bail!("a site is verified by itself");
        };
        let site = site.clone();
        let text = site.to_string_lossy().to_ascii_lowercase();
        if text.starts_with("http://") || text.starts_with("https://") {
            return self.run_url(&site, ui);
        }
        #[cfg(feature = "verify-url")]
        Self::refuse_server(&site)?;
        if self.jobs.is_some() || self.trust.ca.is_some() || self.trust.insecure {
            bail!("`--jobs`, `--ca` and `--insecure` only apply to a URL");
        }
        let depth = match (self.fast, self.deep) {
            (true, _) => Depth::Fast,
            (_, true) => Depth::Deep,
            _ => Depth::Normal,
        };
        let verified = with_progress(ui, Verb::Read, |progress| {
            verify::verify(&site, depth, progress)
        })?;
        let findings = &verified.findings;
        Ui::data(&if self.json {
            report::json(findings)?
        } else {
            report::findings(findings)
        })?;
        if verified.unfinished > 0 {
            let files = text::count(verified.unfinished, "file");
            ui.message(&format!(
                "a run was interrupted, or is still going on: {files} unfinished, which the next `build`, `tag`, `remove` or `prune` completes"
            ));
        }
        if findings.is_empty() {
            if verified.unused > 0 {
                let files = text::count(verified.unused, "unused file");
                ui.message(&format!(
                    "{files}: `stillage prune` deletes them after the grace period"
                ));
            }
            ui.message("no problems found");
            return Ok(ExitCode::SUCCESS);
        }
        let problems = text::count(findings.len() as u64, "problem");
        ui.message(&format!("{problems} found"));
        ui.messages(report::remedies(findings, &site));
        Ok(ExitCode::from(1))
    }

    /// Verifies exports; `None` if these are no files.
    fn run_exports(&self, ui: Ui) -> anyhow::Result<Option<ExitCode>> {
        if self.sites.len() == 1 && !self.sites[0].is_file() {
            return Ok(None);
        }
        if self.fast
            || self.deep
            || self.jobs.is_some()
            || self.trust.ca.is_some()
            || self.trust.insecure
        {
            bail!("`--fast`, `--deep`, `--jobs`, `--ca` and `--insecure` do not apply to exports");
        }
        let (findings, alone) = with_progress(ui, Verb::Read, |progress| {
            verify::verify_exports(&self.sites, progress)
        })?;
        Ui::data(&if self.json {
            report::json(&findings)?
        } else {
            report::findings(&findings)
        })?;
        ui.messages(alone);
        if findings.is_empty() {
            ui.message("no problems found");
            return Ok(Some(ExitCode::SUCCESS));
        }
        let problems = text::count(findings.len() as u64, "problem");
        ui.message(&format!("{problems} found"));
        Ok(Some(ExitCode::from(1)))
    }

    #[cfg(not(feature = "verify-url"))]
    fn run_url(self, site: &Path, _ui: Ui) -> anyhow::Result<ExitCode> {
        Err(anyhow::anyhow!(
            "cannot check `{}`: this stillage was built without the feature `verify-url`",
            crate::fsx::escaped_path(site)
        ))
        .hint("pass the folder of a site, or install stillage with its default features")
    }

    /// Fails if nothing exists at the path and it looks like the address of a server.
    #[cfg(feature = "verify-url")]
    fn refuse_server(site: &Path) -> anyhow::Result<()> {
        let Some(url) = crate::check_url::meant(&site.to_string_lossy()) else {
            return Ok(());
        };
        if crate::fsx::meta(site)?.is_some() {
            return Ok(());
        }
        let path = crate::fsx::escaped_path(site);
        let url = crate::error::escaped(url);
        Err(anyhow::anyhow!("`{path}` does not exist"))
            .hint(format!("to check a server, give its URL: `{url}`"))
    }

    #[cfg(feature = "verify-url")]
    fn run_url(self, site: &Path, ui: Ui) -> anyhow::Result<ExitCode> {
        use crate::check_url;
        use crate::cli::server_report;
        use crate::note::Severity;

        /// Requests mostly wait, so this does not depend on the number of cores.
        const JOBS: u16 = 8;
        let options = check_url::CheckOptions {
            deep: self.deep,
            fast: self.fast,
            jobs: self.jobs.filter(|jobs| *jobs > 0).unwrap_or(JOBS).into(),
            ca: self.trust.ca,
            insecure: self.trust.insecure,
        };
        let findings = check_url::verify(&site.to_string_lossy(), &options)?;
        Ui::data(&if self.json {
            report::json(&findings)?
        } else {
            server_report::findings(&findings)
        })?;
        ui.messages(server_report::summary(&findings));
        let mut severities = findings.iter().map(|finding| finding.severity);
        let failed = severities.any(|severity| severity == Severity::Error);
        Ok(ExitCode::from(u8::from(failed)))
    }
}
