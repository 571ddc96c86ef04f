//! What `--plan` prints: the operations of a publish as data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::bucket::Headers;
use crate::spec::digest::Digest;

/// Takes the operations in order.
pub type Report<'a> = dyn Fn(&Operation<'_>) -> anyhow::Result<()> + Sync + 'a;

/// What another uploader would do, for `--plan`.
#[derive(Debug, Serialize)]
pub struct Operation<'a> {
    /// `put`, `copy` or `delete`.
    pub operation: &'static str,
    pub key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<&'a str>,
    /// For `x-amz-meta-docker-content-digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The file to send, relative to the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// The key to copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// The bytes to send, where no file has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl<'a> Operation<'a> {
    /// Stores bytes.
    pub(super) fn put(key: &'a str, headers: &Headers<'a>, bytes: &[u8]) -> Self {
        Self {
            operation: "put",
            content_type: Some(headers.media_type),
            cache_control: Some(headers.cache_control),
            digest: headers.digest,
            size: Some(bytes.len() as u64),
            base64: Some(STANDARD.encode(bytes)),
            ..Self::delete(key)
        }
    }

    pub(super) fn delete(key: &'a str) -> Self {
        Self {
            operation: "delete",
            key,
            content_type: None,
            cache_control: None,
            digest: None,
            size: None,
            file: None,
            from: None,
            base64: None,
        }
    }
}
