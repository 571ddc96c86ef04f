//! The HTTP client: what a server really sends, asked as Go's clients ask. Redirects are followed one by
//! one and kept, nothing is decoded, every wait and every body has a limit.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::check_url::url::{HostRoot, resolve};
use crate::error::{WithHint as _, escaped};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::media_type::MANIFEST_TYPES;

/// How long a server may take to be connected to, to begin an answer, and to send the next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Redirects that are followed: what Go's clients do since 1.8 at the latest.
const MAX_HOPS: usize = 10;

/// A client of one server.
pub(super) struct Client {
    agent: Agent,
    root: HostRoot,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) head: bool,
    pub(super) path: &'a str,
    /// Headers beside those that every client sends.
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            head: false,
            path,
            headers: &[],
        }
    }

    pub(super) fn head(path: &'a str) -> Self {
        Self {
            head: true,
            ..Self::get(path)
        }
    }

    pub(super) fn with(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    /// Go asks for gzip unless it asks for a part, or by HEAD.
    fn takes_gzip(&self) -> bool {
        let own = |name: &str| self.headers.iter().any(|(own, _)| *own == name);
        !self.head && !own("Range") && !own("Accept-Encoding")
    }
}

/// An answer, its body not yet read.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    /// The redirects on the way: each status, and the headers of the first.
    pub(super) hops: Vec<u16>,
    first: Option<HeaderMap>,
    /// Whether redirects have no end.
    pub(super) endless: bool,
    /// Whether the request allowed gzip.
    pub(super) took_gzip: bool,
    body: ureq::Body,
}

impl Answer {
    /// A header, all values joined where it came more than once; escaped, since it goes into messages.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        joined(&self.headers, name)
    }

    /// A header of the answer from the address itself, which a cache keeps, not from where it leads.
    pub(super) fn own_header(&self, name: &str) -> Option<String> {
        joined(self.first.as_ref().unwrap_or(&self.headers), name)
    }

    /// The length that the server says, in bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("Content-Length")?.parse().ok()
    }

    /// The encoding that the body is said to have.
    pub(super) fn encoding(&self) -> Option<String> {
        self.header("Content-Encoding")
            .filter(|encoding| !encoding.is_empty() && encoding != "identity")
    }

    /// The body as it came, up to `limit` bytes.
    ///
    /// # Errors
    /// When it is longer, or breaks off.
    pub(super) fn read(self, limit: u64) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut reader = self.body.into_reader().take(limit + 1);
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&error))?;
        anyhow::ensure!(
            bytes.len() as u64 <= limit,
            "it is longer than {limit} bytes"
        );
        Ok(bytes)
    }

    /// Hands the body as it came to a hasher, and gives the digest; of one that is longer than it should
    /// be, in bytes, that of its beginning and a byte more.
    ///
    /// # Errors
    /// When it breaks off.
    pub(super) fn hash(self, mut hasher: Hasher, length: Option<u64>) -> anyhow::Result<Digest> {
        let limit = length.map_or(u64::MAX, |length| length.saturating_add(1));
        let mut reader = self.body.into_reader().take(limit);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer).map_err(|error| broken(&error))? {
                0 => return Ok(hasher.finish().0),
                got => hasher.update(&buffer[..got]),
            }
        }
    }
}

fn broken(error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("the transfer breaks off: {}", escaped(error.to_string()))
}

fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| escaped(String::from_utf8_lossy(value.as_bytes())))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

impl Client {
    /// A client that trusts the certificates in a PEM file, or the public ones.
    ///
    /// # Errors
    /// When there is no certificate in it.
    pub(super) fn new(
        root: HostRoot,
        pem: Option<&[u8]>,
        connections: usize,
    ) -> anyhow::Result<Self> {
        let roots = pem.map_or(Ok(RootCerts::WebPki), trusted)?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("stillage/", env!("CARGO_PKG_VERSION"), " (verify)"))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections);
        // As in Go's clients, which read the same variables: no proxy leads to this machine.
        if root.is_local() {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            root,
        })
    }

    /// Sends a request, and follows redirects.
    ///
    /// # Errors
    /// When there is no answer, or a redirect leads nowhere.
    pub(super) fn ask(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let mut address = self.root.join(ask.path);
        let mut hops = Vec::new();
        let mut first = None;
        loop {
            // A server may close an idle connection at the moment in which it is used again.
            let response = match self.send(&address, ask) {
                Err(ureq::Error::Io(_)) => self.send(&address, ask),
                sent => sent,
            };
            let response = response.map_err(|error| failed(&error, &address))?;
            let (parts, body) = response.into_parts();
            let status = parts.status.as_u16();
            let location = matches!(status, 301 | 302 | 303 | 307 | 308)
                .then(|| parts.headers.get("Location"))
                .flatten();
            let location = location.map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
            let endless = location.is_some() && hops.len() == MAX_HOPS;
            let Some(location) = location.filter(|_| !endless) else {
                return Ok(Answer {
                    status,
                    headers: parts.headers,
                    hops,
                    first,
                    endless,
                    took_gzip: ask.takes_gzip(),
                    body,
                });
            };
            hops.push(status);
            first.get_or_insert(parts.headers);
            address = resolve(&address, &location)
                .with_context(|| format!("the redirect of `{}` is broken", escaped(&address)))?;
        }
    }

    fn send(
        &self,
        address: &str,
        ask: Ask<'_>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let method = if ask.head { Method::HEAD } else { Method::GET };
        let mut request = Request::builder().method(method).uri(address);
        request = request.header("Accept", accept(ask.path));
        if ask.takes_gzip() {
            request = request.header("Accept-Encoding", "gzip");
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        self.agent.run(request.body(())?)
    }
}

/// What Docker says that it takes.
fn accept(path: &str) -> String {
    if path.starts_with("/v2/") && path.contains("/manifests/") {
        let types: Vec<&str> = MANIFEST_TYPES.iter().map(|(name, _)| *name).collect();
        return types.join(", ");
    }
    "*/*".into()
}

fn trusted(pem: &[u8]) -> anyhow::Result<RootCerts> {
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.context("it is no PEM file")? {
            certificates.push(certificate);
        }
    }
    anyhow::ensure!(!certificates.is_empty(), "no certificate is in it");
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// What went wrong on the way to an answer, with what can be done.
fn failed(error: &ureq::Error, address: &str) -> anyhow::Error {
    let text = error.to_string();
    let says = |word: &str| text.contains(word);
    let hint = if says("UnknownIssuer") {
        "clients fail on this certificate alike: have the server send its whole chain; where the issuer is a \
         CA of your own, name its certificate with `--ca FILE`"
    } else if says("CaUsedAsEndEntity") {
        "the server shows the certificate of a CA: give it one of its own, issued by that CA"
    } else if says("Expired") || says("NotValidForName") || says("certificate") {
        "clients fail on this certificate alike: renew it, for the name of the host"
    } else if says("InvalidContentType") || says("corrupt message") {
        "the port does not speak TLS: try `http://`"
    } else {
        ""
    };
    let shown_address = escaped(address);
    let result: Result<(), _> = Err(anyhow::anyhow!("{}", escaped(text)));
    let result = result.with_context(|| format!("cannot ask `{shown_address}`"));
    let result = if hint.is_empty() {
        result
    } else {
        result.hint(hint)
    };
    result.err().unwrap_or_else(|| anyhow::anyhow!("no answer"))
}
