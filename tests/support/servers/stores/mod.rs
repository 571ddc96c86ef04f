//! The stores that `publish` is tested with, a file and a line of the table for each.

mod moto;
mod rclone;
mod s3s_fs;
mod seaweedfs;

use std::path::Path;
use std::process::Command;

use super::bucket::Store;
use crate::support::clients::installed;
use crate::support::process::Daemon;
use crate::support::site::succeed;
use crate::support::temp::TempDir;

pub(crate) use moto::MOTO;

/// A store as the tests know it.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Starts it with an empty bucket called `site`, which the key `key` with the secret `secret` may write and
    /// everybody may read, and a folder of its own.
    start: fn(dir: &Path) -> Started,
    /// Whether it takes so long to install that only the long tests have it.
    pub(crate) is_long: bool,
    /// The words of all notes of `publish` about what it cannot do.
    pub(crate) limits: &'static [&'static str],
    /// Whether of two writes under the same condition one always fails.
    pub(crate) is_atomic: bool,
}

/// Every store.
pub(crate) static STORES: [&Kind; 4] = [
    &MOTO,
    &seaweedfs::SEAWEEDFS,
    &rclone::RCLONE,
    &s3s_fs::S3S_FS,
];

struct Started {
    daemons: Vec<Daemon>,
    /// Where those with credentials write.
    port: u16,
    /// Where everybody reads.
    readers: u16,
}

impl Started {
    /// One server for all.
    fn alone(daemon: Daemon, port: u16) -> Self {
        Self {
            daemons: vec![daemon],
            port,
            readers: port,
        }
    }
}

/// Runs a program that gets the address of a store.
fn python(program: &str, port: u16) {
    let mut python = Command::new(installed(".venv/bin/python"));
    succeed(python.args(["-c", program, &format!("http://127.0.0.1:{port}")]));
}

impl Kind {
    pub(crate) fn start(&self) -> Store {
        let dir = TempDir::new("store");
        let started = (self.start)(dir.path());
        Store {
            daemons: started.daemons,
            port: started.port,
            readers: started.readers,
            dir,
        }
    }

    pub(crate) fn has_conditions(&self) -> bool {
        !self.limits.contains(&NO_CONDITIONS)
    }

    /// Whether it has `v1/repositories/<name>/tags/<tag>` beside the list `tags`.
    pub(crate) fn has_single_tags(&self) -> bool {
        !self.limits.contains(&NO_SINGLE_TAGS)
    }

    /// Whether it has an answer to `/v2/`.
    pub(crate) fn answers_v2(&self) -> bool {
        !self.limits.contains(&NO_V2)
    }
}

const NO_CONDITIONS: &str = "no conditional writes";
const NO_SINGLE_TAGS: &str = "no object beside a folder";
const EMPTY_V2: &str = "no bytes at `v2/`";
const NO_V2: &str = "no object at `v2/`";
