//! A server that answers as it must, but for one fault.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stillage::routes::{self, Cache, Route, V1File};

use super::files::digest;

/// A request: names of headers in lower case.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let headers = lines.take_while(|line| !line.is_empty());
        let headers = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Self {
            method,
            path: path.to_owned(),
            query,
            headers: headers.collect(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.path.contains(part)
    }
}

/// An answer. Status 0 closes the connection.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Sets a header, or drops it.
    pub(crate) fn set<'a>(&mut self, name: &str, value: impl Into<Option<&'a str>>) {
        self.headers.retain(|(have, _)| have != name);
        if let Some(value) = value.into() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// Replaces the whole of it.
    pub(crate) fn become_error(&mut self, status: u16, media_type: &str, body: &str) {
        self.status = status;
        self.headers.clear();
        self.set("Content-Type", media_type);
        self.put(body.as_bytes().to_vec());
    }

    /// Replaces the body and its length.
    pub(crate) fn put(&mut self, body: Vec<u8>) {
        self.set("Content-Length", body.len().to_string().as_str());
        self.body = body;
    }

    pub(crate) fn redirect(&mut self, status: u16, to: &str) {
        self.become_error(status, "text/html", "");
        self.set("Location", to);
    }
}

/// What a fault does: to a request before it is answered, and to the answer.
pub(crate) type Fault = fn(&mut Request, Option<&mut Reply>);

/// No fault.
pub(crate) fn sound(_: &mut Request, _: Option<&mut Reply>) {}

/// A running server, stopped when dropped.
pub(crate) struct BadServer {
    pub(crate) port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl BadServer {
    /// Serves a site with a fault.
    pub(crate) fn start(site: &Path, fault: Fault) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let (site, stopped) = (site.to_owned(), stop.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let site = site.clone();
                thread::spawn(move || serve(&site, stream, fault));
            }
        });
        Self {
            port,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for BadServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn serve(site: &Path, mut stream: TcpStream, fault: Fault) {
    let Some(mut request) = Request::read(&stream) else {
        return;
    };
    fault(&mut request, None);
    let mut reply = answer(site, &request);
    fault(&mut request, Some(&mut reply));
    if reply.status == 0 {
        return;
    }
    let mut head = format!("HTTP/1.1 {} -\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let _ = stream.write_all((head + "\r\n").as_bytes());
    if !request.is_head() && reply.status != 304 {
        let _ = stream.write_all(&reply.body);
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn answer(site: &Path, request: &Request) -> Reply {
    let path = &request.path;
    let mut reply = Reply::default();
    let found = Route::of(path).map(|endpoint| {
        let mut files = endpoint.files().into_iter();
        let found = files.find_map(|file| Some((fs::read(site.join(&file)).ok()?, file)));
        (endpoint, found)
    });
    match found {
        Some((endpoint, Some((bytes, file)))) => {
            reply.status = 200;
            reply.set("Content-Type", endpoint.media_type(&file));
            reply.set("Cache-Control", endpoint.cache().control());
            let agent = request.header("user-agent").unwrap_or_default();
            if endpoint == Route::V2 && agent.starts_with("Docker-Client/") {
                reply.set("Docker-Distribution-Api-Version", "registry/2.0");
            }
            let is_tag = matches!(endpoint, Route::Tagged(..));
            let named = endpoint.digest().map(|digest| digest.to_string());
            if let Some(digest) = named.or_else(|| is_tag.then(|| digest(&bytes))) {
                reply.set("Docker-Content-Digest", digest.as_str());
            }
            if let Route::V1Image(id, V1File::Json | V1File::Layer) = endpoint {
                let layer = fs::metadata(site.join(format!("v1/images/{id}/layer")));
                let length = layer.unwrap().len().to_string();
                reply.set("X-Docker-Size", length.as_str());
            }
            let query = request.query.as_deref().unwrap_or_default();
            match query.strip_prefix("q=") {
                Some(term) if endpoint == Route::Search => reply.put(search(&bytes, term)),
                _ => reply.put(bytes),
            }
            if endpoint.cache() == Cache::Immutable {
                part(request, &mut reply);
            }
        }
        Some((endpoint @ Route::Referrers(..), None)) => {
            reply.become_error(200, endpoint.media_type(""), routes::NO_REFERRERS);
            reply.set("Cache-Control", endpoint.cache().control());
        }
        _ => reply.become_error(404, "application/json", routes::not_found(path)),
    }
    if routes::is_v1(path) {
        reply.set("X-Docker-Registry-Version", routes::V1_VERSION);
    }
    for (name, value) in routes::CORS {
        reply.set(name, value);
    }
    reply
}

/// The repositories of a list whose names contain a term.
fn search(list: &[u8], term: &str) -> Vec<u8> {
    let mut list: serde_json::Value = serde_json::from_slice(list).unwrap();
    let results = list["results"].as_array_mut().unwrap();
    results.retain(|repository| repository["name"].as_str().unwrap().contains(term));
    serde_json::to_vec(&list).unwrap()
}

fn part(request: &Request, reply: &mut Reply) {
    reply.set("Accept-Ranges", "bytes");
    let range = request.header("range");
    if let Some(from) = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')) {
        let (from, length) = (from.parse::<usize>().unwrap(), reply.body.len());
        let range = format!("bytes {from}-{}/{length}", length - 1);
        reply.status = 206;
        reply.set("Content-Range", range.as_str());
        reply.put(reply.body[from..].to_vec());
    }
}
