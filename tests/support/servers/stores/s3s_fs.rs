//! s3s-fs, files behind the S3 API: <https://github.com/Nugine/s3s>. It checks signatures and checksums and has real
//! folders; of two writes under the same condition both may pass.

use std::fs;
use std::path::Path;

use super::{Kind, NO_SINGLE_TAGS, NO_V2, Started};
use crate::support::clients::installed;
use crate::support::http;
use crate::support::process::Daemon;
use crate::support::servers::free_port;

pub(super) static S3S_FS: Kind = Kind {
    name: "s3s-fs",
    start: |dir| {
        let data = dir.join("data");
        fs::create_dir_all(data.join("site")).unwrap();
        let keys = ["--access-key", "key", "--secret-key", "secret"];
        let (publishers, port) = server(&data, &keys, &dir.join("log"));
        // One without keys takes no signature and lets everybody do all.
        let (others, readers) = server(&data, &[], &dir.join("readers"));
        Started {
            daemons: vec![publishers, others],
            port,
            readers,
        }
    },
    is_long: true,
    limits: &[NO_SINGLE_TAGS, NO_V2],
    is_atomic: false,
};

fn server(data: &Path, keys: &[&str], log: &Path) -> (Daemon, u16) {
    let port = free_port();
    let port_text = port.to_string();
    let mut args = vec!["--host", "127.0.0.1", "--port", &port_text];
    args.extend(keys);
    args.push(data.to_str().unwrap());
    let daemon = Daemon::start(&installed(".stores/bin/s3s-fs"), &args, log);
    let is_ready = || http::send(port, "GET", "/", &[]).is_ok();
    (daemon.wait_until(is_ready), port)
}
