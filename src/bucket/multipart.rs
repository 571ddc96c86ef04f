//! Large objects, sent in parts.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use ureq::http::Method;

use crate::bucket::http::{Ask, Body};
use crate::bucket::{Bucket, Headers, stored_with};
use crate::content::Content;
use crate::fsx;

/// The length of a part, in bytes. It grows for objects of more than 10,000 parts (S3: at most 10,000, 5 TiB).
const PART: u64 = 32 << 20;
const MAX_PARTS: u64 = 10_000;

impl Bucket {
    /// Stores an object in parts, which are removed where that fails. Always `true`: content is stored without a
    /// condition.
    pub(super) fn put_parts(
        &self,
        key: &str,
        content: &Content,
        headers: &Headers<'_>,
    ) -> anyhow::Result<bool> {
        let path = self.path(key);
        let begin = Ask {
            query: "?uploads=".to_owned(),
            headers: stored_with(headers),
            ..Ask::new(Method::POST, path.clone())
        };
        let answer = self.client.send(&begin)?;
        let id = answer.element("UploadId");
        let Some(id) = id.filter(|_| answer.status == 200) else {
            return Err(answer.unexpected(&format!("store `{key}`")));
        };
        let sent = self.send_parts(&path, &id, content);
        if sent.is_err() {
            let query = format!("?uploadId={id}");
            // What is left is removed by a rule of the bucket, if it has one.
            let _ = self.client.send(&Ask {
                query,
                ..Ask::new(Method::DELETE, path)
            });
        }
        sent.with_context(|| format!("cannot store `{key}`"))
            .map(|()| true)
    }

    fn send_parts(&self, path: &str, id: &str, content: &Content) -> anyhow::Result<()> {
        let file = content.path().context("large content is a file")?;
        let file = Arc::new(fsx::open(file)?);
        let length = PART.max(content.len().div_ceil(MAX_PARTS));
        let mut parts = String::from("<CompleteMultipartUpload>");
        for (number, offset) in (1..).zip((0..content.len()).step_by(usize::try_from(length)?)) {
            let length = length.min(content.len() - offset);
            let part = Content::range(file.clone(), offset, length, content.origin().clone());
            let ask = Ask {
                query: format!("?partNumber={number}&uploadId={id}"),
                body: Body::Content(&part),
                ..Ask::new(Method::PUT, path.to_owned())
            };
            let answer = self.client.send(&ask)?;
            let etag = answer.header("etag").filter(|_| answer.status == 200);
            let Some(etag) = etag else {
                return Err(answer.unexpected("send a part"));
            };
            write!(
                parts,
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            )?;
        }
        parts += "</CompleteMultipartUpload>";
        let complete = Ask {
            query: format!("?uploadId={id}"),
            body: Body::Bytes(parts.as_bytes()),
            ..Ask::new(Method::POST, path.to_owned())
        };
        let answer = self.client.send(&complete)?;
        if answer.is_error() {
            return Err(answer.unexpected("put the parts together"));
        }
        Ok(())
    }
}
