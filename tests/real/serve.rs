//! The built-in server beyond what every server does: queries, many clients, the end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::archive::{Archive, Image};
use crate::support::http::{self, Response};
use crate::support::row::IMMUTABLE;
use crate::support::servers::builtin::SERVE;
use crate::support::servers::free_port;
use crate::support::site::{build, stillage, succeed, tree};
use crate::support::temp::TempDir;

mod connections;
mod queries;
mod tls;

/// A site of small images with these names.
fn site(folder: &TempDir, names: &[String]) -> PathBuf {
    let archive = folder.path().join("archive.tar");
    let images = names
        .iter()
        .enumerate()
        .map(|(number, name)| Image::new(&[name.as_str()]).layer("etc/name", &number.to_string()));
    std::fs::write(
        &archive,
        Archive::docker_20(&images.collect::<Vec<_>>()).tar(),
    )
    .unwrap();
    let site = folder.path().join("site");
    build(&[archive.to_str().unwrap()], &site);
    site
}

fn body(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_path_that_leads_out_is_a_bad_request() {
    let folder = TempDir::new("serve");
    let running = SERVE.start(&site(&folder, &["app:1".into()]));
    let answer = http::get(running.port, "/v2/..%2f..%2fetc");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, br#"{"error": "Bad request"}"#);
}

/// Docker 29 and other Go clients begin with TLS on any port, and take what begins with `HTTP/` for a
/// server that speaks it plainly.
#[test]
fn a_tls_hello_is_answered_in_http() {
    let folder = TempDir::new("serve");
    let running = SERVE.start(&site(&folder, &["app:1".into()]));
    let mut stream = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    stream.write_all(&hello).unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/");
}

/// `stillage serve` by hand, so that its end can be seen. Ended when dropped.
struct Served {
    child: Child,
    /// What it says that it serves.
    url: String,
    port: u16,
    log: BufReader<std::process::ChildStderr>,
}

impl Served {
    fn start<S: AsRef<std::ffi::OsStr>>(site: &Path, options: &[S]) -> Self {
        let mut command = stillage(["serve", "--listen", "0"]);
        command.args(options).arg(site).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let url = line.split(' ').find(|word| word.starts_with("http"));
        let url = url.unwrap_or_else(|| panic!("{line}")).to_owned();
        let port = url.rsplit(':').next().unwrap().trim_end_matches('/');
        Self {
            child,
            port: port.parse().unwrap(),
            url,
            log,
        }
    }

    /// Waits for its end, which must be a success; what it has logged.
    fn end(mut self) -> String {
        terminate(&self.child);
        let mut text = String::new();
        self.log.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        text
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same without a word, on a port that was free a moment ago. Somebody else may take it first: then another.
fn quietly(site: &Path) -> (Child, u16) {
    let start = Instant::now();
    'ports: loop {
        let port = free_port();
        let mut command = stillage(["serve", "-q", "--listen", &port.to_string()]);
        let mut child = command.arg(site).stderr(Stdio::piped()).spawn().unwrap();
        loop {
            assert!(start.elapsed() < Duration::from_mins(1));
            let answers = http::send(port, "GET", "/v2/", &[]).is_ok();
            if child.try_wait().unwrap().is_some() {
                continue 'ports;
            }
            if answers {
                return (child, port);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn terminate(child: &Child) {
    let kill = format!("kill -TERM {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_transfer_goes_on_when_the_server_is_told_to_end() {
    let folder = TempDir::new("serve");
    let archive = folder.path().join("archive.tar");
    let noise: String = (0..4_000_000_u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(n) % 23) as u8))
        .collect();
    let image = Image::new(&["app:1"]).layer("big", &noise);
    std::fs::write(&archive, Archive::docker_20(&[image]).tar()).unwrap();
    let site = folder.path().join("site");
    build(&[archive.to_str().unwrap()], &site);
    let blob = std::fs::read_dir(site.join("v2/app/blobs")).unwrap();
    let blob = blob
        .map(|entry| entry.unwrap())
        .max_by_key(|entry| entry.metadata().unwrap().len());
    let name = blob.unwrap().file_name().into_string().unwrap();
    let content = std::fs::read(site.join("v2/app/blobs").join(&name)).unwrap();

    let served = Served::start::<&str>(&site, &[]);
    let port = served.port;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = http::request("GET", &format!("/v2/app/blobs/{name}"), &[]);
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).unwrap();
    terminate(&served.child);
    // The port is free as soon as the signal has come.
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(start.elapsed() < Duration::from_mins(1), "it still accepts");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut raw = first.to_vec();
    stream.read_to_end(&mut raw).unwrap();
    assert!(
        Response::parse(&raw).body == content,
        "{} bytes came",
        raw.len()
    );
    let text = served.end();
    let line = format!(
        "127.0.0.1 \"GET /v2/app/blobs/{name}\" 200 {} \"-\"\n",
        content.len()
    );
    assert_eq!(after_time(&text), line);
}

/// A line of the log without its time, which is a recent one.
fn after_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(time.len(), "2026-11-29T12:03:03Z".len(), "{line}");
    let time = humantime::parse_rfc3339(time).unwrap();
    let age = time.elapsed().unwrap();
    assert!(age < Duration::from_hours(1), "{line}");
    rest
}

#[test]
fn each_line_of_the_log_begins_with_the_time() {
    let folder = TempDir::new("serve");
    let site = site(&folder, &["app:1".into()]);
    // A tag list that leads back to itself cannot be read.
    let list = site.join("v2/app/tags/list");
    std::fs::remove_file(&list).unwrap();
    std::os::unix::fs::symlink("list", &list).unwrap();
    let served = Served::start::<&str>(&site, &[]);
    let port = served.port;
    let agent = [("User-Agent", "agent/1")];
    assert_eq!(http::send(port, "GET", "/v2/", &agent).unwrap().status, 200);
    assert_eq!(http::get(port, "/v2/app/tags/list").status, 404);
    let text = served.end();
    let lines: Vec<&str> = text.lines().map(after_time).collect();
    let path = list.display();
    assert_eq!(
        lines,
        [
            "127.0.0.1 \"GET /v2/\" 200 2 \"agent/1\"".to_owned(),
            format!("error: `{path}` is a link that leads back to itself"),
            "127.0.0.1 \"GET /v2/app/tags/list\" 404 100 \"-\"".to_owned(),
        ]
    );
}

#[test]
fn a_quiet_server_says_only_where_it_fails() {
    let folder = TempDir::new("serve");
    let site = site(&folder, &["app:1".into()]);
    let (mut child, port) = quietly(&site);
    // The port is taken now.
    let second = stillage(["serve", "--listen", &port.to_string()])
        .arg(&site)
        .output()
        .unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(
        text.contains("cannot listen on") && text.contains("hint: "),
        "{text}"
    );
    terminate(&child);
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

/// Kilobytes of memory that a process holds.
fn memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Kilobytes that the kernel holds for all TCP connections: where it has no more, it resets those of others.
fn memory_of_sockets() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    pages * 4
}

/// Clients that read nothing hold a connection and a buffer each, and nobody else back.
#[test]
fn thousands_of_slow_clients_cost_a_bounded_buffer_each() {
    const CLIENTS: usize = 2000;
    let folder = TempDir::new("serve");
    let site = site(&folder, &["app:1".into()]);
    let path = format!("blobs/sha256/{}", "0".repeat(64));
    let big = std::fs::File::create(site.join(&path)).unwrap();
    big.set_len(1 << 30).unwrap();
    let (mut child, port) = quietly(&site);
    let (before, sockets_before) = (memory(&child), memory_of_sockets());
    let request = http::request("GET", &format!("/{path}"), &[]);
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    for mut client in &clients {
        client.read_exact(&mut [0; 100]).unwrap();
    }
    assert_eq!(http::get(port, "/v2/").status, 200);
    let each = (memory(&child) - before) / CLIENTS as u64;
    let sockets = memory_of_sockets().saturating_sub(sockets_before) / CLIENTS as u64;
    drop(clients);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(each < 256, "{each} KiB for each client");
    assert!(sockets < 768, "{sockets} KiB in the kernel for each client");
}

#[test]
fn a_build_can_serve_what_it_has_built() {
    let folder = TempDir::new("serve");
    let site = folder.path().join("site");
    let mut command = stillage([
        "build",
        "--serve",
        "--listen",
        "0",
        "fixtures/docker-20.10.tar",
        "-o",
    ]);
    let mut child = command.arg(&site).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let line = log.find(|line| line.starts_with("serving ")).unwrap();
    let port = line
        .split("127.0.0.1:")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let page = http::get(port.parse().unwrap(), "/");
    assert!(String::from_utf8_lossy(&page.body).contains("sample/hello"));
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

/// The list of headers and the built-in server say the same of every file of a site.
#[test]
fn headers_as_data_are_the_headers_that_are_sent() {
    let site = crate::support::expected::build_site();
    let listed = succeed(stillage(["config", "headers"]).arg(site.path()));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let running = SERVE.start(site.path());
    let mut files = std::collections::BTreeSet::new();
    for line in listed.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str();
        let answer = http::get(running.port, text("path").unwrap());
        assert_eq!(answer.status, 200, "{line}");
        assert_eq!(answer.header("Content-Type"), text("type"), "{line}");
        assert_eq!(line["size"], answer.body.len(), "{line}");
        let immutable = text("cache") == Some("immutable");
        assert_eq!(
            answer.header("Cache-Control") == Some(IMMUTABLE),
            immutable,
            "{line}"
        );
        if let Some(digest) = answer.header("Docker-Content-Digest") {
            assert_eq!(text("digest"), Some(digest), "{line}");
        }
        let file = text("file").unwrap().to_owned();
        assert_eq!(
            std::fs::read(site.path().join(&file)).unwrap(),
            answer.body,
            "{line}"
        );
        assert!(files.insert(file), "{line} came twice");
    }
    let second = |path: &str| {
        ["/_types/", "/tags/index.html", ".htaccess", "_answers/"]
            .iter()
            .any(|part| path.contains(part))
    };
    let all = tree(site.path()).into_iter();
    let all = all.filter(|(path, (_, digest))| digest != "folder" && !second(path));
    let missing: Vec<String> = all
        .map(|(path, _)| path)
        .filter(|path| !files.contains(path))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}
