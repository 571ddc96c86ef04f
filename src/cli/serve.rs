//! `stillage serve`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;

use crate::cli::ui::Ui;
use crate::fsx::escaped_path;
use crate::serve::{self, Log};
use crate::server_config::Listen;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The folder of the site
    site: PathBuf,
    /// The address to listen on; 127.0.0.1 unless a host is given, 0.0.0.0 for all
    #[arg(long, value_name = "[HOST:]PORT", default_value = "5000")]
    listen: Listen,
    /// Print nothing but errors
    #[arg(short, long)]
    pub(super) quiet: bool,
}

impl ServeArgs {
    pub(super) fn run(&self, ui: &Ui) -> anyhow::Result<ExitCode> {
        serve(&self.site, serve::bind(&self.listen)?, ui)
    }
}

/// Serves until the process is interrupted.
pub(super) fn serve(site: &Path, listener: TcpListener, ui: &Ui) -> anyhow::Result<ExitCode> {
    let log = Arc::new(Messages(Ui { quiet: ui.quiet }));
    serve::serve(site, listener, log, |address| {
        ui.message(&format!(
            "serving {} at http://{address}/ (Ctrl-C ends it)",
            escaped_path(site)
        ));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the log, each line after the time: UTC, in seconds, as RFC 3339 writes it.
struct Messages(Ui);

impl Log for Messages {
    fn access(&self, line: &str) {
        if !self.0.quiet {
            Ui::line(&format!("{} {line}", now()));
        }
    }

    fn problem(&self, text: &str) {
        Ui::line(&format!("{} error: {text}", now()));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the log says when; no file of the site depends on it"
)]
fn now() -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(SystemTime::now())
}
