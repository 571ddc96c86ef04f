//! Names in a source, and what they become in a site.
//!
//! A first component that contains `.` or `:`, or is `localhost`, is a host.

use crate::spec::name::{Reference, Repository, short};

/// What becomes of the hosts in the names of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// They are dropped: `quay.io/org/app` becomes `org/app`.
    #[default]
    Drop,
    /// They are kept, without their ports, which are not allowed in names.
    Keep,
    /// They are kept, and names without a host are completed as Docker does: `alpine` becomes
    /// `docker.io/library/alpine` (distribution `reference/normalize.go`).
    Full,
}

/// What names on Docker Hub may begin with.
const HUBS: [&str; 2] = ["docker.io/", "index.docker.io/"];

impl Reference {
    /// The host in a name, with its port.
    pub fn host(text: &str) -> Option<&str> {
        split_host(text).0
    }

    /// Parses a name from a source and turns it into that in the site. With `prefix`, it gets below this.
    pub fn from_source(text: &str, hosts: Hosts, prefix: Option<&str>) -> anyhow::Result<Self> {
        let (host, rest) = split_host(text);
        let mut name = match host {
            Some(host) if hosts != Hosts::Drop => {
                format!("{}/{rest}", host.split(':').next().unwrap_or(host))
            }
            _ => rest.to_owned(),
        };
        let mut has_host = host.is_some();
        if let Some(prefix) = prefix {
            name = format!("{prefix}/{}", short(&name));
            has_host = split_host(&name).0.is_some();
        }
        match hosts {
            Hosts::Full => completed(&name, has_host).parse(),
            Hosts::Drop | Hosts::Keep => name.parse(),
        }
    }
}

impl Repository {
    /// The name without the host of Docker Hub; `None` if it has another host or none.
    pub fn without_hub(&self) -> Option<Self> {
        let name = HUBS
            .iter()
            .find_map(|hub| self.as_str().strip_prefix(hub))?;
        name.parse().ok()
    }

    /// The name with the host that Docker completes it with; `None` if it has one.
    pub fn completed(&self) -> Option<Self> {
        let name = self.as_str();
        let full = completed(name, split_host(name).0.is_some());
        (full != name).then(|| full.parse().ok()).flatten()
    }
}

/// The host of a name, if it has one, and the rest.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((host, rest)) if is_host(host) => (Some(host), rest),
        _ => (None, text),
    }
}

fn completed(name: &str, has_host: bool) -> String {
    let on_hub = if has_host {
        HUBS.iter().find_map(|host| name.strip_prefix(host))
    } else {
        Some(name)
    };
    match on_hub {
        None => name.to_owned(),
        Some(rest) if rest.contains('/') => format!("docker.io/{rest}"),
        Some(rest) => format!("docker.io/library/{rest}"),
    }
}

/// A host contains a dot, has a port, or is `localhost` (distribution `reference/normalize.go`).
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') => (name, Some(port)),
        _ => (text, None),
    };
    let is_name = |name: &str| {
        name.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
    };
    let is_address = name.starts_with('[') && name.ends_with(']');
    let is_port = port
        .is_none_or(|port| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()));
    is_port
        && (is_name(name) || is_address)
        && (name.contains('.') || port.is_some() || name == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<String>)> {
        let reference = Reference::from_source(text, Hosts::Drop, None).ok()?;
        Some((
            reference.repository.to_string(),
            reference.tag.map(|tag| tag.to_string()),
        ))
    }

    #[test]
    fn references_lose_their_host_and_default_namespace() {
        for (text, repository, tag) in [
            ("alpine", "alpine", None),
            ("alpine:3.20", "alpine", Some("3.20")),
            ("docker.io/library/alpine:3", "alpine", Some("3")),
            ("library/alpine", "alpine", None),
            ("library/a/b", "library/a/b", None),
            ("quay.io/org/app:v1", "org/app", Some("v1")),
            ("localhost/x:1", "x", Some("1")),
            ("127.0.0.1:7391/library/tiny:1", "tiny", Some("1")),
            ("org/app", "org/app", None),
            ("host:5000", "host", Some("5000")),
            ("a__b/c--d.e_f", "a__b/c--d.e_f", None),
        ] {
            assert_eq!(
                parsed(text),
                Some((repository.into(), tag.map(Into::into))),
                "{text}"
            );
        }
    }

    #[test]
    fn names_are_completed_and_put_below_prefixes() {
        for (text, hosts, prefix, name) in [
            ("alpine:3", Hosts::Full, None, "docker.io/library/alpine:3"),
            (
                "docker.io/alpine",
                Hosts::Full,
                None,
                "docker.io/library/alpine",
            ),
            (
                "index.docker.io/org/app",
                Hosts::Full,
                None,
                "docker.io/org/app",
            ),
            ("org/app", Hosts::Full, None, "docker.io/org/app"),
            ("quay.io/org/app:1", Hosts::Full, None, "quay.io/org/app:1"),
            ("registry:5000/app", Hosts::Full, None, "registry/app"),
            ("registry:5000/app", Hosts::Keep, None, "registry/app"),
            (
                "docker.io/library/a",
                Hosts::Keep,
                None,
                "docker.io/library/a",
            ),
            (
                "quay.io/org/app:1",
                Hosts::Drop,
                Some("mirror"),
                "mirror/org/app:1",
            ),
            (
                "docker.io/library/a",
                Hosts::Drop,
                Some("mirror"),
                "mirror/a",
            ),
            (
                "quay.io/org/app",
                Hosts::Keep,
                Some("a/b"),
                "a/b/quay.io/org/app",
            ),
            (
                "library/a",
                Hosts::Full,
                Some("docker.io"),
                "docker.io/library/a",
            ),
            ("org/app", Hosts::Full, Some("quay.io"), "quay.io/org/app"),
            ("a", Hosts::Full, Some("mirror"), "docker.io/mirror/a"),
            ("a", Hosts::Drop, Some("library"), "a"),
        ] {
            let reference = Reference::from_source(text, hosts, prefix).unwrap();
            assert_eq!(reference.to_string(), name, "{text} {hosts:?} {prefix:?}");
        }
    }
}
