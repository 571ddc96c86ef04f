//! Web servers and the edges of CDNs: the rules of [`crate::routes`] as the configuration of each.
//!
//! A new server is one file here and one line in [`SERVERS`].

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};

use crate::error::escaped;
use crate::plan::Plan;
use crate::site_files::SiteFiles;

mod apache;
mod caddy;
mod cloudflare;
mod cloudfront;
mod headers;
mod lighttpd;
mod netlify;
mod nginx;
mod prefix;
mod rsync;

pub use prefix::Prefix;

/// A web server, or another way to serve or copy a site, that needs a configuration.
pub struct Server {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for the help: what the configuration is, and how to use it.
    pub about: &'static str,
    pub knows: DependsOn,
    /// The options that it supports, as on the command line.
    pub options: &'static [&'static str],
    /// Renders the files of the configuration, the main one first. Fails if the server cannot serve the site.
    pub render: for<'a> fn(&'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>>,
}

/// A file of a configuration.
pub struct Rendered<'a> {
    /// Appended to the name of the main file, which the user gives; empty for the main file itself.
    pub suffix: &'static str,
    pub content: Contents<'a>,
}

pub enum Contents<'a> {
    Whole(String),
    /// Text of any length. Fails if the site is damaged, or writing fails.
    Lines(Box<Lines<'a>>),
}

pub type Lines<'a> = dyn Fn(&mut dyn Write) -> anyhow::Result<()> + 'a;

impl<'a> Rendered<'a> {
    /// The only file, or the main one.
    fn main(text: String) -> Self {
        Self {
            suffix: "",
            content: Contents::Whole(text),
        }
    }

    /// A file whose lines are written one by one.
    fn lines(
        suffix: &'static str,
        write: impl Fn(&mut dyn Write) -> anyhow::Result<()> + 'a,
    ) -> Self {
        Self {
            suffix,
            content: Contents::Lines(Box::new(write)),
        }
    }

    pub fn write(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match &self.content {
            Contents::Whole(text) => Ok(out.write_all(text.as_bytes())?),
            Contents::Lines(write) => write(out),
        }
    }
}

/// What of a site a configuration depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependsOn {
    /// Only the folder it is in.
    Place,
    /// What the site holds.
    Content,
    /// The folder; with `--exact`, also what the site holds.
    ContentIfExact,
}

impl DependsOn {
    /// Whether the configuration depends on what the site holds.
    pub fn content(self, exact: bool) -> bool {
        self == Self::Content || (exact && self == Self::ContentIfExact)
    }
}

pub const SERVERS: &[Server] = &[
    nginx::SERVER,
    caddy::SERVER,
    apache::SERVER,
    lighttpd::SERVER,
    cloudflare::SERVER,
    cloudfront::SERVER,
    netlify::SERVER,
    rsync::SERVER,
    headers::SERVER,
];

/// What to serve, where, and to whom.
pub struct Setup<'a> {
    /// The site; its root is an absolute path, in which links are kept.
    pub site: SiteFiles,
    pub listen: Listen,
    pub prefix: Prefix,
    /// Whether the configuration names what the site holds.
    pub exact: bool,
    /// Whether it is for an existing nginx, which includes it.
    pub conf_d: bool,
    pub auth: Option<Auth>,
    /// The absolute path of the main file; `None` for the standard output.
    pub output: Option<PathBuf>,
    /// What the site holds, if the configuration depends on it.
    pub plan: Option<Plan<'a>>,
}

impl<'a> Setup<'a> {
    fn plan(&self) -> anyhow::Result<&Plan<'a>> {
        self.plan
            .as_ref()
            .context("the configuration needs the plan")
    }
}

/// An address to listen on: `[HOST:]PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `None` is the default of the server.
    pub host: Option<String>,
    pub port: u16,
}

impl FromStr for Listen {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text.contains("://") {
            bail!("give an address without `http://`, as [HOST:]PORT");
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let inner = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        let bracketed = inner.len() != host.len();
        match port.parse() {
            Ok(port) if inner.chars().all(legal) && inner.contains(':') <= bracketed => Ok(Self {
                host: (!host.is_empty()).then(|| host.to_owned()),
                port,
            }),
            Ok(_) => bail!("the host is not a name or an address, of IPv6 in brackets"),
            Err(_) if port.is_empty() => bail!("the port is missing after the colon"),
            Err(_) if port.bytes().all(|c| c.is_ascii_digit()) => {
                bail!("`{port}` is not a port: ports are 0 to 65535")
            }
            Err(_) => bail!("`{}` is not a port, as in [HOST:]PORT", escaped(port)),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}

/// How clients of a site log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A user name and a password (RFC 7617).
    Basic,
    /// A client certificate (TLS).
    Certificate,
}

/// The function of an edge, with what all edges share in the place of the line `EDGE`.
fn edge(function: &str, prefix: &Prefix) -> String {
    let shared = concat!("\n\n", include_str!("edge.js"), "\n");
    let shared = shared.replace("BELOW = ''", &format!("BELOW = '{prefix}'"));
    function.replacen("\nEDGE\n", &shared, 1)
}

/// A path in double quotes, for nginx and Apache. (In Caddy and lighttpd a backslash is literal.)
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["5000", "127.0.0.1:80", "[::1]:5000", "registry.test:0"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!(":80".parse::<Listen>().unwrap().host, None);
        for text in ["", "host", "::1", "::1:80", "a b:80", "70000", "[::1]"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
