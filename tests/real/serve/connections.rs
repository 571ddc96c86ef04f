//! The limit of open connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Served, site};
use crate::support::http::{self, Response};
use crate::support::temp::TempDir;

/// The limit of open connections.
const MOST: usize = 4096;

/// Connections that send nothing, or not all of a request, keep nobody out for long, and end no transfer.
#[test]
fn half_open_connections_make_room() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let folder = TempDir::new("serve");
    let site = site(&folder, &["app:1".into()]);
    // More than the buffers of a connection hold.
    let length = 64 << 20;
    let path = format!("blobs/sha256/{}", "0".repeat(64));
    let big = std::fs::File::create(site.join(&path)).unwrap();
    big.set_len(length).unwrap();
    let served = Served::start::<&str>(&site, &[]);
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_mins(5)))
            .unwrap();
        stream
    };
    let mut transfer = connect();
    let request = http::request("GET", &format!("/{path}"), &[]);
    transfer.write_all(request.as_bytes()).unwrap();
    let mut raw = vec![0; 1000];
    transfer.read_exact(&mut raw).unwrap();
    // One that was answered, and may ask again.
    let mut idle = connect();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    idle.read_exact(&mut [0; 20]).unwrap();
    let mut waiting: Vec<TcpStream> = (0..MOST + 500)
        .map(|number| {
            let mut stream = connect();
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /v2/ HTTP/1.1\r\n");
            }
            stream
        })
        .collect();

    assert_eq!(http::get(served.port, "/v2/").status, 200);
    // The first are closed, the last are not.
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest);
    let _ = waiting[0].read_to_end(&mut rest);
    let last = waiting.last_mut().unwrap();
    let _ = last.write_all(http::request("GET", "/v2/", &[]).as_bytes());
    let mut answer = Vec::new();
    last.read_to_end(&mut answer).unwrap();
    assert_eq!(Response::parse(&answer).status, 200);
    transfer.read_to_end(&mut raw).unwrap();
    assert_eq!(Response::parse(&raw).body.len() as u64, length);
}
