//! Debian's `docker-registry` (distribution 2.8), with a storage folder of its own.

use std::fs;
use std::path::PathBuf;

use super::process::{Daemon, tool};
use super::servers::free_port;
use super::temp::TempDir;

/// A running registry. The daemon ends before its folder goes.
pub(crate) struct Distribution {
    _daemon: Daemon,
    folder: TempDir,
    pub(crate) port: u16,
}

impl Distribution {
    /// Starts one that takes every kind of manifest and waits for it.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new("distribution");
        let port = free_port();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        fs::create_dir(&storage).unwrap();
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n\
             compatibility: {{schema1: {{enabled: true}}}}\n",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let log = folder.path().join("log");
        let daemon = Daemon::start(
            &tool("docker-registry"),
            &["serve", config.to_str().unwrap()],
            &log,
        )
        .wait_until(|| {
            super::http::send(port, "GET", "/v2/", &[]).is_ok_and(|answer| answer.status == 200)
        });
        Self {
            _daemon: daemon,
            folder,
            port,
        }
    }

    /// Its storage folder.
    pub(crate) fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }
}
