//! `stillage tag`, `remove` and `prune`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::ui::Ui;
use crate::cli::{parsed, report};
use crate::error::escaped;
use crate::import::selection::Glob;
use crate::ops::retention::{KeepLast, OlderThan, Retention};
use crate::ops::{edit, prune};
use crate::spec::name::{Reference, Tag};

// The options that all three commands share.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct Common {
    /// Change nothing, only print what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Fail at once if another run is writing to the site, instead of waiting for it
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
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

#[derive(Debug, Args)]
pub(super) struct TagArgs {
    /// The folder of the site
    site: PathBuf,
    /// The image to tag: NAME[:TAG] or NAME@DIGEST
    #[arg(value_name = "REF", value_parser = parsed::<Reference>)]
    reference: Reference,
    /// The tags to add
    #[arg(required = true, value_name = "TAG", value_parser = parsed::<Tag>)]
    tags: Vec<Tag>,
    #[command(flatten)]
    no_move: NoMove,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The folder of the site
    site: PathBuf,
    /// A tag NAME:TAG, a manifest NAME@DIGEST with all its tags, or a whole repository NAME
    #[arg(required = true, value_name = "REF", value_parser = parsed::<Reference>)]
    references: Vec<Reference>,
    /// Skip references that the site does not have
    #[arg(long)]
    ignore_missing: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// The folder of the site
    site: PathBuf,
    /// How long content must have been unused, such as 90m, 24h or 7d, since the first prune that found it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Also remove manifests that no tag leads to any more
    #[arg(long)]
    untagged: bool,
    /// Remove all tags of a repository but those of the N newest images, and what only they lead to: of all tags, or of
    /// those that match REPO or REPO:TAG. The first matching rule decides
    #[arg(long, value_name = "N[=GLOB]")]
    keep_last: Vec<String>,
    /// Remove tags whose image was created longer ago, such as 90d; with --keep-last, only those that it does not keep
    #[arg(long, value_name = "DURATION", value_parser = older_than)]
    older_than: Option<OlderThan>,
    #[command(flatten)]
    common: Common,
}

impl Common {
    fn ui(&self) -> Ui {
        Ui { quiet: self.quiet }
    }

    fn busy(&self, site: &Path) -> anyhow::Result<()> {
        self.ui().busy(site, self.no_wait)
    }

    fn options(&self, site: PathBuf) -> edit::EditOptions {
        edit::EditOptions {
            site,
            dry_run: self.dry_run,
            no_move: None,
        }
    }

    fn say(&self, edited: &edit::Edited) -> anyhow::Result<ExitCode> {
        if self.json {
            Ui::data(&report::json(edited)?)?;
        } else {
            self.ui().messages(report::edited(edited, self.dry_run));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl TagArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let options = edit::EditOptions {
            no_move: self.no_move.glob()?,
            ..self.common.options(self.site)
        };
        let busy = || self.common.busy(&options.site);
        let edited = edit::tag(&options, &self.reference, &self.tags, busy)?;
        self.common.say(&edited)
    }
}

impl RemoveArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let options = self.common.options(self.site);
        let busy = || self.common.busy(&options.site);
        let edited = edit::remove(&options, &self.references, self.ignore_missing, busy)?;
        self.common.say(&edited)
    }
}

fn older_than(text: &str) -> Result<OlderThan, humantime::DurationError> {
    Ok(OlderThan {
        age: humantime::parse_duration(text)?,
        text: format!("--older-than {text}"),
    })
}

/// Parses `N[=GLOB]`.
fn keep_last(text: &str) -> anyhow::Result<KeepLast> {
    let (number, glob) = match text.split_once('=') {
        Some((number, glob)) => (number, Some(Glob::new("--keep-last", glob)?)),
        None => (text, None),
    };
    let count: usize = number.parse().unwrap_or_default();
    anyhow::ensure!(
        count > 0,
        "`--keep-last` keeps at least 1 image, not `{}`",
        escaped(number)
    );
    Ok(KeepLast {
        number: count,
        glob,
        text: format!("--keep-last {text}"),
    })
}

impl PruneArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let options = prune::PruneOptions {
            site: self.site,
            grace: self.grace,
            untagged: self.untagged,
            retention: Retention {
                keep_last: self
                    .keep_last
                    .iter()
                    .map(|text| keep_last(text))
                    .collect::<anyhow::Result<_>>()?,
                older_than: self.older_than,
            },
            dry_run: self.common.dry_run,
        };
        let pruned = prune::prune(&options, || self.common.busy(&options.site))?;
        if self.common.json {
            Ui::data(&report::json(&pruned)?)?;
        } else {
            let lines = report::pruned(&pruned, self.common.dry_run);
            self.common.ui().messages(lines);
        }
        Ok(ExitCode::SUCCESS)
    }
}
