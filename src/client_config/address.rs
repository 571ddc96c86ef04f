//! The URL of a site, as clients reach it.

use std::str::FromStr;

use anyhow::{Context as _, ensure};

use crate::error::escaped;
use crate::server_config::{Listen, Prefix};

/// `http://` or `https://`, a host with or without a port, and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub is_tls: bool,
    /// As in the names of images: `mirror.example:5000`.
    pub host: String,
    pub prefix: Prefix,
}

impl Address {
    /// The URL of the host: `https://mirror.example:5000`.
    pub fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// What names of images in the site begin with: `mirror.example:5000/hub`.
    pub fn name(&self) -> String {
        format!("{}{}", self.host, self.prefix)
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let shown = escaped(text);
        let lower = text.to_ascii_lowercase();
        let schemes = [("https://", true), ("http://", false)];
        let found = schemes
            .into_iter()
            .find_map(|(scheme, is_tls)| Some((lower.strip_prefix(scheme)?, is_tls)));
        let (rest, is_tls) = found.with_context(|| {
            format!("`{shown}` is not a URL: it begins with neither `https://` nor `http://`")
        })?;
        let (host, _) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = &text[text.len() - rest.len() + host.len()..];
        // With a port, what a server listens on has the same rules.
        let port = if host.ends_with(']') || !host.contains(':') {
            ":1"
        } else {
            ""
        };
        let listen: Result<Listen, _> = format!("{host}{port}").parse();
        let is_host = listen.is_ok_and(|listen| listen.host.is_some() && listen.port > 0);
        let mut labels = host.split(':').next().unwrap_or_default().split('.');
        let is_label =
            |label: &str| !(label.is_empty() || label.starts_with('-') || label.ends_with('-'));
        let is_host = is_host && (host.starts_with('[') || labels.all(is_label));
        ensure!(is_host, "`{shown}` is not `https://HOST[:PORT][/PATH]`");
        ensure!(
            !host.starts_with('['),
            "names of images cannot begin with an IPv6 address: give the server a name, instead of `{shown}`"
        );
        let last = path.trim_end_matches('/').rsplit('/').next();
        ensure!(
            last != Some("v2"),
            "`{shown}` ends with `/v2`, which clients add themselves"
        );
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            prefix: path.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, origin, name) in [
            ("https://m.example", "https://m.example", "m.example"),
            (
                "HTTPS://M.example:5000/",
                "https://m.example:5000",
                "m.example:5000",
            ),
            ("http://m:80/hub/", "http://m:80", "m:80/hub"),
            ("http://localhost", "http://localhost", "localhost"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.origin().as_str(), address.name().as_str()),
                (origin, name)
            );
        }
        for text in [
            "",
            "m.example",
            "ftp://m",
            "https://",
            "https:///hub",
            "https://a b",
            "https://u@h",
            "https://h:0",
            "https://h:99999",
            "https://h/v2",
            "https://h/?x",
            "https://h#x",
            "https://h/a/../b",
            "https://\"h",
            "https://[::1]:5000",
            "https://../",
            "https://m..example",
            "https://h/hub/v2/",
            "https://h/HUB",
            "https://-h.example",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
