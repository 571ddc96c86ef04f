//! Descriptors and platforms (OCI image-spec `descriptor.md`, `image-index.md`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::error::escaped;
use crate::spec::digest::Digest;
use crate::spec::go_json;

/// The annotation of an `index.json` that was exported from a site: its manifests keep their digests in any case.
pub const EXPORTED: &str = "org.stillage.export";

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// The type of the artifact, if the content is its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Only set on the children of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Where clients can get the content instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl Descriptor {
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            artifact_type: None,
            annotations: None,
            platform: None,
            urls: Vec::new(),
        }
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// The children of an index. Those with a digest of another algorithm (image-spec `descriptor.md`, "Digests")
/// are set apart: no site can serve them.
#[derive(Debug, Default)]
pub struct Children {
    pub manifests: Vec<Descriptor>,
    /// The digests of the others.
    pub unsupported: Vec<String>,
}

impl<'de> Deserialize<'de> for Children {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Children;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Children, A::Error> {
                let mut children = Children::default();
                while let Some(raw) = seq.next_element::<Box<RawValue>>()? {
                    children.add(&raw).map_err(A::Error::custom)?;
                }
                Ok(children)
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

impl Children {
    fn add(&mut self, raw: &RawValue) -> Result<(), serde_json::Error> {
        #[derive(Deserialize)]
        struct Other {
            digest: String,
        }
        match go_json::of_raw(raw) {
            Ok(child) => self.manifests.push(child),
            Err(error) => match go_json::of_raw::<Other>(raw) {
                Ok(Other { digest }) if is_of_other_algorithm(&digest) => {
                    self.unsupported.push(digest);
                }
                _ => return Err(error),
            },
        }
        Ok(())
    }
}

/// Whether it is a digest by a registered algorithm other than sha256.
fn is_of_other_algorithm(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        matches!(algorithm, "sha512" | "blake3") && hex.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

/// The platform that an image runs on.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Platform {
    /// CPU, as a `GOARCH` value.
    #[serde(default)]
    pub architecture: String,
    /// Operating system, as a `GOOS` value.
    #[serde(default)]
    pub os: String,
    /// CPU variant, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Whether this platform, used as a filter, includes `other`. Without a variant, all variants match.
    pub fn covers(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }

    /// `os/architecture[/variant]`, whatever the words.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        // All of Go's names match. Nothing else is allowed, so that no part needs escaping when printed.
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
                "`{}` is not a platform such as `linux/amd64` or `linux/arm/v7`",
                escaped(text)
            ),
        }
    }

    /// Whether it is a placeholder: buildkit lists attestations as `unknown/unknown`.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

impl std::str::FromStr for Platform {
    type Err = anyhow::Error;

    /// `os/architecture[/variant]`, as Go calls them.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        match meant(text) {
            Some(meant) => anyhow::bail!(
                "`{}` is not a platform; did you mean `{meant}`?",
                escaped(text)
            ),
            None => Self::parse(text),
        }
    }
}

/// What others call a processor that Go calls so, with its variant.
const PROCESSORS: &[(&str, &str)] = &[
    ("x86_64", "amd64"),
    ("x86-64", "amd64"),
    ("x64", "amd64"),
    ("aarch64", "arm64"),
    ("armhf", "arm/v7"),
    ("armv7", "arm/v7"),
    ("armv7l", "arm/v7"),
    ("armv6", "arm/v6"),
    ("armv6l", "arm/v6"),
    ("i386", "386"),
    ("i686", "386"),
    ("x86", "386"),
    ("ppc64el", "ppc64le"),
];

/// The names that Go gives to processors that images are made for.
const ARCHITECTURES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x",
];

/// The platform that is meant by a processor without a system, or by another name for it.
fn meant(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (os, processor) = lower.split_once('/').unwrap_or(("linux", &lower));
    let (processor, variant) = match processor.split_once('/') {
        Some((processor, variant)) => (processor, Some(variant)),
        None => (processor, None),
    };
    let mut known = PROCESSORS.iter().filter(|(other, _)| *other == processor);
    let name = match known.next() {
        Some((_, name)) => *name,
        None if ARCHITECTURES.contains(&processor) => processor,
        None => return None,
    };
    let variant = variant.filter(|_| !name.contains('/'));
    let variant = variant.map_or_else(String::new, |variant| format!("/{variant}"));
    let meant = format!("{os}/{name}{variant}");
    (meant != text && !meant.contains(char::is_whitespace)).then(|| escaped(meant))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() && self.architecture.is_empty() {
            return f.write_str("-");
        }
        write!(f, "{}/{}", escaped(&self.os), escaped(&self.architecture))?;
        self.variant
            .as_ref()
            .filter(|variant| !variant.is_empty())
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
