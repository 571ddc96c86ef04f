//! Content digests.
//!
//! Grammar (OCI image-spec, descriptor.md, "Digests"): `algorithm ":" encoded`. Only `sha256` with 64
//! lower-case hex digits is supported, because it is the only algorithm that all clients, old and new, know.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{escaped, invalid_input};

/// A sha256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Parses 64 lower-case hex digits, as in the file name of a blob.
    pub fn from_hex(hex: &str) -> anyhow::Result<Self> {
        let invalid = || {
            invalid_input(format!(
                "`{}` is not a sha256 digest of 64 hex digits",
                escaped(hex)
            ))
        };
        let digits = hex.as_bytes();
        let mut out = [0; 32];
        if digits.len() != 64 {
            return Err(invalid());
        }
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            };
            *byte = value(pair[0])
                .zip(value(pair[1]))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(invalid)?;
        }
        Ok(Self(out))
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As much of it as tells it from others, for messages.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(PREFIX.len() + 12);
        text
    }

    /// The 64 hex digits without the algorithm.
    pub fn hex(&self) -> String {
        self.to_string().split_off(PREFIX.len())
    }
}

const PREFIX: &str = "sha256:";

impl FromStr for Digest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some(("sha256", hex)) => Self::from_hex(hex),
            Some((algorithm, _)) => Err(invalid_input(format!(
                "digest algorithm `{}` is not supported, only sha256 is",
                escaped(algorithm)
            ))),
            None => Err(invalid_input(format!(
                "`{}` is not a digest",
                escaped(text)
            ))),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written in one piece for speed: lists of a site may have a hundred thousand digests.
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        let mut text = String::with_capacity(71);
        text.push_str(PREFIX);
        text.extend(
            self.0
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]),
        );
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes the [`Digest`] of a stream and counts its bytes.
#[derive(Clone, Default)]
pub struct Hasher {
    state: Sha256,
    bytes: u64,
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The digest and number of all bytes.
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.state.finalize().into()), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn what_is_no_sha256_is_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            "",
            "sha256",
            "sha256:",
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{hex}0"),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("sha512:{hex}{hex}"),
            &format!("sha256:{}é", &hex[2..]),
            hex,
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
