//! `stillage publish`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::bucket::{Destination, Endpoint, region_of_profile};
use crate::cli::args::{Globs, NoMove, Output, duration, jobs, refuse};
use crate::cli::parsed;
use crate::cli::progress::{Verb, with_progress};
use crate::cli::report;
use crate::cli::ui::Ui;
use crate::fsx;
use crate::ops::publish::{PruneOptions, PublishOptions, Published, plan, publish};

const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// Requests at a time: most of the time of each is spent waiting.
const JOBS: usize = 16;

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct PublishArgs {
    /// The folder of the site
    site: PathBuf,
    /// The bucket, `s3://BUCKET` or `s3://BUCKET/PREFIX`
    #[arg(value_name = "DESTINATION", value_parser = parsed::<Destination>, required_unless_present = "plan")]
    destination: Option<Destination>,
    #[arg(
        long,
        value_name = "URL",
        value_parser = parsed::<Endpoint>,
        help = "The address of an S3-compatible store other than that of AWS [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]"
    )]
    endpoint: Option<Endpoint>,
    #[arg(
        long,
        value_name = "REGION",
        help = "The region of the bucket [env: AWS_REGION, AWS_DEFAULT_REGION] [default: that of the profile, or us-east-1]"
    )]
    region: Option<String>,
    /// List only what the site has: other names of the bucket are removed, their content stays
    #[arg(long, conflicts_with_all = ["only", "exclude"])]
    mirror: bool,
    #[command(flatten)]
    no_move: NoMove,
    /// Print what would be sent, send nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Requests at a time; 0 is the default, 16
    #[arg(short, long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = jobs())]
    jobs: u16,
    /// Allow `--mirror` and `--prune` on a store without conditional writes. Nobody else may publish meanwhile: two
    /// publishers would not notice each other, tags of one could be lost, and content that it relies on deleted
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    globs: Globs,
    #[command(flatten)]
    objects: Objects,
    #[command(flatten)]
    deleting: Deleting,
    /// Write the URL paths of the tags and lists that changed to a file, to purge them from a CDN
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "dry_run"], help_heading = "Output options")]
    purge_list: Option<PathBuf>,
    /// Print what an uploader has to do, in order, as lines of JSON; without a destination for an empty bucket
    #[arg(long, conflicts_with_all = ["dry_run", "json"], help_heading = "Output options")]
    plan: bool,
    #[command(flatten)]
    output: Output,
}

/// How objects are stored.
#[derive(Debug, Args)]
#[command(next_help_heading = "Storage options")]
struct Objects {
    /// Store each blob once, at `blobs/sha256/`: an edge before the bucket must rewrite `/v2/*/blobs/sha256:HEX` to it
    #[arg(long)]
    blobs_once: bool,
    /// Also store each layer of v1 that is a blob as an empty object whose metadata names the blob: an edge before the
    /// bucket must send the blob instead, as those of `stillage config` do. Every job must give this
    #[arg(long, requires = "blobs_once")]
    layers_once: bool,
    /// Look at the headers of each object and set those that are wrong, as other tools that copy into the bucket
    /// leave them
    #[arg(long, conflicts_with = "plan")]
    check_headers: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options for deleting")]
struct Deleting {
    /// Then delete content that the bucket has not listed for the grace period
    #[arg(long, conflicts_with = "plan")]
    prune: bool,
    /// How long content must have been unused, such as 90m, 24h or 7d, since the first prune that found it; longer
    /// than a publish takes
    #[arg(long, value_name = "DURATION", default_value = "24h", requires = "prune", value_parser = duration)]
    grace: Duration,
    /// Also remove manifests that no tag leads to any more
    #[arg(long, requires = "prune")]
    untagged: bool,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage publish site s3://registry.example.org",
        "with the credentials that AWS tools find",
    ),
    (
        "stillage publish site s3://images/hub --endpoint https://store.example --region auto",
        "another store, below a prefix",
    ),
    (
        "stillage publish site s3://images --no-move --prune",
        "never move a tag; delete old content",
    ),
    ("stillage publish site s3://images -n", "what would be sent"),
];

/// The first of these variables that is set.
fn variable(names: &[&str]) -> Option<String> {
    let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.find(|value| !value.is_empty())
}

impl PublishArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        refuse(
            [(
                "--force",
                self.force && !self.mirror && !self.deleting.prune,
            )],
            "only applies to `--mirror` and `--prune`",
        )?;
        let given = self
            .region
            .or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = match given {
            Some(region) => region,
            // Where nothing is uploaded, a broken file of profiles does not matter.
            None if self.destination.is_none() => String::new(),
            None => region_of_profile()?.unwrap_or_else(|| "us-east-1".to_owned()),
        };
        let endpoint = match (self.endpoint, variable(&ENDPOINTS)) {
            (None, Some(address)) => Some(address.parse()?),
            (endpoint, _) => endpoint,
        };
        if let (Some(destination), None) = (&self.destination, &endpoint) {
            destination.check_aws()?;
        }
        let options = PublishOptions {
            site: self.site,
            destination: self.destination,
            endpoint,
            region,
            selection: self.globs.selection()?,
            no_move: self.no_move.glob()?,
            mirror: self.mirror,
            blobs_once: self.objects.blobs_once,
            layers_once: self.objects.layers_once,
            check_headers: self.objects.check_headers,
            prune: self.deleting.prune.then_some(PruneOptions {
                grace: self.deleting.grace,
                untagged: self.deleting.untagged,
            }),
            force: self.force,
            dry_run: self.dry_run,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(if self.jobs == 0 {
                JOBS
            } else {
                self.jobs.into()
            })
            .build()?;
        if self.plan {
            pool.install(|| {
                plan(&options, &|operation| {
                    Ui::data(&(serde_json::to_string(operation)? + "\n"))
                })
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(file) = &self.purge_list {
            // If it cannot be written, nothing is sent.
            fsx::replace(file, |_| Ok(()))?;
        }
        let ui = self.output.ui();
        let mut published = Published::default();
        let mut on_wait = || ui.message("waiting for another run that deletes from the bucket");
        let done = with_progress(ui, Verb::Send, |progress| {
            pool.install(|| publish(&options, progress, &mut on_wait, &mut published))
        });
        if let Some(file) = &self.purge_list {
            fsx::replace(file, |out| {
                let mut paths = published.changed.iter();
                Ok(paths.try_for_each(|path| writeln!(out, "{path}"))?)
            })?;
        }
        done?;
        if self.output.json {
            Ui::data(&report::json(&published)?)?;
        } else {
            ui.messages(report::published(&published, self.dry_run));
        }
        Ok(ExitCode::SUCCESS)
    }
}
