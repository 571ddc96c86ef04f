//! `stillage config`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::cli::ui::Ui;
use crate::fsx::escaped_path;
use crate::ops::config;
use crate::server_config::{Auth, Listen, Prefix, SERVERS};

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
    /// The address the server listens on; all addresses, of IPv4 and IPv6, unless a host is given
    #[arg(long, value_name = "[HOST:]PORT", default_value = "5000")]
    listen: Listen,
    /// Serve the site below this path, such as `/hub`, instead of at the root of the host
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    prefix: Prefix,
    /// nginx: a file for `conf.d` or `sites-enabled` of an nginx that serves other sites too
    #[arg(long)]
    conf_d: bool,
    /// nginx: let in only clients that log in, by a password or a TLS certificate
    #[arg(long, value_name = "HOW", value_parser = PossibleValuesParser::new(["basic", "certificate"]).map(auth))]
    auth: Option<Auth>,
    /// nginx: name the v1 layers, for their lengths and checksums; run this again after each publish
    #[arg(long)]
    exact: bool,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage config nginx /srv/registry -o nginx.conf",
        "an nginx of its own, on port 5000",
    ),
    (
        "stillage config nginx /srv/registry --conf-d -o /etc/nginx/conf.d/registry.conf",
        "beside other sites",
    ),
    ("stillage config caddy site", "print it"),
    (
        "stillage config rsync site -o copy.sh",
        "a script that copies the site to a server",
    ),
];

impl ConfigArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let named = SERVERS.iter().find(|server| server.name == self.server);
        let options = config::ConfigOptions {
            server: named.ok_or_else(|| anyhow::anyhow!("there is no such server"))?,
            site: self.site,
            listen: self.listen,
            prefix: self.prefix,
            conf_d: self.conf_d,
            auth: self.auth,
            exact: self.exact,
            output: self.output,
        };
        let host = options.listen.host.as_deref();
        let is_name = |host: &&str| {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            *host != "localhost" && address.is_err()
        };
        if let Some(name) = host.filter(is_name) {
            Ui::default().message(&format!(
                "note: `{name}` is a name: {} listens on its address, and does not start without one",
                self.server
            ));
        }
        for file in Ui::stream(|stdout| config::config(&options, stdout))? {
            Ui::default().message(&format!("wrote {}", escaped_path(&file)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "clap gives what it has parsed"
)]
fn auth(how: String) -> Auth {
    if how == "basic" {
        Auth::Basic
    } else {
        Auth::Certificate
    }
}

pub(super) fn servers_help() -> String {
    let mut help = String::from("Servers:\n");
    for server in SERVERS {
        let _ = writeln!(help, "  {:11} {}", server.name, server.about);
    }
    help
}
