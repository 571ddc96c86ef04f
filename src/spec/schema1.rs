//! The signature of a Docker schema 1 manifest (distribution `docs/spec/manifest-v2-1.md`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::error::invalid_input;

#[derive(Debug, Deserialize)]
pub struct Signature {
    protected: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    format_length: usize,
    format_tail: String,
}

/// The signed part of a manifest, without the signatures: the first `formatLength` bytes, followed by `formatTail`,
/// both from the first signature (libtrust `jsonsign.go`, `ParsePrettySignature`).
pub fn payload(manifest: &[u8], signatures: &[Signature]) -> anyhow::Result<Vec<u8>> {
    let parts = || {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let protected = decode(&signatures.first()?.protected)?;
        let format: Format = serde_json::from_slice(&protected).ok()?;
        let mut payload = manifest.get(..format.format_length)?.to_vec();
        payload.extend(decode(&format.format_tail)?);
        Some(payload)
    };
    parts().ok_or_else(|| invalid_input("the signature of the schema 1 manifest is broken"))
}
