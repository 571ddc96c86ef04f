//! `SeaweedFS`: <https://github.com/seaweedfs/seaweedfs/wiki/Amazon-S3-API>. It checks signatures and checksums; its
//! keys are files and folders, which it hides well.

use std::fs;
use std::path::Path;

use super::{EMPTY_V2, Kind, Started, python};
use crate::support::clients::installed;
use crate::support::http;
use crate::support::process::Daemon;
use crate::support::servers::free_port;

/// Who may do what: <https://github.com/seaweedfs/seaweedfs/wiki/S3-Credentials>.
const IDENTITIES: &str = r#"{"identities": [
    {"name": "anonymous", "actions": ["Read:site", "List:site"]},
    {"name": "publisher", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin"]}
]}"#;

const MAKE_BUCKET: &str = r#"
import boto3, sys
boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret").create_bucket(Bucket="site")
"#;

/// Each has a port, and another for gRPC.
const PARTS: [&str; 4] = ["master", "volume", "filer", "s3"];

pub(super) static SEAWEEDFS: Kind = Kind {
    name: "SeaweedFS",
    start: |dir| {
        let (daemon, port) = server(dir);
        // Before it is ready it does not answer, or answers 500.
        let is_ready = || {
            let answer = http::send(port, "GET", "/site/", &[]);
            answer.is_ok_and(|answer| answer.status == 404)
        };
        let daemon = daemon.wait_until(is_ready);
        python(MAKE_BUCKET, port);
        Started::alone(daemon, port)
    },
    is_long: false,
    limits: &[EMPTY_V2],
    is_atomic: true,
};

/// All its parts in one process, and the port of S3.
fn server(dir: &Path) -> (Daemon, u16) {
    let [data, identities] = ["data", "s3.json"].map(|name| dir.join(name));
    fs::create_dir(&data).unwrap();
    fs::write(&identities, IDENTITIES).unwrap();
    let mut args = vec![
        "server".to_owned(),
        format!("-dir={}", data.display()),
        format!("-s3.config={}", identities.display()),
    ];
    let more = "-filer -s3 -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -s3.port.iceberg=0 \
                -s3.port.lance=0 -volume.max=200 -master.volumeSizeLimitMB=64";
    args.extend(more.split_whitespace().map(str::to_owned));
    let ports = PARTS.map(|part| {
        let port = free_port();
        args.push(format!("-{part}.port={port}"));
        args.push(format!("-{part}.port.grpc={}", free_port()));
        port
    });
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let program = installed(".venv/bin/weed");
    // On SIGTERM it goes on for a long time.
    let daemon = Daemon::start_until("KILL", &program, &args, &dir.join("log"));
    (daemon, ports[3])
}
