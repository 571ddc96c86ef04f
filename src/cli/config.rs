//! `stillage config`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::ui::Ui;
use crate::fsx::escaped_path;
use crate::ops::config;
use crate::server_config::{Listen, SERVERS};

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The web server
    #[arg(value_parser = PossibleValuesParser::new(SERVERS.iter().map(|server| server.name)))]
    server: String,
    /// The folder of the site
    site: PathBuf,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The address the server listens on; all addresses unless a host is given
    #[arg(long, value_name = "[HOST:]PORT", default_value = "5000")]
    listen: Listen,
    /// nginx: name every tag and layer, for exact headers; run this again after each publish
    #[arg(long)]
    exact: bool,
}

impl ConfigArgs {
    pub(super) fn run(self, ui: &Ui) -> anyhow::Result<ExitCode> {
        let named = SERVERS.iter().find(|server| server.name == self.server);
        let options = config::ConfigOptions {
            server: named.ok_or_else(|| anyhow::anyhow!("there is no such server"))?,
            site: self.site,
            listen: self.listen,
            exact: self.exact,
            output: self.output,
        };
        for file in Ui::stream(|stdout| config::config(&options, stdout))? {
            ui.message(&format!("wrote {}", escaped_path(&file)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn servers_help() -> String {
    let mut help = String::from("Servers:\n");
    for server in SERVERS {
        let _ = writeln!(help, "  {:10} {}", server.name, server.about);
    }
    help
}
