//! Signed requests to a store, repeated while the store or the way to it fails for a moment.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::Signer;
use ureq::http::{HeaderMap, Method, Request, request};
use ureq::{Agent, SendBody};

use crate::bucket::credentials::{Chain, block_on, context};
use crate::content::Content;
use crate::error::{Hint, WithHint as _, escaped};
use crate::spec::digest::Digest;

/// The limit for connecting, and for the start of an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// The limit for a body: one of [`super::ONE_PUT`] bytes may take a slow way.
const BODY_PATIENCE: Duration = Duration::from_mins(15);
/// How often a request is sent before its failure counts.
const ATTEMPTS: u32 = 6;
/// The wait before the second attempt; it doubles for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest answer that is read, in bytes: a catalogue of a million references.
const MAX_ANSWER: u64 = 512 << 20;

pub(super) struct Client {
    agent: Agent,
    signer: Signer<Credential>,
    /// The address of the bucket, without a slash at its end.
    base: String,
    /// The `Date` of the latest answer, in seconds since 1970; 0 before the first.
    clock: AtomicU64,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    Empty,
    Bytes(&'a [u8]),
    Content(&'a Content),
}

impl Body<'_> {
    fn len(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Content(content) => content.len(),
        }
    }

    fn reader(&self) -> anyhow::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Body::Empty => Box::new(std::io::empty()),
            Body::Bytes(bytes) => Box::new(*bytes),
            Body::Content(content) => Box::new(content.open()?),
        })
    }
}

pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Percent-encoded, with a slash at its front.
    pub(super) path: String,
    /// Percent-encoded, with its question mark.
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body<'a>,
    /// The sha256 of the body, if it is known.
    pub(super) digest: Option<Digest>,
}

impl Ask<'_> {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: String::new(),
            headers: Vec::new(),
            body: Body::Empty,
            digest: None,
        }
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether the request was sent more than once: an earlier attempt may have had its effect.
    pub(super) was_repeated: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The text of the first XML element of a name.
    pub(super) fn element(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.body);
        let rest = text.split(&format!("<{name}>")).nth(1)?;
        rest.split('<').next().map(str::to_owned)
    }

    /// Whether it is an error, which may come behind a good status (S3 `CopyObject`, `CompleteMultipartUpload`).
    pub(super) fn is_error(&self) -> bool {
        self.status != 200 || String::from_utf8_lossy(&self.body).contains("<Error>")
    }

    /// The error of an answer that is none of those expected.
    pub(super) fn unexpected(&self, what: &str) -> anyhow::Error {
        let part = |name: &str| self.element(name).map(escaped).unwrap_or_default();
        let (code, message) = (part("Code"), part("Message"));
        let answer = format!("{} {code} {message}", self.status);
        let error = anyhow::anyhow!("cannot {what}: the store answers {}", answer.trim_end());
        let hint = match (self.status, code.as_str()) {
            (
                _,
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken",
            ) => "the store does not accept these credentials",
            (403, _) => {
                "the credentials need s3:ListBucket, s3:GetObject and s3:PutObject for this bucket, and s3:DeleteObject for `--mirror` and `--prune`"
            }
            (404, "NoSuchKey") => "is `--endpoint` the address of the store, without the bucket?",
            (404, "NoSuchBucket") => "create the bucket first",
            (301 | 307 | 400, _) => "is `--region` that of the bucket?",
            // Stores give codes.
            (404 | 405 | 501, "") => {
                "is this the endpoint of an S3 store, and does the bucket exist?"
            }
            _ => return error,
        };
        error.context(Hint(hint.to_owned()))
    }
}

/// Whether another attempt may succeed.
fn is_passing(ask: &Ask<'_>, answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(1024)]);
    // A copy, or putting parts together, may fail behind a good status.
    let is_failed = answer.status >= 400 || (ask.method != Method::GET && text.contains("<Error>"));
    let passing = [
        "SlowDown",
        "RequestTimeout",
        "InternalError",
        "ServiceUnavailable",
    ];
    matches!(answer.status, 429 | 500 | 502 | 503 | 504)
        || (is_failed && passing.iter().any(|code| text.contains(code)))
        || (answer.status == 409 && text.contains("ConditionalRequestConflict"))
}

impl Client {
    pub(super) fn new(base: String, region: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_send_body(Some(BODY_PATIENCE))
            .timeout_recv_body(Some(BODY_PATIENCE))
            .user_agent(concat!("stillage/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: agent.into(),
            signer: Signer::new(
                context(),
                Chain::new(region),
                RequestSigner::new("s3", region),
            ),
            base,
            clock: AtomicU64::new(0),
        }
    }

    /// See [`super::Bucket::now`]. A store that does not tell the time leaves that of this machine.
    #[expect(
        clippy::disallowed_methods,
        reason = "the time decides when content is deleted, not what is written"
    )]
    pub(super) fn now(&self) -> u64 {
        match self.clock.load(Ordering::Relaxed) {
            0 => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
            time => time,
        }
    }

    /// Sends a request until an answer is final.
    ///
    /// # Errors
    /// Without credentials, or when no attempt had an answer.
    pub(super) fn send(&self, ask: &Ask<'_>) -> anyhow::Result<Answer> {
        self.send_within(ask, ATTEMPTS, FIRST_WAIT)
    }

    /// The same with another patience.
    pub(super) fn send_within(
        &self,
        ask: &Ask<'_>,
        attempts: u32,
        first_wait: Duration,
    ) -> anyhow::Result<Answer> {
        let (mut wait, mut attempt) = (first_wait, 1);
        loop {
            let is_last = attempt == attempts;
            match self.once(ask)? {
                Ok(answer) if is_last || !is_passing(ask, &answer) => {
                    let was_repeated = attempt > 1;
                    return Ok(Answer {
                        was_repeated,
                        ..answer
                    });
                }
                Err(error) if is_last => return Err(error),
                _ => {}
            }
            thread::sleep(jittered(wait));
            wait *= 2;
            attempt += 1;
        }
    }

    /// The outer error is one that another attempt does not mend.
    fn once(&self, ask: &Ask<'_>) -> anyhow::Result<anyhow::Result<Answer>> {
        let parts = self.signed(ask)?;
        let mut reader = ask.body.reader()?;
        let answered = || -> anyhow::Result<Answer> {
            let answer = if matches!(ask.body, Body::Empty) {
                self.agent.run(Request::from_parts(parts, ()))
            } else {
                let body = SendBody::from_reader(&mut reader);
                self.agent.run(Request::from_parts(parts, body))
            };
            let (parts, mut body) = answer?.into_parts();
            let date = parts
                .headers
                .get("date")
                .and_then(|date| date.to_str().ok());
            let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
            if let Some(Ok(time)) = date.map(|date| date.duration_since(UNIX_EPOCH)) {
                self.clock.store(time.as_secs(), Ordering::Relaxed);
            }
            Ok(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.with_config().limit(MAX_ANSWER).read_to_vec()?,
                was_repeated: false,
            })
        };
        let host = &self.base;
        Ok(answered().map_err(|error| error.context(format!("cannot reach `{}`", escaped(host)))))
    }

    fn signed(&self, ask: &Ask<'_>) -> anyhow::Result<request::Parts> {
        let uri = format!("{}{}{}", self.base, ask.path, ask.query);
        let mut request = Request::builder().method(ask.method.clone()).uri(uri);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if matches!(ask.method, Method::PUT | Method::POST) {
            request = request.header("content-length", ask.body.len());
        }
        let digest = ask.digest.or_else(|| match ask.body {
            Body::Empty => Some(Digest::of(b"")),
            Body::Bytes(bytes) => Some(Digest::of(bytes)),
            Body::Content(_) => None,
        });
        if let Some(digest) = digest {
            request = request.header("x-amz-content-sha256", digest.hex());
        }
        let (mut parts, ()) = request.body(())?.into_parts();
        block_on(self.signer.sign(&mut parts, None))
            .map_err(|error| anyhow::anyhow!("cannot sign a request: {error}"))
            .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or mend the source that failed")?;
        Ok(parts)
    }
}

/// A number that differs between processes and calls.
pub fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}

/// A wait from half to one and a half times as long, so that those who wait do not go on at the same time.
pub(super) fn jittered(wait: Duration) -> Duration {
    let part = u32::try_from(random() >> 32).unwrap_or_default();
    wait.mul_f64(0.5 + f64::from(part) / f64::from(u32::MAX))
}
