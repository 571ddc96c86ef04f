//! A site of all samples, served by nginx.

use std::path::Path;

use super::expected::build_site;
use super::servers::nginx::Nginx;
use super::temp::TempDir;

/// The running registry. Fields are dropped in order: nginx ends before its site goes.
pub(crate) struct Registry {
    nginx: Nginx,
    site: TempDir,
}

impl Registry {
    /// Builds the site and serves it.
    pub(crate) fn start() -> Self {
        let site = build_site();
        Self {
            nginx: Nginx::start(site.path()),
            site,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.nginx.port
    }

    pub(crate) fn site(&self) -> &Path {
        self.site.path()
    }

    /// `host:port/rest`.
    pub(crate) fn reference(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port())
    }

    /// What nginx wrote to its error log.
    pub(crate) fn log(&self) -> String {
        self.nginx.log()
    }
}
