//! Descriptors and platforms (OCI image-spec `descriptor.md`, `image-index.md`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::escaped;
use crate::spec::digest::Digest;

/// A pointer to content, as in `descriptor.md`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The type of the artifact that a manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free text by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The platform of an index's child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// The annotation under `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// What a manifest runs on.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Platform {
    /// CPU, in Go's names.
    #[serde(default)]
    pub architecture: String,
    /// Operating system, in Go's names.
    #[serde(default)]
    pub os: String,
    /// Variant of the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Whether a platform is meant by this one; without a variant every variant is.
    pub fn covers(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }

    /// Whether it says that no machine runs it: attestations of buildkit are listed as
    /// `unknown/unknown`.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

impl std::str::FromStr for Platform {
    type Err = anyhow::Error;

    /// `os/architecture[/variant]`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        // As Go has them; what is printed is then what was read.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_word = |part: &&str| (1..=64).contains(&part.len()) && part.chars().all(plain);
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() < 2 && parts.iter().all(is_word) => {
                Ok(Self {
                    os: (*os).into(),
                    architecture: (*architecture).into(),
                    variant: rest.first().map(|variant| (*variant).into()),
                })
            }
            _ => anyhow::bail!(
                "`{}` is no platform, such as `linux/amd64` or `linux/arm/v7`",
                escaped(text)
            ),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() && self.architecture.is_empty() {
            return f.write_str("-");
        }
        write!(f, "{}/{}", escaped(&self.os), escaped(&self.architecture))?;
        self.variant
            .as_ref()
            .map_or(Ok(()), |variant| write!(f, "/{}", escaped(variant)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_print_as_they_were_read() {
        for text in [
            "linux/amd64",
            "linux/arm/v7",
            "windows/amd64",
            "wasip1/wasm",
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        let long = format!("linux/{}", "x".repeat(400));
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/a`rm64",
            "linux/a\u{1b}",
            &long,
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
