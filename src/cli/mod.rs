//! The command line: arguments, and which operation they mean.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::build::BuildArgs;
use crate::cli::config::ConfigArgs;
#[cfg(feature = "serve")]
use crate::cli::serve::ServeArgs;
use crate::cli::ui::Ui;
use crate::ops::{list, verify};

mod build;
mod config;
mod report;
#[cfg(feature = "serve")]
mod serve;
mod ui;

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
    /// List what a site serves
    List(SiteArgs),
    /// Check every file of a site against its catalogue
    Verify(SiteArgs),
    /// Print the configuration with which a web server serves a site
    #[command(after_long_help = config::servers_help())]
    Config(ConfigArgs),
    /// Serve a site over HTTP
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
struct SiteArgs {
    /// The folder of the site
    site: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command that the arguments of the process name.
pub fn run() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let quiet = match &command {
        Command::Build(args) => args.quiet,
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
            Self::Config(args) => args.run(ui),
            #[cfg(feature = "serve")]
            Self::Serve(args) => args.run(ui),
            Self::List(args) => {
                let listed = list::list(&args.site)?;
                Ui::data(&if args.json {
                    report::json(&listed)?
                } else {
                    report::list(&listed)
                })?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify(args) => {
                let findings = verify::verify(&args.site)?;
                Ui::data(&if args.json {
                    report::json(&findings)?
                } else {
                    report::findings(&findings)
                })?;
                if findings.is_empty() {
                    ui.message("no problems found");
                    return Ok(ExitCode::SUCCESS);
                }
                ui.message(&format!(
                    "{} found",
                    report::count(findings.len() as u64, "problem")
                ));
                Ok(ExitCode::from(1))
            }
        }
    }
}
