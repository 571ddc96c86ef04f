//! Web servers: what [`crate::routes`] says, in the words of each server's configuration.
//!
//! A new server is one file here and one line in [`SERVERS`].

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;

use crate::plan::Plan;
use crate::site_files::SiteFiles;

mod apache;
mod caddy;
mod headers;
mod lighttpd;
mod nginx;
mod rsync;

/// A way to serve or carry a site that needs to be told about it.
pub struct Server {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is and what it needs, in one line.
    pub about: &'static str,
    /// What of the site it must know.
    pub knows: DependsOn,
    /// The files of its configuration, the main one first; fails when it cannot serve the site.
    pub render: for<'a> fn(&'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>>,
}

/// A file of a configuration.
pub struct Rendered<'a> {
    /// What is appended to the name of the main file, which the user gives; nothing for the main file itself.
    pub suffix: &'static str,
    /// What is in it.
    pub content: Contents<'a>,
}

/// What is in a file of a configuration.
pub enum Contents<'a> {
    /// This.
    Whole(String),
    /// What this writes, of any length; fails when the site is damaged, or the writer fails.
    Lines(Box<Lines<'a>>),
}

/// Writes text of any length.
pub type Lines<'a> = dyn Fn(&mut dyn Write) -> anyhow::Result<()> + 'a;

impl Rendered<'_> {
    /// The only file, or the main one.
    fn main(text: String) -> Self {
        Self {
            suffix: "",
            content: Contents::Whole(text),
        }
    }

    /// Writes what is in it.
    ///
    /// # Errors
    /// When the site is damaged, or `out` fails.
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
    /// Where it lies.
    Place,
    /// What it holds.
    Content,
    /// Where it lies, and with `--exact` what it holds.
    ContentIfExact,
}

impl DependsOn {
    /// Whether it depends on what the site holds.
    pub fn content(self, exact: bool) -> bool {
        self == Self::Content || (exact && self == Self::ContentIfExact)
    }
}

/// Every server.
pub const SERVERS: &[Server] = &[
    nginx::SERVER,
    caddy::SERVER,
    apache::SERVER,
    lighttpd::SERVER,
    rsync::SERVER,
    headers::SERVER,
];

/// What is to be served, and where.
pub struct Setup<'a> {
    /// The site, its root an absolute path.
    pub site: SiteFiles,
    /// Where the server listens.
    pub listen: Listen,
    /// Whether the configuration names what the site holds.
    pub exact: bool,
    /// The absolute path of the main file, where it is written to one.
    pub output: Option<PathBuf>,
    /// What the site holds, where the server depends on it.
    pub plan: Option<Plan<'a>>,
}

/// An address to listen on: `[HOST:]PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The host; `None` stands for the default of what listens.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

impl FromStr for Listen {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
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
            _ => {
                bail!("`[HOST:]PORT` is what can be listened on, with an IPv6 address in brackets")
            }
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

/// A path in double quotes, as nginx and Apache read it; in Caddy and lighttpd a backslash is itself.
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
