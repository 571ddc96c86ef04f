//! An HTTP/1.1 client that shows what a server really sent: one request a connection, no redirect
//! followed, no path normalised, no body decoded.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case, in order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Splits the raw bytes of an answer to a request with `Connection: close`.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let end = raw
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no HTTP answer: {:?}", String::from_utf8_lossy(raw)));
        let head = std::str::from_utf8(&raw[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: raw[end + 4..].to_vec(),
        }
    }

    /// The value of a header. Panics when it came twice: clients differ in which one they take.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(have, _)| have.eq_ignore_ascii_case(name));
        let first = values.next();
        assert!(values.next().is_none(), "{name} came twice: {self:?}");
        first.map(|(_, value)| value.as_str())
    }
}

/// The body of an answer in chunks, put together (RFC 9112, 7.1).
pub(crate) fn whole(answer: &Response) -> Vec<u8> {
    if answer.header("transfer-encoding") != Some("chunked") {
        return answer.body.clone();
    }
    let (mut rest, mut whole) = (&answer.body[..], Vec::new());
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}

/// The bytes of a request, `path` as it is given.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    let has_host = headers.iter().any(|(name, _)| *name == "Host");
    let host = if has_host {
        ""
    } else {
        "Host: registry.test\r\n"
    };
    format!("{method} {path} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n")
}

/// Sends a request to `127.0.0.1:port` and reads the whole answer.
pub(crate) fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<Response> {
    send_to(
        TcpStream::connect(("127.0.0.1", port))?,
        method,
        path,
        headers,
    )
}

/// `GET path` from a host.
pub(crate) fn get_from(host: &str, port: u16, path: &str) -> Response {
    let sent =
        TcpStream::connect((host, port)).and_then(|stream| send_to(stream, "GET", path, &[]));
    sent.unwrap_or_else(|error| panic!("GET {path} from {host}: {error}"))
}

fn send_to(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<Response> {
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.write_all(request(method, path, headers).as_bytes())?;
    let mut raw = Vec::new();
    let mut buffer = [0; 8192];
    while !raw.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => raw.extend(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // Where a row announces a body that never comes, the server would wait for it before it closes. Else
    // this would look like a client that is gone: nginx ends a long answer.
    if headers.iter().any(|(name, _)| *name == "Content-Length") {
        stream.shutdown(Shutdown::Write)?;
    }
    stream.read_to_end(&mut raw)?;
    Ok(Response::parse(&raw))
}

/// Sends a request with a body and reads the whole answer.
pub(crate) fn send_body(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", &length)]].concat();
    stream.write_all(request(method, path, &headers).as_bytes())?;
    stream.write_all(body)?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    Ok(Response::parse(&raw))
}

/// `GET path` without further headers.
pub(crate) fn get(port: u16, path: &str) -> Response {
    send(port, "GET", path, &[]).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}
