//! Buckets and stores as the user names them.

use std::str::FromStr;

use ureq::http::Uri;

use crate::error::{WithHint as _, escaped};

/// `s3://BUCKET[/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub bucket: String,
    /// Empty, or with a slash at its end.
    pub prefix: String,
}

impl Destination {
    /// Fails for a name that no bucket of AWS can have.
    pub fn check_aws(&self) -> anyhow::Result<()> {
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let name = &self.bucket;
        if (3..=63).contains(&name.len()) && name.chars().all(is_legal) {
            return Ok(());
        }
        Err(anyhow::anyhow!("`{name}` is not the name of a bucket of AWS")).hint(
            "such a name has 3 to 63 lower-case letters, digits, dots and hyphens; name another store with `--endpoint URL`",
        )
    }
}

impl FromStr for Destination {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let rest = text.strip_prefix("s3://");
        let (bucket, prefix) =
            rest.map_or(("", ""), |rest| rest.split_once('/').unwrap_or((rest, "")));
        let prefix = prefix.trim_matches('/');
        // The rules of S3 are stricter; other stores allow more.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let is_safe = prefix.is_empty()
            || prefix
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."));
        if bucket.is_empty() || !bucket.chars().all(is_name) || !is_safe {
            return Err(anyhow::anyhow!("`{}` is not a bucket", escaped(text)))
                .hint("give it as s3://BUCKET or s3://BUCKET/PREFIX");
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
        })
    }
}

/// The address of a store, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub(super) String);

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let address: Option<Uri> = text.parse().ok();
        let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        match address.filter(is_http) {
            Some(uri) if uri.query().is_none() => Ok(Self(text.trim_end_matches('/').to_owned())),
            _ => Err(anyhow::anyhow!(
                "`{}` is not the address of a store",
                escaped(text)
            ))
            .hint("give it as https://HOST or http://HOST:PORT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses() {
        let endpoint: Endpoint = "http://127.0.0.1:9000/".parse().unwrap();
        assert_eq!(endpoint, Endpoint("http://127.0.0.1:9000".to_owned()));
        for text in [
            "",
            "127.0.0.1:9000",
            "ftp://store",
            "s3://b",
            "https://s/?a",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn destinations_are_buckets() {
        for (text, bucket, prefix) in [
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            ("s3://my.bucket/a/b/", "my.bucket", "a/b/"),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(
                (destination.bucket.as_str(), destination.prefix.as_str()),
                (bucket, prefix)
            );
        }
        for text in [
            "",
            "b",
            "s3://",
            "s3:///a",
            "s3://b/a//c",
            "s3://b/../c",
            "s3://b c",
            "gs://b",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
