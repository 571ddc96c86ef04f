//! `stillage serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;

use crate::cli::ui::Ui;
use crate::fsx::escaped_path;
use crate::serve::{self, Endpoint, Log, TlsFiles};
use crate::server_config::Listen;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The folder of the site
    site: PathBuf,
    /// The address to listen on; 127.0.0.1 unless a host is given; `[::]:5000` is all addresses
    #[arg(long, value_name = "[HOST:]PORT", default_value = "5000")]
    listen: Listen,
    /// Speak TLS, with this certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Print errors only: no log of requests
    #[arg(short, long)]
    quiet: bool,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("stillage serve site", "at http://127.0.0.1:5000"),
    (
        "stillage serve site --listen '[::]:80'",
        "for other hosts, by IPv4 and IPv6",
    ),
    (
        "stillage serve site --listen '[::]:443' --tls-cert server.pem --tls-key key.pem",
        "over TLS",
    ),
];

impl ServeArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let endpoint = bind(&self.listen, self.tls_cert, self.tls_key)?;
        serve(&self.site, endpoint, Ui::quiet_if(self.quiet))
    }
}

/// Binds the address of the command line. The options of TLS come together or not at all.
pub(super) fn bind(
    listen: &Listen,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> anyhow::Result<Endpoint> {
    let tls = cert.zip(key).map(|(cert, key)| TlsFiles { cert, key });
    Endpoint::bind(listen, tls.as_ref())
}

/// Serves until the process is interrupted.
pub(super) fn serve(site: &Path, endpoint: Endpoint, ui: Ui) -> anyhow::Result<ExitCode> {
    let log = Arc::new(Messages(ui));
    serve::serve(site, endpoint, log, |url| {
        let site = escaped_path(site);
        ui.message(&format!("serving {site} at {url} (Ctrl-C ends it)"));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the log, each line after the time: UTC, in seconds, as RFC 3339 writes it.
struct Messages(Ui);

impl Log for Messages {
    fn access(&self, line: &str) {
        if !self.0.is_quiet() {
            Ui::log(&format!("{} {line}", now()));
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
