//! Parses the command line and runs the operation it names.

use std::process::ExitCode;
use std::str::FromStr;

use clap::{ArgAction, Parser, Subcommand};

use crate::cli::build::BuildArgs;
use crate::cli::clients::ClientsArgs;
use crate::cli::config::ConfigArgs;
use crate::cli::edit::{PruneArgs, RemoveArgs, TagArgs};
use crate::cli::export::{DiffArgs, ExportArgs};
use crate::cli::get::GetArgs;
use crate::cli::help::HelpArgs;
use crate::cli::list::ListArgs;
#[cfg(feature = "publish")]
use crate::cli::publish::PublishArgs;
use crate::cli::put::PutArgs;
#[cfg(feature = "serve")]
use crate::cli::serve::ServeArgs;
use crate::cli::shell::{CompletionsArgs, ManArgs};
use crate::cli::ssh_command::SshCommandArgs;
use crate::cli::ui::Ui;
use crate::cli::verify::VerifyArgs;
use crate::error::Hint;

mod args;
mod build;
mod clients;
mod config;
mod edit;
mod export;
mod get;
mod help;
mod list;
mod progress;
#[cfg(feature = "publish")]
mod publish;
mod put;
mod report;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "verify-url")]
mod server_report;
mod shell;
mod ssh_command;
mod ui;
mod usage;
mod verify;

/// Publish container images as plain files that any static web server serves as a registry
#[derive(Debug, Parser)]
#[command(
    name = "stillage",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    disable_version_flag = true,
    after_help = help::topics()
)]
struct Cli {
    /// Print the version
    #[arg(short = 'V', short_alias = 'v', long, action = ArgAction::Version)]
    version: (),
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a site from images, or add images to one
    #[command(after_long_help = help::end(build::EXAMPLES, &build::sources_help(), &["sources", "building", "limits"]))]
    Build(BuildArgs),
    /// Add the images of an archive on standard input to a site
    #[command(after_long_help = help::end(put::EXAMPLES, "", &["sources", "ssh"]))]
    Put(PutArgs),
    /// List what a site serves
    #[command(visible_alias = "ls", after_long_help = help::end(list::EXAMPLES, "", &["editing", "json"]))]
    List(ListArgs),
    /// Check every file of a site against its catalogue, or a server from outside
    #[command(after_long_help = help::end(verify::EXAMPLES, "", &["verify-url", "editing"]))]
    Verify(VerifyArgs),
    /// Add tags to an image of a site
    #[command(after_long_help = help::end(edit::TAG_EXAMPLES, "", &["editing"]))]
    Tag(TagArgs),
    /// Remove images from a site; their content stays until prune
    #[command(visible_alias = "rm", after_long_help = help::end(edit::REMOVE_EXAMPLES, "", &["editing"]))]
    Remove(RemoveArgs),
    /// Delete content that nothing in a site refers to any more
    #[command(after_long_help = help::end(edit::PRUNE_EXAMPLES, "", &["editing"]))]
    Prune(PruneArgs),
    /// Take images out of a site, for `docker load`, `podman load`, `ctr images import -` and others
    #[command(after_long_help = help::end(get::EXAMPLES, &get::formats_help(), &["taking-out"]))]
    Get(GetArgs),
    /// Write what a site has, or another site lacks, as one archive or in volumes, which `build` merges there
    #[command(after_long_help = help::end(export::EXAMPLES, "", &["mirror"]))]
    Export(ExportArgs),
    /// Print what a site has and another lacks
    #[command(after_long_help = help::end(export::DIFF_EXAMPLES, "", &["mirror"]))]
    Diff(DiffArgs),
    /// Print a web server configuration that serves a site
    #[command(after_long_help = help::end(config::EXAMPLES, &config::servers_help(), &["servers", "edges", "logins"]))]
    Config(ConfigArgs),
    /// Print the files that make clients use a site, as a registry and as a mirror of others
    #[command(after_long_help = help::end(clients::EXAMPLES, &clients::clients_help(), &["client-files"]))]
    Clients(ClientsArgs),
    /// Publish a site to a bucket, where a CDN or the store itself serves it
    #[cfg(feature = "publish")]
    #[command(after_long_help = help::end(publish::EXAMPLES, "", &["bucket", "ci", "edges"]))]
    Publish(PublishArgs),
    /// Serve a site over HTTP
    #[cfg(feature = "serve")]
    #[command(after_long_help = help::end(serve::EXAMPLES, "", &["servers"]))]
    Serve(ServeArgs),
    /// Do what the client of an SSH key asks for: the `command` of the key in `authorized_keys`
    #[command(name = "ssh-command", after_long_help = help::end(ssh_command::EXAMPLES, "", &["ssh"]))]
    Ssh(SshCommandArgs),
    /// Print what a shell needs to complete commands and options
    #[command(after_long_help = help::end(shell::COMPLETIONS_EXAMPLES, "", &[]))]
    Completions(CompletionsArgs),
    /// Print the pages of the manual
    #[command(after_long_help = help::end(shell::MAN_EXAMPLES, "", &[]))]
    Man(ManArgs),
    /// Explain a command or a topic
    #[command(after_long_help = help::end(help::EXAMPLES, "", &[]))]
    Help(HelpArgs),
}

/// Parses the arguments of the process and runs the command.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage::fail(error),
    };
    crate::fsx::open_umask();
    command.run().unwrap_or_else(|error| Ui::error(&error))
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Build(args) => args.run(),
            Self::Put(args) => args.run(),
            Self::List(args) => args.run(),
            Self::Verify(args) => args.run(),
            Self::Tag(args) => args.run(),
            Self::Remove(args) => args.run(),
            Self::Prune(args) => args.run(),
            Self::Get(args) => args.run(),
            Self::Export(args) => args.run(),
            Self::Diff(args) => args.run(),
            Self::Config(args) => args.run(),
            Self::Clients(args) => args.run(),
            #[cfg(feature = "publish")]
            Self::Publish(args) => args.run(),
            #[cfg(feature = "serve")]
            Self::Serve(args) => args.run(),
            Self::Ssh(args) => args.run(),
            Self::Completions(args) => args.run(),
            Self::Man(args) => args.run(),
            Self::Help(args) => args.run(),
        }
    }
}

/// Parses an argument. Clap prints one line, so the causes and the hint of an error are joined.
fn parsed<T: FromStr<Err = anyhow::Error>>(text: &str) -> Result<T, String> {
    text.parse::<T>().map_err(|error| {
        let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        if error.downcast_ref::<Hint>().is_some() {
            causes.rotate_left(1);
        }
        causes.join(": ")
    })
}
