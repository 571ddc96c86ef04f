//! rclone's `serve s3`: <https://rclone.org/commands/rclone_serve_s3/>. It ignores conditions and has real folders.

use std::fs;

use super::{Kind, NO_CONDITIONS, NO_SINGLE_TAGS, NO_V2, Started};
use crate::support::clients::installed;
use crate::support::http;
use crate::support::process::Daemon;
use crate::support::servers::free_port;

pub(super) static RCLONE: Kind = Kind {
    name: "rclone serve s3",
    start: |dir| {
        let (port, data) = (free_port(), dir.join("data"));
        fs::create_dir_all(data.join("site")).unwrap();
        let address = format!("127.0.0.1:{port}");
        // Without `--auth-key` everybody reads, and no signature is looked at. Another process would not do for
        // readers: media types are in the memory of the one that was told them.
        let (config, data) = (dir.join("config"), data.to_str().unwrap());
        let config = config.to_str().unwrap();
        let args = ["--config", config, "serve", "s3", "--addr", &address, data];
        let program = installed(".venv/bin/rclone");
        let daemon = Daemon::start(&program, &args, &dir.join("log"));
        let daemon = daemon.wait_until(|| http::send(port, "GET", "/", &[]).is_ok());
        Started::alone(daemon, port)
    },
    is_long: false,
    limits: &[NO_CONDITIONS, NO_SINGLE_TAGS, NO_V2],
    is_atomic: false,
};
