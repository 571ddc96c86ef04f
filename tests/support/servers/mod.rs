//! Web servers, each with the configuration that `stillage config` writes for it.

pub(crate) mod apache;
pub(crate) mod bucket;
pub(crate) mod builtin;
mod caddy;
pub(crate) mod cloudflare;
pub(crate) mod cloudfront;
pub(crate) mod flaky;
mod lighttpd;
pub(crate) mod nginx;
pub(crate) mod stores;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::http;
use super::process::{Daemon, tool};
use super::site::{stillage, succeed};
use super::temp::TempDir;
use bucket::Store;

/// What not every server can.
#[derive(Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing a server can"
)]
pub(crate) struct Skills {
    /// Serves what the catalogue names, not whatever files there are.
    pub(crate) by_catalogue: bool,
    /// Says the length of layers in `X-Docker-Size`, and the checksum of an image that has one.
    pub(crate) sizes: bool,
    /// Searches by `q`, `n` and `page`.
    pub(crate) search: bool,
    /// Answers `n` and `last` of the list of repositories.
    pub(crate) queries: bool,
    /// Answers `n` and `last` of lists of tags.
    pub(crate) pages: bool,
    /// Serves a copy of the site, made when it starts.
    pub(crate) is_copy: bool,
    /// Says what is missing, rather than the same of all that is.
    pub(crate) own_errors: bool,
    /// Says in JSON that a range is beyond the end.
    pub(crate) json_416: bool,
    /// Sends all of a file to a HEAD that asks for a part.
    pub(crate) whole_head: bool,
    /// Has an empty list of referrers for what it does not know.
    pub(crate) empty_referrers: bool,
}

impl Skills {
    pub(crate) const NONE: Self = Self {
        by_catalogue: false,
        sizes: false,
        search: false,
        queries: false,
        pages: false,
        is_copy: false,
        own_errors: true,
        json_416: true,
        whole_head: true,
        empty_referrers: true,
    };
}

/// A server as the tests know it.
pub(crate) struct Server {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// A bucket with the site, if it serves one.
    bucket: Option<fn(site: &Path) -> Store>,
    /// The command that serves a site on a port, with a folder of its own for what it writes.
    command: fn(&Start<'_>) -> Vec<String>,
    pub(crate) skills: Skills,
    /// What it answers otherwise and why: each is the beginning of a complaint of the table, and must
    /// come up.
    pub(crate) otherwise: &'static [(&'static str, &'static str)],
}

/// What a server is started with.
pub(crate) struct Start<'a> {
    site: &'a Path,
    port: u16,
    /// A folder of its own for what it writes.
    dir: &'a Path,
    bucket: Option<&'a Store>,
    /// The host and a colon, or nothing for all addresses.
    host: &'a str,
    /// More options for `stillage config`.
    more: &'a [&'a str],
}

/// Every server that a site is tested with.
pub(crate) static SERVERS: [&Server; 9] = [
    &nginx::NGINX,
    &nginx::EXACT,
    &caddy::CADDY,
    &apache::APACHE,
    &apache::SHARED_HOST,
    &lighttpd::LIGHTTPD,
    &builtin::SERVE,
    &cloudflare::CLOUDFLARE,
    &cloudfront::CLOUDFRONT,
];

/// What an edge before a bucket answers otherwise.
const EDGE: &[(&str, &str)] = &[
    (
        "GET /index.json []",
        "the choice of a web server is not published",
    ),
    (
        "HEAD /index.json []",
        "the choice of a web server is not published",
    ),
    ("GET /../etc/passwd", "404, not 400"),
    ("HEAD /../etc/passwd", "404, not 400"),
    ("GET /v2/no/such/blobs/", "every repository has every blob"),
    ("HEAD /v2/no/such/blobs/", "every repository has every blob"),
];

/// A running server, stopped when dropped.
pub(crate) struct Running {
    // Fields are dropped in order: the server ends before its bucket and its folder go.
    daemon: Daemon,
    pub(crate) port: u16,
    /// What it serves, if that is a bucket.
    pub(crate) bucket: Option<Store>,
    dir: TempDir,
}

impl Server {
    /// Serves a site on loopback.
    pub(crate) fn start(&self, site: &Path) -> Running {
        self.start_with(site, "127.0.0.1:", &[])
    }

    /// Serves a site on the addresses of a host (with a colon; all if it is empty), with more options of `config`.
    pub(crate) fn start_with(&self, site: &Path, host: &str, more: &[&str]) -> Running {
        // Another program may take the free port before the server does, hence more than one try.
        let mut why = String::new();
        for _ in 0..3 {
            match self.launch(site, free_port(), host, more) {
                Ok(running) => return running,
                Err(log) => why = log,
            }
        }
        panic!("{} does not start:\n{why}", self.name)
    }

    fn launch(&self, site: &Path, port: u16, host: &str, more: &[&str]) -> Result<Running, String> {
        let dir = TempDir::new(&self.name.replace(' ', ""));
        nginx::open_to_plain_user(dir.path());
        let bucket = self.bucket.map(|start| start(site));
        let command = (self.command)(&Start {
            site,
            port,
            dir: dir.path(),
            bucket: bucket.as_ref(),
            host,
            more,
        });
        let args: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        let daemon = Daemon::start(&program(&command[0]), &args, &dir.path().join("log"));
        let running = Running {
            daemon,
            port,
            bucket,
            dir,
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_mins(1) {
            if http::send(port, "GET", "/v2/", &[]).is_ok() {
                return Ok(running);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(running.log())
    }
}

impl Running {
    /// Has it read its configuration anew.
    pub(crate) fn reload(&self) {
        self.daemon.signal("HUP");
    }

    /// The folder that is its own.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it wrote to its logs.
    pub(crate) fn log(&self) -> String {
        ["log", "err", "stderr", "error.log"]
            .map(|name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default())
            .concat()
    }
}

/// Writes the configuration for a server into its folder.
fn config(server: &str, start: &Start<'_>) -> String {
    let file = start.dir.join("config").to_str().unwrap().to_owned();
    let listen = format!("{}{}", start.host, start.port);
    let mut command = stillage(["config", server, "--listen", &listen, "-o", &file]);
    succeed(command.arg(start.site).args(start.more));
    file
}

/// An installed program by its name, another by its path.
fn program(name: &str) -> PathBuf {
    if name.starts_with('/') {
        name.into()
    } else {
        tool(name)
    }
}

/// A port that was free a moment ago, and that no other test is given: below those of outgoing
/// connections, so that none takes it meanwhile.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 8000).unwrap();
    loop {
        let next = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + next;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
