//! Signatures of images as containers/image stores them: in the files `signature-N` of a `dir:` folder or of a
//! lookaside server (`internal/signature/signature.go`).
//! ```text
//! simple signing    OpenPGP packets
//! sigstore          \0sigstore-json\n{"mimeType":..,"payload":"<base64>","annotations":{..}}
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::invalid_input;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::go_json;
use crate::spec::json::go_string;
use crate::spec::media_type::{OCI_CONFIG, OCI_MANIFEST};

/// A longer file is no signature (containers/image: 4 MiB), in bytes.
pub const MAX_SIGNATURE: u64 = 4 << 20;
/// More signatures of a manifest are not looked at (containers/image).
pub const MAX_SIGNATURES: u32 = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// To be kept byte for byte.
    Simple,
    Sigstore(Sigstore),
}

/// A signature that registries keep as a layer of a manifest with a tag of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sigstore {
    media_type: String,
    payload: Vec<u8>,
    annotations: BTreeMap<String, String>,
}

impl Signature {
    /// # Errors
    /// If it is in no known form.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json {
            mime_type: String,
            payload: String,
            #[serde(default)]
            annotations: BTreeMap<String, String>,
        }
        let unknown = || invalid_input("it is not a signature in a known form");
        match bytes {
            // The first packets that OpenPGP data may begin with.
            [
                0xa0..=0xa3 | 0xc8 | 0x90..=0x92 | 0x3d | 0xc4 | 0x88..=0x8b | 0xc2,
                ..,
            ] => Ok(Self::Simple),
            [0, rest @ ..] => {
                let json = rest.strip_prefix(b"sigstore-json\n").ok_or_else(unknown)?;
                let Json {
                    mime_type,
                    payload,
                    annotations,
                } = go_json::parse(json)?;
                let payload = STANDARD.decode(payload).map_err(|error| {
                    invalid_input(format!("its payload is not base64: {error}"))
                })?;
                Ok(Self::Sigstore(Sigstore {
                    media_type: mime_type,
                    payload,
                    annotations,
                }))
            }
            _ => Err(unknown()),
        }
    }
}

/// A manifest that attaches sigstore signatures to an image, with its config and layers.
pub struct Attachment {
    pub manifest: Descriptor,
    pub content: BTreeMap<Digest, Vec<u8>>,
}

impl Attachment {
    /// The manifest that containers/image pushes (`docker/docker_image_dest.go`,
    /// `putSignaturesToSigstoreAttachments`), byte for byte.
    pub fn new(signatures: &[Sigstore]) -> Self {
        let mut content = BTreeMap::new();
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        let mut kept: Vec<&Sigstore> = Vec::new();
        for signature in signatures {
            if kept.contains(&signature) {
                continue;
            }
            kept.push(signature);
            let digest = Digest::of(&signature.payload);
            content.insert(digest, signature.payload.clone());
            diff_ids.push(format!("\"{digest}\""));
            layers.push(signature.layer(digest));
        }
        let config = format!(
            r#"{{"architecture":"","os":"","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        );
        let digest = Digest::of(config.as_bytes());
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"{OCI_CONFIG}","digest":"{digest}","size":{}}},"layers":[{}]}}"#,
            config.len(),
            layers.join(",")
        );
        content.insert(digest, config.into_bytes());
        let digest = Digest::of(manifest.as_bytes());
        let descriptor = Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64);
        content.insert(digest, manifest.into_bytes());
        Self {
            manifest: descriptor,
            content,
        }
    }
}

impl Sigstore {
    fn layer(&self, digest: Digest) -> String {
        let mut json = String::from("{\"mediaType\":");
        go_string(&mut json, &self.media_type);
        let _ = write!(
            json,
            r#","digest":"{digest}","size":{}"#,
            self.payload.len()
        );
        for (number, (key, value)) in self.annotations.iter().enumerate() {
            json.push_str(if number == 0 {
                ",\"annotations\":{"
            } else {
                ","
            });
            go_string(&mut json, key);
            json.push(':');
            go_string(&mut json, value);
        }
        json.push_str(if self.annotations.is_empty() {
            "}"
        } else {
            "}}"
        });
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGSTORE: &[u8] = b"\0sigstore-json\n{\"mimeType\":\"x/y\",\"payload\":\"eyI8Ijox\",\"annotations\":{\"b\":\"<\",\"a\":\"1\"}}";

    #[test]
    fn forms_are_told_apart() {
        assert_eq!(Signature::parse(b"\x88\x01").unwrap(), Signature::Simple);
        assert!(matches!(
            Signature::parse(SIGSTORE),
            Ok(Signature::Sigstore(_))
        ));
        for other in [
            &b""[..],
            b"-----BEGIN PGP",
            b"\0",
            b"\0other\n{}",
            b"\0sigstore-json\n{}",
            b"\0sigstore-json\n{\"mimeType\":\"x\",\"payload\":\"*\"}",
        ] {
            assert!(Signature::parse(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn the_manifest_is_that_of_containers_image() {
        let Ok(Signature::Sigstore(signature)) = Signature::parse(SIGSTORE) else {
            panic!("it is not sigstore")
        };
        let made = Attachment::new(&[signature.clone(), signature]);
        assert_eq!(made.content.len(), 3);
        let manifest = String::from_utf8(made.content[&made.manifest.digest].clone()).unwrap();
        let payload = Digest::of(b"{\"<\":1");
        assert!(manifest.ends_with(&format!(
            r#""layers":[{{"mediaType":"x/y","digest":"{payload}","size":6,"annotations":{{"a":"1","b":"\u003c"}}}}]}}"#
        )));
    }
}
