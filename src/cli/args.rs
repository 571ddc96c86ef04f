//! Options that several commands share.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::ui::{Loudness, Ui};
use crate::import::selection::{Glob, Selection};

/// Among the options without a heading, whatever comes before.
const PLAIN: Option<&str> = None;
const OUTPUT: &str = "Output options";

/// What a command that changes a site has.
#[derive(Debug, Default, Args)]
pub(super) struct Writing {
    /// Check everything and print what would change, but write nothing
    #[arg(short = 'n', long, help_heading = PLAIN)]
    pub(super) dry_run: bool,
    /// Fail at once if another run is writing to the site, instead of waiting for it
    #[arg(long, help_heading = PLAIN)]
    pub(super) no_wait: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

impl Writing {
    pub(super) fn ui(&self) -> Ui {
        self.output.ui()
    }

    /// Called while another run holds the site.
    pub(super) fn busy(&self, site: &Path) -> anyhow::Result<()> {
        self.ui().busy(site, self.no_wait)
    }
}

/// How much a command prints.
#[derive(Debug, Default, Args)]
pub(super) struct Output {
    /// Print the result as JSON
    #[arg(long, help_heading = OUTPUT)]
    pub(super) json: bool,
    /// Print errors only
    #[arg(short, long, conflicts_with_all = ["json", "verbose"], help_heading = OUTPUT)]
    pub(super) quiet: bool,
    /// Also print each source and layer that is read, and each file or object that is written or deleted
    #[arg(short, long, help_heading = OUTPUT)]
    pub(super) verbose: bool,
}

impl Output {
    pub(super) fn ui(&self) -> Ui {
        Ui(match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Normal,
        })
    }
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Selection options")]
pub(super) struct Globs {
    /// Take only repositories, or images REPO:TAG, that match a glob; repeatable. `*` does not match `/`, `**` does
    #[arg(long, value_name = "GLOB")]
    pub(super) only: Vec<String>,
    /// Leave out repositories, or images REPO:TAG, that match a glob; repeatable
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,
}

impl Globs {
    pub(super) fn selection(&self) -> anyhow::Result<Selection> {
        Selection::new(&self.only, &self.exclude)
    }
}

#[derive(Debug, Args)]
pub(super) struct NoMove {
    /// Fail if a tag would move to another manifest: any tag, or one that matches REPO or REPO:TAG
    #[arg(
        long,
        value_name = "GLOB",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "**"
    )]
    no_move: Option<String>,
}

impl NoMove {
    pub(super) fn glob(&self) -> anyhow::Result<Option<Glob>> {
        let compile = |text| Glob::new("--no-move", text);
        self.no_move.as_deref().map(compile).transpose()
    }
}

/// The certificates of a server that is asked.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "TLS options")]
pub(super) struct Trust {
    /// Trust the certificates in this PEM file, instead of the public roots
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<std::path::PathBuf>,
    /// Accept any certificate
    #[arg(long, conflicts_with = "ca")]
    pub(super) insecure: bool,
}

impl Trust {
    pub(super) fn given(&self) -> [(&'static str, bool); 2] {
        [("--ca", self.ca.is_some()), ("--insecure", self.insecure)]
    }
}

/// Fails if an option is given that has no effect. `why` goes on after its name.
pub(super) fn refuse<'a>(
    options: impl IntoIterator<Item = (&'a str, bool)>,
    why: &str,
) -> anyhow::Result<()> {
    match options.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => anyhow::bail!("`{option}` {why}"),
        None => Ok(()),
    }
}

/// The most threads or requests at a time.
const MAX_JOBS: u16 = 1024;

/// Parses a number of threads or requests at a time; 0 is the default.
pub(super) fn jobs() -> impl clap::builder::TypedValueParser<Value = u16> {
    |text: &str| match text.parse::<u64>() {
        Ok(number) => u16::try_from(number)
            .ok()
            .filter(|jobs| *jobs <= MAX_JOBS)
            .ok_or_else(|| format!("it is not in the range from 0 to {MAX_JOBS}")),
        Err(_) => Err("it is not a number".to_owned()),
    }
}

/// Parses a duration such as `90m`, `24h` or `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let is_digit = |c: char| c.is_ascii_digit();
    if !text.is_empty() && text.chars().all(is_digit) && text != "0" {
        return Err(format!(
            "it has no unit: `{text}h` is in hours, `{text}d` in days"
        ));
    }
    let is_date = text.split('-').count() > 1 && text.starts_with(is_digit);
    humantime::parse_duration(text).map_err(|_| {
        if is_date {
            "give an age such as 90d, not a date".to_owned()
        } else {
            "it is not a duration such as 90m, 24h or 7d".to_owned()
        }
    })
}
