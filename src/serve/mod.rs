//! The built-in server: a site over HTTP/1.1, with or without TLS, by the rules of [`crate::routes`].
//!
//! Files are looked up at each request, so what a build publishes is served at once. Memory is bounded by the
//! number of connections, each with one buffer.
//! ```text
//! mod.rs          accepting, time limits, shutdown
//! connections.rs  the limit of open connections
//! tls.rs          certificates, handshakes
//! answer.rs       from a request to an answer
//! namespace.rs    names of other registries
//! file.rs         answers with files: conditions, ranges
//! query.rs        queries on lists: search, pages, filters
//! reply.rs        headers and body
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::Request;
use hyper::body::Body as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use crate::error::Hint;
use crate::server_config::Listen;
use crate::site;
use crate::site_files::SiteFiles;

mod answer;
mod connections;
mod file;
mod namespace;
mod query;
mod reply;
mod tls;

use connections::{Connection, Connections, Watched};
use tls::Tls;
pub use tls::TlsFiles;

/// The limit of open connections, where the system allows as many files. At the limit, one that waits for a request is
/// closed for a new one; if none does, the new one waits.
const MAX_CONNECTIONS: usize = 4096;
/// Open files that are left to everything but connections.
const OTHER_FILES: u64 = 64;
/// How long a client may take to send the headers of its next request.
const IDLE: Duration = Duration::from_secs(75);
/// How long a client may read nothing of an answer before its connection is closed.
const STALLED: Duration = Duration::from_mins(1);
/// How many unsent bytes the kernel buffers for a connection. Without a limit it buffers megabytes for a
/// client that reads nothing, and once its memory for sockets is used up it resets those of other programs.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;
/// How long transfers may continue after a signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Receives the messages of a running server.
pub trait Log: Send + Sync {
    /// A request was answered: one line for the access log.
    fn access(&self, line: &str);
    /// Something went wrong on the side of the server.
    fn problem(&self, text: &str);
}

/// Drops all messages.
struct Silent;

impl Log for Silent {
    fn access(&self, _: &str) {}
    fn problem(&self, _: &str) {}
}

struct Server {
    site: SiteFiles,
    log: Arc<dyn Log>,
    tls: Option<Tls>,
}

/// Where the server listens, and whether it speaks TLS there.
pub struct Endpoint {
    listener: std::net::TcpListener,
    tls: Option<Tls>,
}

impl Endpoint {
    /// Reads the certificate, if one is given, and binds an address, on loopback unless `listen` names a host. Clients
    /// that connect before [`serve`] runs wait for it.
    pub fn bind(listen: &Listen, tls: Option<&TlsFiles>) -> anyhow::Result<Self> {
        let tls = tls.map(Tls::read).transpose()?;
        let host = listen.host.as_deref().unwrap_or("127.0.0.1");
        let address = format!("{host}:{}", listen.port);
        let listener = std::net::TcpListener::bind(&address).map_err(|error| {
            let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
            let hint = if is_refused && listen.port < 1024 {
                "ports below 1024 need root; choose another with `--listen [HOST:]PORT`"
            } else {
                "choose another address with `--listen [HOST:]PORT`"
            };
            let error = anyhow::Error::new(error).context(Hint(hint.to_owned()));
            error.context(format!("cannot listen on `{address}`"))
        })?;
        Ok(Self { listener, tls })
    }

    /// The URL of the site.
    fn url(&self) -> anyhow::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}/", self.listener.local_addr()?))
    }
}

/// Serves a site until SIGINT or SIGTERM; transfers under way then have ten seconds to finish. Calls `ready`
/// with its URL once the server accepts connections.
pub fn serve(
    root: &Path,
    endpoint: Endpoint,
    log: Arc<dyn Log>,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let (site, _) = site::read(root)?;
    let most = raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the server")?;
    runtime.block_on(async {
        let url = endpoint.url()?;
        let Endpoint { listener, tls } = endpoint;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut end = std::pin::pin!(told_to_end()?);
        ready(&url);
        let server = Arc::new(Server { site, log, tls });
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Connections::new(most));
        loop {
            tokio::select! {
                () = accept(&listener, &server, &graceful, &connections) => {}
                () = &mut end => break,
            }
        }
        drop(listener);
        connections.close_waiting();
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
        anyhow::Ok(())
    })
}

/// Completes on SIGINT or SIGTERM.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Accepts one connection, and makes room for it.
async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    graceful: &GracefulShutdown,
    connections: &Arc<Connections>,
) {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let connection = connections.admit().await;
            let (server, watcher) = (server.clone(), graceful.watcher());
            tokio::spawn(async move {
                tokio::select! {
                    () = converse(stream, peer, server, watcher, connection.clone()) => {}
                    () = connection.closed() => {}
                }
            });
        }
        Err(error) => {
            server
                .log
                .problem(&format!("cannot accept a connection: {error}"));
            // Most likely out of file descriptors: wait until some are free.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The status and body of one GET, without a connection; `None` if it is not a valid request. For tests that
/// make many requests.
#[doc(hidden)]
pub fn answer_once(root: &Path, target: &str, headers: &[(&str, &str)]) -> Option<(u16, Vec<u8>)> {
    let server = Server {
        site: SiteFiles::new(root),
        log: Arc::new(Silent),
        tls: None,
    };
    let headers = headers.iter();
    let request = headers
        .fold(Request::get(target), |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(())
        .ok()?;
    let response = answer::answer(&server, &request, SocketAddr::from(([127, 0, 0, 1], 0)));
    let (status, mut body) = (response.status().as_u16(), response.into_body());
    let mut bytes = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Some(Ok(frame))) =
        std::pin::Pin::new(&mut body).poll_frame(&mut context)
    {
        bytes.extend_from_slice(frame.data_ref()?);
    }
    Some((status, bytes))
}

/// Answers the requests of a connection until it ends.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<Server>,
    watcher: Watcher,
    connection: Arc<Connection>,
) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    let stream = Box::pin(stream);
    // Ignore clients that disconnect, or speak neither TLS nor HTTP.
    match server.tls.clone() {
        None => {
            let stream = Watched { stream, connection };
            drop(watcher.watch(http(stream, peer, server)).await);
        }
        Some(tls) => {
            if let Some(stream) = tls.accept(stream).await {
                let stream = Watched { stream, connection };
                drop(watcher.watch(http(stream, peer, server)).await);
            }
        }
    }
}

fn http<S>(
    stream: Watched<S>,
    peer: SocketAddr,
    server: Arc<Server>,
) -> impl GracefulConnection<Output = hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let connection = stream.connection.clone();
    let service = service_fn(move |request| {
        let answer = connection.answering().map(|answering| {
            let mut answer = answer::answer(&server, &request, peer);
            answer.body_mut().answering = Some(answering);
            answer
        });
        std::future::ready(
            answer
                .ok_or(io::ErrorKind::ConnectionAborted)
                .map_err(io::Error::from),
        )
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .half_close(true)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
}

/// Raises the limit of open files, which many systems set to 1,024, and returns how many connections it allows: each
/// transfer needs two.
fn raise_file_limit() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let files = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_) => before,
    };
    let most = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES) / 2);
    usize::try_from(most).map_or(MAX_CONNECTIONS, |most| most.clamp(1, MAX_CONNECTIONS))
}
