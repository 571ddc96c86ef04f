//! The HTTP client. It sends what Go clients send and reports what the server really answers: redirects are
//! followed one by one and recorded, nothing is decoded, and every wait and every body has a limit.

use std::io::{self, Read};
use std::time::Duration;

use anyhow::Context as _;
use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;

use crate::check_url::url::{SiteUrl, resolve};
use crate::check_url::{locked, tls};
use crate::error::{WithHint as _, escaped};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::media_type::MANIFEST_TYPES;

/// The limit for connecting, for the start of an answer, and for each read of its body.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many redirects are followed. Go clients have had this limit since Go 1.8 at the latest.
const MAX_HOPS: usize = 10;

/// Which certificates of servers are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust<'a> {
    /// Those that public CAs issued.
    Public,
    /// Those of a PEM file, and those that they issued.
    Pem(&'a [u8]),
    /// All.
    Anyone,
}

pub(super) struct Client {
    agent: Agent,
    site: SiteUrl,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) head: bool,
    pub(super) path: &'a str,
    /// Headers in addition to those that every client sends.
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

    /// Go clients ask for gzip, except with HEAD and with ranges.
    fn takes_gzip(&self) -> bool {
        let own = |name: &str| self.headers.iter().any(|(own, _)| *own == name);
        !self.head && !own("Range") && !own("Accept-Encoding")
    }
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    /// The statuses of the redirects that led here.
    pub(super) hops: Vec<u16>,
    /// The headers of the first redirect.
    first: Option<HeaderMap>,
    /// Whether there were more than [`MAX_HOPS`] redirects.
    pub(super) endless: bool,
    /// Whether the request allowed gzip.
    pub(super) took_gzip: bool,
    body: ureq::Body,
}

impl Answer {
    /// The value of a header, or all values joined if it occurs more than once. Escaped, since it goes into
    /// messages.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        joined(&self.headers, name)
    }

    /// A header of the answer at the requested address, which is what a cache keeps, rather than at the
    /// target of its redirects.
    pub(super) fn own_header(&self, name: &str) -> Option<String> {
        joined(self.first.as_ref().unwrap_or(&self.headers), name)
    }

    /// `Content-Length`, in bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("Content-Length")?.parse().ok()
    }

    /// `Content-Encoding`, unless it is `identity`.
    pub(super) fn encoding(&self) -> Option<String> {
        self.header("Content-Encoding")
            .filter(|encoding| !encoding.is_empty() && encoding != "identity")
    }

    /// The body as sent. Fails if it is interrupted, or longer than `limit` bytes.
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

    /// The digest of the body as sent; fails if it is interrupted. Reads at most one byte more than `length`,
    /// in bytes: the digest of a body that is too long is wrong either way.
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
    anyhow::anyhow!(
        "the transfer was interrupted: {}",
        escaped(error.to_string())
    )
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
    /// A client with at most this many idle connections. Fails if a PEM file has no certificates.
    pub(super) fn new(site: SiteUrl, trust: Trust<'_>, connections: usize) -> anyhow::Result<Self> {
        let tls = TlsConfig::builder()
            .disable_verification(matches!(trust, Trust::Anyone))
            .build();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("stillage/", env!("CARGO_PKG_VERSION"), " (verify)"))
            .tls_config(tls)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections);
        // As in Go clients, which read the same variables: local addresses are not proxied.
        if site.is_local() {
            config = config.proxy(None);
        }
        let config = config.build();
        let agent = match trust {
            Trust::Pem(pem) => {
                Agent::with_parts(config, tls::connector(pem)?, DefaultResolver::default())
            }
            Trust::Public | Trust::Anyone => config.into(),
        };
        Ok(Self { agent, site })
    }

    /// The address of a path of the site.
    pub(super) fn address(&self, path: &str) -> String {
        self.site.join(path)
    }

    pub(super) fn is_at_root(&self) -> bool {
        self.site.prefix().is_empty()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.site.is_tls()
    }

    /// The same client at the root of the host.
    pub(super) fn at_root(&self) -> Self {
        Self {
            agent: self.agent.clone(),
            site: self.site.root(),
        }
    }

    /// Sends a request, and follows redirects. Fails if there is no answer, or a redirect is invalid.
    pub(super) fn ask(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let mut address = self.site.join(ask.path);
        let mut hops = Vec::new();
        let mut first = None;
        loop {
            // A server may close an idle connection just as it is reused: try once more.
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
            address = resolve(&address, &location).with_context(|| {
                format!("cannot follow the redirect of `{}`", escaped(&address))
            })?;
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

/// The `Accept` header that Docker sends.
fn accept(path: &str) -> String {
    if path.starts_with("/v2/") && path.contains("/manifests/") {
        let types: Vec<&str> = MANIFEST_TYPES.iter().map(|(name, _)| *name).collect();
        return types.join(", ");
    }
    "*/*".into()
}

/// The error for a request without an answer, with a hint if the cause is a certificate.
fn failed(error: &ureq::Error, address: &str) -> anyhow::Error {
    let text = error.to_string();
    let says = |word: &str| text.contains(word);
    let hint = if locked::wants_certificate(&text) {
        locked::HINT
    } else if says("UnknownIssuer") {
        "clients fail on this certificate too: have the server send the full chain; if the issuer is your own \
         CA, name its certificate with `--ca FILE`; `--insecure` checks all else"
    } else if says("CaUsedAsEndEntity") {
        "the server presents a certificate of a CA as its own: clients accept it only if they trust this very \
         certificate; name it with `--ca FILE`"
    } else if says("Expired") || says("NotValidForName") || says("certificate") {
        "clients fail on this certificate too: renew it, with the name of the host as a subjectAltName"
    } else if says("InvalidContentType") || says("corrupt message") {
        "the port does not speak TLS: try `http://`"
    } else if address.starts_with("http://") && says("http parse fail") {
        "the port does not speak plain HTTP: try `https://`"
    } else {
        ""
    };
    let shown_address = escaped(address);
    // What the system calls it says less.
    let text = if says("failed to lookup address") {
        let host = address.parse::<Uri>().ok();
        let host = host.as_ref().and_then(Uri::host).unwrap_or(address);
        format!("cannot resolve the name `{}`", escaped(host))
    } else {
        escaped(text.strip_prefix("io: ").unwrap_or(&text))
    };
    let result: Result<(), _> = Err(anyhow::Error::msg(text));
    let result = result.with_context(|| format!("cannot request `{shown_address}`"));
    let result = if hint.is_empty() {
        result
    } else {
        result.hint(hint)
    };
    result.err().unwrap_or_else(|| anyhow::anyhow!("no answer"))
}
