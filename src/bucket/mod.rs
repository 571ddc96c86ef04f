//! A bucket of an S3-compatible store: what `publish` asks of it.
//! ```text
//! address.rs       buckets and stores as the user names them
//! credentials/     where keys come from
//! http.rs          signed requests, repeated while the store fails for a moment
//! mod.rs           objects: get, put under a condition, copy, delete, list
//! multipart.rs     large objects
//! probe.rs         what the store can
//! ```

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::Method;

use crate::bucket::http::{Answer, Ask, Body, Client};
use crate::content::Content;
use crate::spec::digest::Digest;

mod address;
mod credentials;
mod http;
mod multipart;
mod probe;

pub use address::{Destination, Endpoint};
use credentials::domain;
pub use credentials::region_of_profile;
pub use http::random;
pub use multipart::Begun;
pub use probe::{Abilities, Slash};

/// Objects of more bytes are sent in parts.
const ONE_PUT: u64 = 64 << 20;
/// What a store copies in one request, in bytes (S3 `CopyObject`).
pub const LONGEST_COPY: u64 = 5 << 30;

const DIGEST: &str = "x-amz-meta-docker-content-digest";

/// What the path of an address may have unescaped (RFC 3986, `unreserved`), and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
const QUERY: &AsciiSet = &PATH.add(b'/');

/// How an object is stored beside its bytes.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    pub media_type: &'a str,
    pub cache_control: &'a str,
    /// For `Docker-Content-Digest`, which a function at the edge can make of it.
    pub digest: Option<Digest>,
}

impl Headers<'_> {
    /// Those of an object that no client asks for.
    pub const fn unserved(media_type: &'static str) -> Self {
        Self {
            media_type,
            cache_control: "no-store",
            digest: None,
        }
    }
}

/// The condition of a write.
#[derive(Clone, Copy, Debug)]
pub enum If<'a> {
    Always,
    /// The object does not exist.
    Absent,
    /// The object has this `ETag`.
    Is(&'a str),
}

impl<'a> If<'a> {
    /// The object is as it was seen: with this `ETag`, or missing. A store without conditions writes always.
    pub fn unchanged(etag: Option<&'a str>, has_conditions: bool) -> Self {
        match etag {
            _ if !has_conditions => Self::Always,
            Some(etag) => Self::Is(etag),
            None => Self::Absent,
        }
    }
}

/// Bytes to be stored.
#[derive(Clone, Copy)]
pub enum Bytes<'a> {
    Memory(&'a [u8]),
    /// With its sha256, if it is known.
    Content(&'a Content, Option<Digest>),
}

/// An object of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Empty in lists of stores that do not say it.
    #[serde(rename = "ETag", default)]
    pub etag: String,
}

/// What a store says of an object without its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Described {
    /// In bytes.
    pub size: u64,
    pub media_type: String,
    pub cache_control: String,
    /// Of [`Headers::digest`].
    pub digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    contents: Vec<Listed>,
    next_continuation_token: Option<String>,
}

pub struct Bucket {
    client: Client,
    prefix: String,
    /// The name of the bucket, for copies.
    name: String,
}

impl Bucket {
    /// `endpoint` is the address of a store other than that of AWS, to which the name of the bucket is added as a
    /// path.
    pub fn new(destination: &Destination, endpoint: Option<&Endpoint>, region: &str) -> Self {
        let name = &destination.bucket;
        let base = match endpoint {
            Some(Endpoint(endpoint)) => format!("{endpoint}/{name}"),
            // A certificate of `*.s3` does not hold for a name with a dot.
            None if name.contains('.') => format!("https://s3.{region}.{}/{name}", domain(region)),
            None => format!("https://{name}.s3.{region}.{}", domain(region)),
        };
        Self {
            client: Client::new(base, region),
            prefix: destination.prefix.clone(),
            name: name.clone(),
        }
    }

    fn path(&self, key: &str) -> String {
        format!(
            "/{}",
            utf8_percent_encode(&format!("{}{key}", self.prefix), PATH)
        )
    }

    /// The bytes and the `ETag` of an object; `None` if it does not exist.
    pub fn get(&self, key: &str) -> anyhow::Result<Option<(Vec<u8>, String)>> {
        let answer = self.client.send(&Ask::new(Method::GET, self.path(key)))?;
        match answer.status {
            200 => {
                let etag = answer.header("etag").unwrap_or_default().to_owned();
                Ok(Some((answer.body, etag)))
            }
            404 if !is_no_bucket(&answer) => Ok(None),
            _ => Err(answer.unexpected(&format!("read `{key}`"))),
        }
    }

    /// The headers of an object; `None` if it does not exist.
    pub fn head(&self, key: &str) -> anyhow::Result<Option<Described>> {
        let answer = self.client.send(&Ask::new(Method::HEAD, self.path(key)))?;
        let text = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        match answer.status {
            200 => Ok(Some(Described {
                size: text("content-length").parse().unwrap_or_default(),
                media_type: text("content-type"),
                cache_control: text("cache-control"),
                digest: answer.header(DIGEST).map(str::to_owned),
            })),
            404 => Ok(None),
            _ => Err(answer.unexpected(&format!("look at `{key}`"))),
        }
    }

    /// The time by the clock of the store, in seconds since 1970: the clocks of publishers may be wrong.
    pub fn now(&self) -> u64 {
        self.client.now()
    }

    /// Stores an object. `false` if the condition does not hold. A request whose answer was lost may have had its
    /// effect: an object of these bytes counts as stored.
    pub fn put(
        &self,
        key: &str,
        bytes: Bytes<'_>,
        headers: &Headers<'_>,
        condition: If<'_>,
    ) -> anyhow::Result<bool> {
        let (body, digest) = match bytes {
            Bytes::Memory(bytes) => (Body::Bytes(bytes), Some(Digest::of(bytes))),
            Bytes::Content(content, digest) if content.len() > ONE_PUT => {
                return self.put_parts(key, content, digest, headers);
            }
            Bytes::Content(content, digest) => (Body::Content(content), digest),
        };
        let mut all = stored_with(headers);
        all.extend(conditions(condition));
        if let Some(digest) = digest {
            all.push(("x-amz-checksum-sha256", STANDARD.encode(digest.bytes())));
        }
        let ask = Ask {
            headers: all,
            body,
            digest,
            ..Ask::new(Method::PUT, self.path(key))
        };
        let answer = self.client.send(&ask)?;
        match (answer.status, bytes) {
            (200, _) => Ok(true),
            (304 | 404 | 409 | 412, Bytes::Memory(bytes))
                if !matches!(condition, If::Always) && !is_no_bucket(&answer) =>
            {
                let stored = answer
                    .was_repeated
                    .then(|| self.get(key))
                    .transpose()?
                    .flatten();
                Ok(stored.is_some_and(|(stored, _)| stored == bytes))
            }
            _ => Err(answer.unexpected(&format!("store `{key}`"))),
        }
    }

    /// Copies an object of at most [`LONGEST_COPY`] bytes within the bucket. `false` if the store does not do it.
    pub fn copy(&self, from: &str, to: &str, headers: &Headers<'_>) -> anyhow::Result<bool> {
        let mut all = stored_with(headers);
        all.push((
            "x-amz-copy-source",
            format!("/{}{}", self.name, self.path(from)),
        ));
        all.push(("x-amz-metadata-directive", "REPLACE".to_owned()));
        let ask = Ask {
            headers: all,
            ..Ask::new(Method::PUT, self.path(to))
        };
        let answer = self.client.send(&ask)?;
        Ok(!answer.is_error())
    }

    pub fn delete(&self, key: &str) -> anyhow::Result<()> {
        let answer = self
            .client
            .send(&Ask::new(Method::DELETE, self.path(key)))?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(answer.unexpected(&format!("delete `{key}`"))),
        }
    }

    /// Visits all objects a page at a time, at most 1,000, with keys below the prefix, in the order of the store.
    pub fn list(
        &self,
        visit: &mut dyn FnMut(Vec<Listed>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut token: Option<String> = None;
        loop {
            let encoded = |text: &str| utf8_percent_encode(text, QUERY).to_string();
            // Sorted by name, as the signature wants it.
            let next = token.as_ref().map_or_else(String::new, |token| {
                format!("continuation-token={}&", encoded(token))
            });
            let query = format!("?{next}list-type=2&prefix={}", encoded(&self.prefix));
            let ask = Ask {
                query,
                ..Ask::new(Method::GET, "/".to_owned())
            };
            let answer = self.client.send(&ask)?;
            if answer.status != 200 {
                return Err(answer.unexpected("list the bucket"));
            }
            let text = String::from_utf8_lossy(&answer.body);
            let mut page: Page =
                quick_xml::de::from_str(&text).context("cannot read a list of the store")?;
            page.contents.retain_mut(|listed| {
                let is_below = listed.key.starts_with(&self.prefix);
                listed
                    .key
                    .drain(..if is_below { self.prefix.len() } else { 0 });
                is_below
            });
            visit(page.contents)?;
            match page.next_continuation_token {
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                _ => return Ok(()),
            }
        }
    }
}

/// The wait of a publisher whom another one has outrun.
pub fn pause() -> Duration {
    http::jittered(Duration::from_millis(300))
}

fn is_no_bucket(answer: &Answer) -> bool {
    String::from_utf8_lossy(&answer.body).contains("NoSuchBucket")
}

fn stored_with(headers: &Headers<'_>) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("content-type", headers.media_type.to_owned()),
        ("cache-control", headers.cache_control.to_owned()),
    ];
    let digest = headers.digest.map(|digest| (DIGEST, digest.to_string()));
    all.extend(digest);
    all
}

fn conditions(condition: If<'_>) -> Option<(&'static str, String)> {
    match condition {
        If::Always => None,
        If::Absent => Some(("if-none-match", "*".to_owned())),
        If::Is(etag) => Some(("if-match", etag.to_owned())),
    }
}
