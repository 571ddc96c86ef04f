//! nginx with `nginx.conf.example`.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Server, Skills, Start, config, free_port};
use crate::support::http;
use crate::support::site::{stillage, succeed};
use crate::support::temp::TempDir;

/// `nobody`.
const PLAIN_USER: u32 = 65534;

/// The text of `nginx.conf.example`.
pub(crate) fn example() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/nginx.conf.example")).unwrap()
}

/// The example for this site and port, as a user's `sed` would make it.
pub(crate) fn configured(site: &Path, port: u16) -> String {
    example()
        .replace("/srv/registry", site.to_str().unwrap())
        .replace("listen 5000", &format!("listen 127.0.0.1:{port}"))
        .replace("listen [::]:5000;", "")
}

/// Whether the tests run as root, so that nginx's workers change their user.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Writes what `stillage config nginx` makes of a site, on loopback, to a file.
pub(crate) fn config_of(site: &Path, port: u16, file: &Path, more: &[&str]) {
    let listen = format!("127.0.0.1:{port}");
    let mut config = stillage(["config", "nginx", "--listen", &listen, "-o"]);
    succeed(config.arg(file).args(more).arg(site));
}

/// What `nginx -t` says to a configuration.
pub(crate) fn check(config: &str) -> Output {
    let dir = TempDir::new("nginx-check");
    fs::write(dir.path().join("nginx.conf"), config).unwrap();
    let mut command = command(dir.path());
    command.arg("-t").output().unwrap()
}

/// A running nginx, stopped when dropped.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    child: Child,
    dir: TempDir,
}

impl Nginx {
    /// Serves a site with the example configuration.
    pub(crate) fn start(site: &Path) -> Self {
        Self::start_with(|port| configured(site, port))
    }

    /// Serves with the configuration that `config` makes for a port.
    pub(crate) fn start_with(config: impl Fn(u16) -> String) -> Self {
        Self::try_ports(config, |_| ())
    }

    /// Serves a site as a user without rights, where the tests run as root; else as who runs them.
    pub(crate) fn start_as_plain_user(site: &Path) -> Self {
        let drop_rights = |command: &mut Command| {
            if is_root() {
                command.uid(PLAIN_USER).gid(PLAIN_USER);
            }
        };
        Self::try_ports(|port| configured(site, port), drop_rights)
    }

    /// Another program may take the free port before nginx does, hence more than one try.
    fn try_ports(config: impl Fn(u16) -> String, prepare: impl Fn(&mut Command)) -> Self {
        let mut why = String::new();
        for _ in 0..3 {
            let port = free_port();
            match Self::launch(port, &config(port), &prepare) {
                Ok(nginx) => return nginx,
                Err(log) => why = log,
            }
        }
        panic!("nginx does not start:\n{why}");
    }

    /// Starts one nginx and waits till it answers; its log when it ends before.
    fn launch(port: u16, config: &str, prepare: impl Fn(&mut Command)) -> Result<Self, String> {
        let dir = TempDir::new("nginx");
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        open_to_plain_user(dir.path());
        let mut command = command(dir.path());
        command.args(["-g", "daemon off;"]).stdin(Stdio::null());
        command.stdout(Stdio::null());
        command.stderr(File::create(dir.path().join("stderr")).unwrap());
        prepare(&mut command);
        let child = command.spawn().unwrap();
        let mut nginx = Self { port, child, dir };
        let start = Instant::now();
        while start.elapsed() < Duration::from_mins(1) {
            if nginx.child.try_wait().unwrap().is_some() {
                return Err(nginx.log());
            }
            if http::send(port, "GET", "/", &[]).is_ok() {
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(nginx.log())
    }

    /// What nginx wrote to its error log.
    pub(crate) fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("err") + &read("stderr")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A master that is killed outright leaves its workers behind.
        let term = format!("kill -TERM {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &term]).status();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx in a folder of its own. Debian keeps it where a plain user's PATH does not look.
fn command(dir: &Path) -> Command {
    let name = ["nginx", "/usr/sbin/nginx"]
        .into_iter()
        .find(|name| Command::new(name).arg("-v").output().is_ok())
        .expect("nginx is missing: run tests/run.sh");
    let mut command = Command::new(name);
    command.arg("-p").arg(dir);
    command.arg("-c").arg(dir.join("nginx.conf"));
    command.arg("-e").arg(dir.join("err"));
    command
}

/// nginx as `stillage config nginx` sets it up.
pub(crate) static NGINX: Server = Server {
    name: "nginx",
    bucket: None,
    command: serve,
    skills: Skills {
        whole_head: false,
        ..Skills::NONE
    },
    otherwise: &[],
};

/// nginx as `stillage config nginx --exact` sets it up.
pub(crate) static EXACT: Server = Server {
    name: "nginx --exact",
    bucket: None,
    command: |start| {
        let more = [start.more, &["--exact"]].concat();
        serve(&Start {
            more: &more,
            ..*start
        })
    },
    skills: Skills {
        by_catalogue: true,
        sizes: true,
        whole_head: false,
        ..Skills::NONE
    },
    otherwise: &[],
};

fn serve(start: &Start<'_>) -> Vec<String> {
    let file = config("nginx", start);
    let dir = start.dir.to_str().unwrap();
    let err = format!("{dir}/err");
    [
        "nginx",
        "-p",
        dir,
        "-c",
        &file,
        "-e",
        &err,
        "-g",
        "daemon off;",
    ]
    .map(str::to_owned)
    .into()
}

/// Lets the workers of a server that root starts write into a folder.
pub(super) fn open_to_plain_user(dir: &Path) {
    if is_root() {
        chown(dir, Some(PLAIN_USER), Some(PLAIN_USER)).unwrap();
    }
}
