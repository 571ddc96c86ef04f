//! `stillage tag`, `remove` and `prune`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::args::{NoMove, Writing, duration};
use crate::cli::ui::Ui;
use crate::cli::{parsed, report};
use crate::error::{WithHint as _, escaped};
use crate::import::selection::Glob;
use crate::ops::retention::{KeepLast, OlderThan, Retention};
use crate::ops::{edit, prune};
use crate::spec::name::{Reference, Tag};

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
    writing: Writing,
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
    writing: Writing,
}

#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// The folder of the site
    site: PathBuf,
    /// How long content must have been unused, such as 90m, 24h or 7d, since the first prune that found it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
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
    writing: Writing,
}

pub(super) const TAG_EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage tag site app:1.2 latest",
        "`app:latest` is then `app:1.2`",
    ),
    (
        "stillage tag site app:1.2.3 1.2 1 --no-move",
        "fails if a tag is another image",
    ),
];

pub(super) const REMOVE_EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage remove site app:1.0",
        "a tag, and its manifest unless something else needs it",
    ),
    (
        "stillage remove site app old/tool -n",
        "two repositories; prints what would go",
    ),
];

pub(super) const PRUNE_EXAMPLES: &[(&str, &str)] = &[
    ("stillage prune site", "content that was unused for a day"),
    (
        "stillage prune site --keep-last 10 -n",
        "the tags and files that would go",
    ),
    (
        "stillage prune site --keep-last '20=**:nightly-*' --older-than 90d",
        "by a rule for some tags, and by age",
    ),
];

fn options(site: PathBuf, writing: &Writing) -> edit::EditOptions {
    edit::EditOptions {
        site,
        dry_run: writing.dry_run,
        no_move: None,
        progress: writing.ui().progress(),
    }
}

fn say(edited: &edit::Edited, writing: &Writing) -> anyhow::Result<ExitCode> {
    if writing.output.json {
        Ui::data(&report::json(edited)?)?;
    } else {
        writing
            .ui()
            .messages(report::edited(edited, writing.dry_run));
    }
    Ok(ExitCode::SUCCESS)
}

impl TagArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let options = edit::EditOptions {
            no_move: self.no_move.glob()?,
            ..options(self.site, &self.writing)
        };
        let busy = || self.writing.busy(&options.site);
        let edited = edit::tag(&options, &self.reference, &self.tags, busy)?;
        say(&edited, &self.writing)
    }
}

impl RemoveArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let options = options(self.site, &self.writing);
        let busy = || self.writing.busy(&options.site);
        let edited = edit::remove(&options, &self.references, self.ignore_missing, busy)?;
        say(&edited, &self.writing)
    }
}

fn older_than(text: &str) -> Result<OlderThan, String> {
    Ok(OlderThan {
        age: duration(text)?,
        text: format!("--older-than {text}"),
    })
}

/// Parses `N[=GLOB]`.
fn keep_last(text: &str) -> anyhow::Result<KeepLast> {
    let shown = escaped(text);
    let (number, glob) = match text.split_once('=') {
        Some((number, glob)) => (number, Some(glob)),
        None => (text, None),
    };
    let Ok(count) = number.parse::<usize>() else {
        let is_turned = |glob: &&str| glob.parse::<usize>().is_ok();
        let error = anyhow::anyhow!("`--keep-last {shown}` has no number of images");
        return Err(error).hint(match glob.filter(is_turned) {
            Some(glob) => format!("the number comes first: `{glob}={}`", escaped(number)),
            None => "give a number, or N=GLOB, such as `3=app`".to_owned(),
        });
    };
    anyhow::ensure!(
        count > 0,
        "`--keep-last {shown}` must keep at least 1 image"
    );
    if glob == Some("") {
        return Err(anyhow::anyhow!(
            "`--keep-last {shown}` has no glob after `=`"
        ))
        .hint(format!("`--keep-last {number}` is about all tags"));
    }
    let glob = glob
        .map(|glob| Glob::new("--keep-last", glob))
        .transpose()?;
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
            dry_run: self.writing.dry_run,
        };
        let pruned = prune::prune(&options, || self.writing.busy(&options.site))?;
        if self.writing.output.json {
            Ui::data(&report::json(&pruned)?)?;
        } else {
            let lines = report::pruned(&pruned, self.writing.dry_run, self.writing.output.verbose);
            self.writing.ui().messages(lines);
        }
        Ok(ExitCode::SUCCESS)
    }
}
