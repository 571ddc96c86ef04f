//! Names in archives, as Docker writes them.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

use crate::error::escaped;
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};

/// The host of names without one.
const HUB: &str = "docker.io/";

/// A name with its host, and a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// With the host: `docker.io/library/tiny`, `mirror:5000/app`.
    repository: String,
    pub tag: Option<Tag>,
    /// Only of a name without a tag.
    pub digest: Option<Digest>,
}

impl TargetName {
    /// The name of a repository of a site, which may begin with a host.
    pub fn new(repository: &Repository, tag: Option<Tag>, digest: Digest) -> Self {
        let name = repository.as_str();
        let of_hub = name
            .strip_prefix("index.docker.io/")
            .or_else(|| name.strip_prefix(HUB));
        if let Some(rest) = of_hub.and_then(|rest| rest.parse::<Repository>().ok()) {
            return Self::new(&rest, tag, digest);
        }
        let first = name.split('/').next().unwrap_or_default();
        let has_host = name.contains('/') && (first.contains('.') || first == "localhost");
        Self {
            repository: if has_host {
                name.to_owned()
            } else {
                format!("{HUB}{}", repository.with_namespace())
            },
            digest: tag.is_none().then_some(digest),
            tag,
        }
    }

    /// The same repository with another tag.
    #[must_use]
    pub fn with_tag(&self, tag: Tag) -> Self {
        Self {
            repository: self.repository.clone(),
            tag: Some(tag),
            digest: None,
        }
    }

    /// As Docker shows it: without the host of Docker Hub.
    pub fn familiar(&self) -> String {
        let suffix = &self.to_string()[self.repository.len()..];
        self.familiar_repository() + suffix
    }

    /// The name of the repository as Docker shows it.
    pub fn familiar_repository(&self) -> String {
        let short = self.repository.strip_prefix(HUB);
        let short = short.map(|short| short.strip_prefix("library/").unwrap_or(short));
        short.unwrap_or(&self.repository).to_owned()
    }
}

/// The whole name: `docker.io/library/tiny:1`, or with `@` and a digest.
impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match (&self.tag, &self.digest) {
            (Some(tag), _) => write!(f, ":{tag}"),
            (None, Some(digest)) => write!(f, "@{digest}"),
            (None, None) => Ok(()),
        }
    }
}

impl FromStr for TargetName {
    type Err = anyhow::Error;

    /// Parses `[HOST[:PORT]/]NAME[:TAG]`; the tag is `latest` by default.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (host, rest) = match text.split_once('/') {
            Some((host, rest)) if host.contains(':') => (Some(host), rest),
            _ => (None, text),
        };
        let reference: Reference = rest.parse()?;
        if reference.digest.is_some() {
            bail!("`{}` has a digest, which no name can set", escaped(text));
        }
        let tag = reference.tag.unwrap_or_else(Tag::latest);
        let Some(host) = host else {
            return Ok(Self::new(&reference.repository, Some(tag), Digest::of(b"")));
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        if name.is_empty() || !name.chars().all(legal) || port.parse::<u16>().is_err() {
            bail!("`{}` is not `HOST:PORT`", escaped(host));
        }
        Ok(Self {
            repository: format!("{host}/{}", reference.repository),
            tag: Some(tag),
            digest: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_docker() {
        for (text, full, familiar) in [
            ("tiny", "docker.io/library/tiny:latest", "tiny:latest"),
            ("library/tiny:1", "docker.io/library/tiny:1", "tiny:1"),
            ("org/app:2", "docker.io/org/app:2", "org/app:2"),
            ("docker.io/library/x:1", "docker.io/library/x:1", "x:1"),
            ("docker.io/x:1", "docker.io/library/x:1", "x:1"),
            (
                "index.docker.io/library/x",
                "docker.io/library/x:latest",
                "x:latest",
            ),
            (
                "quay.io/org/app:1",
                "quay.io/org/app:1",
                "quay.io/org/app:1",
            ),
            ("localhost/app:1", "localhost/app:1", "localhost/app:1"),
            (
                "mirror:5000/app",
                "mirror:5000/app:latest",
                "mirror:5000/app:latest",
            ),
        ] {
            let name: TargetName = text.parse().unwrap();
            assert_eq!(
                (name.to_string(), name.familiar()),
                (full.into(), familiar.into())
            );
        }
        let digest = Digest::of(b"x");
        let name = TargetName::new(&"t/x".parse().unwrap(), None, digest);
        assert_eq!(name.to_string(), format!("docker.io/t/x@{digest}"));
        for text in [
            "",
            "A",
            "a:b:c/x",
            "h:/x",
            ":5/x",
            "h:5000/",
            "a@sha256:0",
            "h:99999/x",
            "a b:1/x",
        ] {
            assert!(text.parse::<TargetName>().is_err(), "{text}");
        }
    }
}
