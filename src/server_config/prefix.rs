//! The path below which a host serves a site.

use std::fmt;
use std::str::FromStr;

use crate::error::escaped;
use crate::spec::name::Repository;

/// A path like `/hub`, without a slash at its end; empty for the root of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// It as a regular expression. The dot is the only special character that it can have.
    pub fn pattern(&self) -> String {
        self.0.replace('.', r"\.")
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = anyhow::Error;

    /// Parses a path; slashes at its ends may be left out. It must not begin like an address of a site, such as `/v2`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let path = text.trim_matches('/');
        if path.is_empty() {
            return Ok(Self::default());
        }
        let shown = escaped(text);
        // Names of repositories begin with it.
        anyhow::ensure!(
            path.parse::<Repository>()
                .is_ok_and(|name| name.as_str() == path),
            "`{shown}` is not a path like `/hub`, of lower-case letters and digits, with single `.`, `_` and `-` in it"
        );
        let first = path.split('/').next().unwrap_or_default();
        let of_site = [
            "v1",
            "v2",
            "blobs",
            "lookaside",
            "index.html",
            "index.json",
            "oci-layout",
        ];
        anyhow::ensure!(
            !of_site.contains(&first),
            "`{shown}` begins like an address of a site"
        );
        Ok(Self(format!("/{path}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_of_plain_words() {
        for (text, meant) in [
            ("", ""),
            ("/", ""),
            ("/hub", "/hub"),
            ("hub/", "/hub"),
            ("/a/b.c_d-1/", "/a/b.c_d-1"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), meant, "{text}");
            assert_eq!(prefix.is_root(), meant.is_empty());
        }
        for text in [
            "/a//b",
            "/..",
            "/a/../b",
            "/.x",
            "/a b",
            "/a\"b",
            "/a;b",
            "/a{b}",
            "/$a",
            "/v2/hub",
            "v1",
            "/ä",
            "/a\nb",
            "http://host/hub",
            "/a?b",
            "/HUB",
            "/a..b",
            "/index.html",
            "/a#b",
            "/a*",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert_eq!("/a.b".parse::<Prefix>().unwrap().pattern(), r"/a\.b");
    }
}
