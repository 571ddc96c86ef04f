//! `stillage verify`, for a folder or a URL.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::cli::args::{Trust, jobs, refuse};
use crate::cli::progress::{Verb, with_progress};
use crate::cli::report;
use crate::cli::ui::Ui;
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
        let ui = Ui::quiet_if(self.quiet);
        if let Some(code) = self.run_exports(ui)? {
            return Ok(code);
        }
        let [site] = &self.sites[..] else {
            return Err(self.not_volumes())
                .hint("give one site or one URL, or files that are volumes of an export");
        };
        let site = site.clone();
        let text = site.to_string_lossy().to_ascii_lowercase();
        if text.starts_with("http://") || text.starts_with("https://") {
            return self.run_url(&site, ui);
        }
        #[cfg(feature = "verify-url")]
        Self::refuse_server(&site)?;
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(anyhow::anyhow!(
                "`{}://` is not a scheme of a server that can be checked",
                crate::error::escaped(scheme)
            ))
            .hint("give the folder of a site, or a URL with `http://` or `https://`");
        }
        refuse(self.of_url(), "only applies to a URL")?;
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

    /// The error for several arguments that are not all files.
    fn not_volumes(&self) -> anyhow::Error {
        let mut others = self.sites.iter().filter(|path| !path.is_file());
        let other = others.next().unwrap_or(&self.sites[0]);
        let shown = crate::fsx::escaped_path(other);
        if other.exists() {
            anyhow::anyhow!("`{shown}` is a folder, which is verified by itself")
        } else {
            anyhow::anyhow!("`{shown}` does not exist")
        }
    }

    /// The options that are about servers, and whether they are given.
    fn of_url(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let jobs = [("--jobs", self.jobs.is_some())];
        jobs.into_iter().chain(self.trust.given())
    }

    /// Verifies exports; `None` if these are neither files nor folders of volumes.
    fn run_exports(&self, ui: Ui) -> anyhow::Result<Option<ExitCode>> {
        let Some(exports) = verify::exports(&self.sites)? else {
            return Ok(None);
        };
        let depth = [("--fast", self.fast), ("--deep", self.deep)];
        let options = depth.into_iter().chain(self.of_url());
        refuse(options, "does not apply to exports")?;
        let (findings, alone) = with_progress(ui, Verb::Read, |progress| {
            verify::verify_exports(&exports, progress)
        })?;
        Ui::data(&if self.json {
            report::json(&findings)?
        } else {
            report::findings(&findings)
        })?;
        if let Some(alone) = &alone {
            ui.messages(report::notes(&alone.notes));
        }
        if findings.is_empty() {
            ui.message(&match alone {
                Some(alone) => format!("no problems found in volume {}", alone.number),
                None => "no problems found".to_owned(),
            });
            return Ok(Some(ExitCode::SUCCESS));
        }
        let problems = text::count(findings.len() as u64, "problem");
        ui.message(&format!("{problems} found"));
        Ok(Some(ExitCode::from(1)))
    }

    #[cfg(not(feature = "verify-url"))]
    #[expect(
        clippy::unused_self,
        reason = "as with the feature, which needs the options"
    )]
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
        let ending = site.extension().and_then(|ending| ending.to_str());
        let is_archive = matches!(ending, Some("tar" | "gz" | "tgz" | "zst" | "xz"));
        if is_archive || crate::fsx::meta(site)?.is_some() {
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
