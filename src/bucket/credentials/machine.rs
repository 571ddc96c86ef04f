//! What sources use of the machine.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv, Result};
use ureq::Agent;
use ureq::http::{Request, Response};

use crate::bucket::credentials::profiles::{Profile, Profiles};
use crate::error::escaped;
use crate::fsx;

/// The longest file or answer of a source, in bytes.
pub(super) const MAX_LENGTH: u64 = 1 << 20;
/// The limit for connecting: an address that only machines of a cloud have must not hold up others.
const CONNECT: Duration = Duration::from_secs(3);
/// The limit for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Runs a future that this thread drives alone.
pub(in crate::bucket) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut poller = Poller::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut poller) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// What reqsign uses of the machine.
pub(in crate::bucket) fn context() -> Context {
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .build();
    Context::new()
        .with_env(OsEnv)
        .with_file_read(Files)
        .with_http_send(Http(agent.into()))
}

/// A variable that is set and not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The name that was chosen, or `default`.
pub(super) fn profile_name() -> String {
    chosen_profile().unwrap_or_else(|| "default".to_owned())
}

fn chosen_profile() -> Option<String> {
    variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"))
}

/// The address that takes the place of that of a service: `AWS_ENDPOINT_URL_<service>`, then `AWS_ENDPOINT_URL`.
pub(super) fn endpoint(service: &str) -> Option<String> {
    let own = variable(&format!("AWS_ENDPOINT_URL_{service}"));
    let address = own.or_else(|| variable("AWS_ENDPOINT_URL"))?;
    Some(address.trim_end_matches('/').to_owned())
}

pub(super) struct Machine<'a> {
    pub(super) context: &'a Context,
    pub(super) region: &'a str,
    profiles: anyhow::Result<Profiles>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(context: &'a Context, region: &'a str) -> Self {
        Self {
            context,
            region,
            profiles: Profiles::load(),
        }
    }

    pub(super) fn profiles(&self) -> anyhow::Result<&Profiles> {
        self.profiles.as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    /// The profile in use. `default` need not exist; one that was chosen must.
    pub(super) fn profile(&self) -> anyhow::Result<Option<&Profile>> {
        let profiles = self.profiles()?;
        match chosen_profile() {
            Some(name) => profiles.existing(&name).map(Some),
            None => Ok(profiles.get("default")),
        }
    }
}

/// The domain of the services in a region. Those of closed regions need an address in a variable.
pub(in crate::bucket) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

/// Why a file or an address was not read.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

fn failed(cause: impl Into<String>) -> Error {
    let cause = cause.into();
    Error::unexpected(cause.clone()).with_source(Cause(cause))
}

/// An error of reqsign with its cause, if that is one of this module: others quote what they could not parse, which
/// may be a secret.
pub(super) fn reason(error: &Error) -> anyhow::Error {
    let mut message = error.to_string();
    if message.starts_with("failed to parse") {
        message.truncate(message.find(':').unwrap_or(message.len()));
    }
    // Backticks are those of a cause in the message.
    let shown = escaped(&message).replace("\\u{60}", "`");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(cause) = error.downcast_ref::<Cause>()
            && cause.0 != message
        {
            return anyhow!("{shown}: {cause}");
        }
        source = error.source();
    }
    anyhow!("{shown}")
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        read(path).map_err(|error| failed(format!("{error:#}")))
    }
}

/// A file that must exist.
pub(super) fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = fsx::read(Path::new(path), MAX_LENGTH)?;
    bytes.ok_or_else(|| anyhow!("`{}` does not exist", escaped(path)))
}

#[derive(Debug)]
struct Http(Agent);

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let authority = request.uri().authority().map(ToString::to_string);
        let host = escaped(authority.unwrap_or_default());
        let broken = |error: ureq::Error| failed(format!("cannot reach `{host}`: {error}"));
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, &body[..]));
        let (parts, mut body) = answer.map_err(broken)?.into_parts();
        let body = body.with_config().limit(MAX_LENGTH).read_to_vec();
        Ok(Response::from_parts(parts, body.map_err(broken)?.into()))
    }
}
