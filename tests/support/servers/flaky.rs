//! Proxies between a publisher and a store: one on which the way and the store fail by chance, and one that looks.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::chance::Chance;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection ends before the store has seen it.
    Cut,
    /// The store has done it, but its answer is lost.
    LostAnswer,
    /// The answer breaks off.
    HalfAnswer,
    /// An answer of a store with too much to do.
    Status(&'static str, &'static str),
    Delay,
}

const FAULTS: [Fault; 7] = [
    Fault::Cut,
    Fault::LostAnswer,
    Fault::HalfAnswer,
    Fault::Status("500 Internal Server Error", "InternalError"),
    Fault::Status("503 Service Unavailable", "ServiceUnavailable"),
    Fault::Status("503 Slow Down", "SlowDown"),
    Fault::Delay,
];

/// The first lines of requests.
pub(crate) type Lines = Arc<Mutex<Vec<String>>>;

/// Starts a proxy in front of a port, which ends with the process. One of `every` requests meets a fault.
pub(crate) fn start(store: u16, seed: u64, every: usize) -> u16 {
    proxy(store, seed, every, Lines::default())
}

/// Starts a proxy without faults, and gives what it passes on.
pub(crate) fn watch(store: u16) -> (u16, Lines) {
    let lines = Lines::default();
    (proxy(store, 1, usize::MAX, lines.clone()), lines)
}

fn proxy(store: u16, seed: u64, every: usize, lines: Lines) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chance = Arc::new(Mutex::new(Chance(seed)));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (chance, lines) = (chance.clone(), lines.clone());
            thread::spawn(move || {
                let fault = {
                    let mut chance = chance.lock().unwrap();
                    (chance.below(every) == 0).then(|| *chance.of(&FAULTS))
                };
                // An error is one of the connection, as is what this is for.
                let _ = pass(client, store, fault, &lines);
            });
        }
    });
    port
}

/// Starts a proxy that takes one request at a time. When the store has answered, `look` gets the number of the
/// request, from 0, and its first line; then the answer goes on. Returns the port, and what counts the requests.
pub(crate) fn watched(
    store: u16,
    mut look: impl FnMut(usize, &str) + Send + 'static,
) -> (u16, impl Fn() -> usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let Ok(request) = read_request(&mut client) else {
                continue;
            };
            let answer = ask(store, &request).unwrap_or_default();
            look(count.fetch_add(1, Ordering::SeqCst), &first_line(&request));
            // Who was killed takes no answer.
            let _ = client.write_all(&answer);
        }
    });
    (port, move || counted.load(Ordering::SeqCst))
}

fn first_line(request: &[u8]) -> String {
    let end = request.iter().position(|byte| *byte == b'\r');
    String::from_utf8_lossy(&request[..end.unwrap_or(0)]).into_owned()
}

/// Asks the store, and gives its whole answer.
fn ask(store: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(("127.0.0.1", store))?;
    server.write_all(request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

fn pass(
    mut client: TcpStream,
    store: u16,
    fault: Option<Fault>,
    lines: &Lines,
) -> std::io::Result<()> {
    let request = read_request(&mut client)?;
    lines.lock().unwrap().push(first_line(&request));
    match fault {
        Some(Fault::Cut) => return client.shutdown(Shutdown::Both),
        Some(Fault::Delay) => thread::sleep(Duration::from_millis(200)),
        Some(Fault::Status(status, code)) => {
            let body = format!("<Error><Code>{code}</Code><Message>by chance</Message></Error>");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            return client.write_all(answer.as_bytes());
        }
        _ => {}
    }
    let answer = ask(store, &request)?;
    match fault {
        Some(Fault::LostAnswer) => client.shutdown(Shutdown::Both),
        Some(Fault::HalfAnswer) => client.write_all(&answer[..answer.len() / 2]),
        _ => client.write_all(&answer),
    }
}

/// A request with its body, which asks the store to close the connection.
fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (mut raw, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        if let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&raw[..end]).into_owned();
            let mut lines = head.lines();
            let length = lines.find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse().ok())?
            });
            while raw.len() < end + 4 + length.unwrap_or(0) {
                match client.read(&mut buffer)? {
                    0 => break,
                    count => raw.extend(&buffer[..count]),
                }
            }
            let line = raw.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
            raw.splice(line..line, *b"Connection: close\r\n");
            return Ok(raw);
        }
        match client.read(&mut buffer)? {
            0 => return Ok(raw),
            count => raw.extend(&buffer[..count]),
        }
    }
}
