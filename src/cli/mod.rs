//! Parses the command line and runs the operation it names.

use std::process::ExitCode;
use std::str::FromStr;

use clap::{Parser, Subcommand};

use crate::cli::build::BuildArgs;
use crate::cli::clients::ClientsArgs;
use crate::cli::config::ConfigArgs;
use crate::cli::edit::{PruneArgs, RemoveArgs, TagArgs};
use crate::cli::export::{DiffArgs, ExportArgs};
use crate::cli::get::GetArgs;
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

mod build;
mod clients;
mod config;
mod edit;
mod export;
mod get;
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
mod verify;

/// Publish container images as plain files that any static web server serves as a registry
#[derive(Debug, Parser)]
#[command(
    name = "stillage",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a site from images, or add images to one
    #[command(after_long_help = build::sources_help())]
    Build(BuildArgs),
    /// Add the images of an archive on standard input to a site
    Put(PutArgs),
    /// List what a site serves
    List(ListArgs),
    /// Check every file of a site against its catalogue, or a server from outside
    Verify(VerifyArgs),
    /// Add tags to an image of a site
    Tag(TagArgs),
    /// Remove images from a site; their content stays until prune
    #[command(visible_alias = "rm")]
    Remove(RemoveArgs),
    /// Delete content that nothing in a site refers to any more
    Prune(PruneArgs),
    /// Take images out of a site, for `docker load`, `podman load`, `ctr images import -` and others
    #[command(after_long_help = get::formats_help())]
    Get(GetArgs),
    /// Write what a site has, or another site lacks, as one archive or in volumes, which `build` merges there
    Export(ExportArgs),
    /// Say what a site has and another lacks
    Diff(DiffArgs),
    /// Print a web server configuration that serves a site
    #[command(after_long_help = config::servers_help())]
    Config(ConfigArgs),
    /// Print the files that make clients use a site, as a registry and as a mirror of others
    #[command(after_long_help = clients::clients_help())]
    Clients(ClientsArgs),
    /// Publish a site to a bucket, where a CDN or the store itself serves it
    #[cfg(feature = "publish")]
    Publish(PublishArgs),
    /// Serve a site over HTTP
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    /// Do what the client of an SSH key asks for: the `command` of the key in `authorized_keys`
    #[command(name = "ssh-command")]
    Ssh(SshCommandArgs),
    /// Print what a shell needs to complete commands and options
    #[command(
        after_help = "bash:  stillage completions bash > ~/.local/share/bash-completion/completions/stillage
zsh:   stillage completions zsh > ~/.zfunc/_stillage, with ~/.zfunc in `fpath`
fish:  stillage completions fish > ~/.config/fish/completions/stillage.fish"
    )]
    Completions(CompletionsArgs),
    /// Print the page of the manual, for `man -l -`
    Man(ManArgs),
}

/// Parses the arguments of the process and runs the command.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let quiet = match &command {
        Command::Build(args) => args.common.quiet,
        Command::Put(args) => args.common.quiet,
        Command::Export(args) => args.quiet,
        Command::Verify(args) => args.quiet,
        #[cfg(feature = "publish")]
        Command::Publish(args) => args.quiet,
        #[cfg(feature = "serve")]
        Command::Serve(args) => args.quiet,
        _ => false,
    };
    crate::fsx::open_umask();
    let ui = Ui { quiet };
    command.run(&ui).unwrap_or_else(|error| Ui::error(&error))
}

impl Command {
    fn run(self, ui: &Ui) -> anyhow::Result<ExitCode> {
        match self {
            Self::Build(args) => args.run(ui),
            Self::Put(args) => args.run(ui),
            Self::List(args) => args.run(),
            Self::Verify(args) => args.run(ui),
            Self::Tag(args) => args.run(),
            Self::Remove(args) => args.run(),
            Self::Prune(args) => args.run(),
            Self::Get(args) => args.run(),
            Self::Export(args) => args.run(ui),
            Self::Diff(args) => args.run(),
            Self::Config(args) => args.run(ui),
            Self::Clients(args) => args.run(ui),
            #[cfg(feature = "publish")]
            Self::Publish(args) => args.run(ui),
            #[cfg(feature = "serve")]
            Self::Serve(args) => args.run(ui),
            Self::Ssh(args) => args.run(ui),
            Self::Completions(args) => args.run(),
            Self::Man(args) => args.run(),
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
