//! Large objects, sent in parts. What an interrupted run has sent is used by the next.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::sync::Arc;

use anyhow::Context as _;
use md5::{Digest as _, Md5};
use percent_encoding::utf8_percent_encode;
use rayon::prelude::*;
use serde::Deserialize;
use ureq::http::Method;

use crate::bucket::http::{Answer, Ask, Body};
use crate::bucket::{Bucket, Headers, QUERY, stored_with};
use crate::content::Content;
use crate::error::invalid_input;
use crate::fsx;
use crate::spec::digest::{Digest, Hasher};

/// The length of a part, in bytes. It grows for objects of more than 10,000 parts (S3: at most 10,000, 5 TiB).
const PART: u64 = 32 << 20;
const MAX_PARTS: u64 = 10_000;

/// An upload that has begun and not ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Begun {
    pub key: String,
    pub upload_id: String,
    /// In RFC 3339.
    pub initiated: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    upload: Vec<Begun>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    part_number: u64,
    size: u64,
    #[serde(rename = "ETag")]
    etag: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PartPage {
    #[serde(default)]
    part: Vec<Sent>,
    next_part_number_marker: Option<u64>,
    #[serde(default)]
    is_truncated: bool,
}

/// Parts by number, those of the store or those to be put together.
type Parts<T> = BTreeMap<u64, T>;

/// Content in parts of one length, the last but for its rest.
struct Pieces<'a> {
    content: &'a Content,
    file: Arc<File>,
    length: u64,
}

impl<'a> Pieces<'a> {
    fn of(content: &'a Content) -> anyhow::Result<Self> {
        let file = content.path().context("large content is a file")?;
        Ok(Self {
            content,
            file: Arc::new(fsx::open(file)?),
            length: PART.max(content.len().div_ceil(MAX_PARTS)),
        })
    }

    fn numbers(&self) -> Vec<u64> {
        (1..=self.content.len().div_ceil(self.length)).collect()
    }

    /// A part, without progress.
    fn get(&self, number: u64) -> Content {
        let offset = (number - 1) * self.length;
        let length = self.length.min(self.content.len() - offset);
        let origin = self.content.origin().clone();
        Content::range(self.file.clone(), offset, length, origin)
    }
}

impl Bucket {
    /// Stores an object in parts, without a condition, so always `true`. Parts that a run has sent before are kept
    /// when it fails: the next one needs them.
    pub(super) fn put_parts(
        &self,
        key: &str,
        content: &Content,
        digest: Option<Digest>,
        headers: &Headers<'_>,
    ) -> anyhow::Result<bool> {
        let pieces = Pieces::of(content)?;
        // The store checks each part, but not the whole.
        let whole = Content::range(
            pieces.file.clone(),
            0,
            content.len(),
            content.origin().clone(),
        );
        if let Some(digest) = digest
            && whole.hash(Hasher::default())? != digest
        {
            return Err(invalid_input(format!(
                "{} does not have the digest {digest}",
                content.origin()
            )));
        }
        // Another run may finish the upload that this one continues.
        for _ in 0..3 {
            let begun = self.begun_of(key)?;
            let (id, sent) = match begun {
                Some(id) => {
                    let sent = self.sent(key, &id)?;
                    (id, sent)
                }
                None => (self.begin(key, headers)?, Parts::new()),
            };
            let is_whole = self
                .send_parts(key, &id, &pieces, &sent)
                .with_context(|| format!("cannot store `{key}`"))?;
            let is_stored = || {
                let stored = self.head(key)?;
                anyhow::Ok(stored.is_some_and(|stored| stored.size == content.len()))
            };
            if is_whole || is_stored()? {
                return Ok(true);
            }
        }
        anyhow::bail!("cannot store `{key}`: its parts are gone each time")
    }

    fn begin(&self, key: &str, headers: &Headers<'_>) -> anyhow::Result<String> {
        let answer = self.client.send(&Ask {
            query: "?uploads=".to_owned(),
            headers: stored_with(headers),
            ..Ask::new(Method::POST, self.path(key))
        })?;
        let id = answer.element("UploadId");
        id.filter(|_| answer.status == 200)
            .ok_or_else(|| answer.unexpected(&format!("store `{key}`")))
    }

    /// Uploads below a prefix that have not ended, at most 1,000. A store that does not list them has none.
    pub fn begun(&self, prefix: &str) -> anyhow::Result<Vec<Begun>> {
        let below = format!("{}{prefix}", self.prefix);
        let answer = self.client.send(&Ask {
            query: format!("?prefix={}&uploads=", utf8_percent_encode(&below, QUERY)),
            ..Ask::new(Method::GET, "/".to_owned())
        })?;
        if answer.status != 200 {
            return Ok(Vec::new());
        }
        let mut uploads: Uploads = parsed(&answer, "list of uploads")?;
        uploads.upload.retain_mut(|begun| {
            let is_below = begun.key.starts_with(&below);
            begun
                .key
                .drain(..if is_below { self.prefix.len() } else { 0 });
            is_below
        });
        Ok(uploads.upload)
    }

    fn begun_of(&self, key: &str) -> anyhow::Result<Option<String>> {
        let mut begun = self.begun(key)?.into_iter();
        Ok(begun
            .find(|begun| begun.key == key)
            .map(|begun| begun.upload_id))
    }

    /// Ends an upload, and removes its parts.
    pub fn abort(&self, begun: &Begun) -> anyhow::Result<()> {
        let answer = self.client.send(&Ask {
            query: upload_id(&begun.upload_id),
            ..Ask::new(Method::DELETE, self.path(&begun.key))
        })?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(answer.unexpected(&format!("end the upload of `{}`", begun.key))),
        }
    }

    /// The parts that the store has.
    fn sent(&self, key: &str, id: &str) -> anyhow::Result<Parts<Sent>> {
        let (mut parts, mut marker) = (Parts::new(), 0);
        loop {
            let after = match marker {
                0 => String::new(),
                marker => format!("part-number-marker={marker}&"),
            };
            let answer = self.client.send(&Ask {
                query: format!("?{after}{}", &upload_id(id)[1..]),
                ..Ask::new(Method::GET, self.path(key))
            })?;
            if answer.status != 200 {
                return Ok(parts);
            }
            let page: PartPage = parsed(&answer, "list of parts")?;
            parts.extend(page.part.into_iter().map(|part| (part.part_number, part)));
            match page.next_part_number_marker {
                Some(next) if page.is_truncated && next > marker => marker = next,
                _ => return Ok(parts),
            }
        }
    }

    /// Sends the parts that the store does not have, and puts all together. `false` if somebody ended the upload.
    fn send_parts(
        &self,
        key: &str,
        id: &str,
        pieces: &Pieces<'_>,
        known: &Parts<Sent>,
    ) -> anyhow::Result<bool> {
        let send = |number: &u64| -> anyhow::Result<Option<(u64, String)>> {
            let part = pieces.get(*number);
            if let Some(known) = known.get(number).filter(|known| known.size == part.len())
                && is_md5(&part, &known.etag)?
            {
                return Ok(Some((*number, known.etag.clone())));
            }
            let digest = part.hash(Hasher::default())?;
            let part = part.renamed(pieces.content);
            let answer = self.client.send(&Ask {
                query: format!("?partNumber={number}&{}", &upload_id(id)[1..]),
                body: Body::Content(&part),
                digest: Some(digest),
                ..Ask::new(Method::PUT, self.path(key))
            })?;
            match answer.header("etag") {
                Some(etag) if answer.status == 200 => Ok(Some((*number, etag.to_owned()))),
                _ if answer.status == 404 => Ok(None),
                _ => Err(answer.unexpected("send a part")),
            }
        };
        let numbers = pieces.numbers();
        let parts: Option<Parts<String>> = numbers
            .par_iter()
            .map(send)
            .collect::<anyhow::Result<_>>()?;
        let Some(parts) = parts else { return Ok(false) };
        let mut list = String::from("<CompleteMultipartUpload>");
        for (number, etag) in parts {
            write!(
                list,
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            )?;
        }
        list += "</CompleteMultipartUpload>";
        let answer = self.client.send(&Ask {
            query: upload_id(id),
            body: Body::Bytes(list.as_bytes()),
            ..Ask::new(Method::POST, self.path(key))
        })?;
        match answer.status {
            404 => Ok(false),
            // Another run has sent a part again, and the store gave it another tag.
            400 if answer.element("Code").as_deref() == Some("InvalidPart") => Ok(false),
            _ if answer.is_error() => Err(answer.unexpected("put the parts together")),
            _ => Ok(true),
        }
    }
}

fn upload_id(id: &str) -> String {
    format!("?uploadId={}", utf8_percent_encode(id, QUERY))
}

fn parsed<T: for<'de> Deserialize<'de>>(answer: &Answer, what: &str) -> anyhow::Result<T> {
    let text = String::from_utf8_lossy(&answer.body);
    quick_xml::de::from_str(&text).with_context(|| format!("cannot read a {what} of the store"))
}

/// Whether an `ETag` is the MD5 of a part, as it is but under some kinds of encryption.
fn is_md5(part: &Content, etag: &str) -> anyhow::Result<bool> {
    let mut md5 = Md5::new();
    part.visit(&mut |bytes| md5.update(bytes))?;
    let number = u128::from_be_bytes(md5.finalize().into());
    Ok(etag.trim_matches('"') == format!("{number:032x}"))
}
