//! The address of a server, and where a redirect leads.

use anyhow::bail;
use ureq::http::Uri;

use crate::error::{WithHint as _, escaped};

/// Where a site is served: at the root of a host, or below a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SiteUrl {
    /// Scheme, host and port: `https://host:443`.
    host: String,
    /// The path that precedes those of the site, as it is requested: `/hub`. Empty at the root.
    prefix: String,
}

impl SiteUrl {
    /// Parses `http://HOST[:PORT][/PATH]` or the same with `https`. Fails if there is a query, a fragment or a login.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let invalid = || anyhow::anyhow!("`{}` is not the address of a server", escaped(text));
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(invalid())
                .hint("give an address like `https://HOST` or `http://HOST:PORT`");
        };
        if authority.as_str().contains('@') {
            return Err(anyhow::anyhow!(
                "the address contains a user name or password"
            ))
            .hint("leave them out: only a server without a login can be checked");
        }
        if authority.host().is_empty() || !matches!(scheme, "http" | "https") {
            return Err(invalid())
                .hint("give an address like `https://HOST` or `http://HOST:PORT`");
        }
        let host = format!("{scheme}://{authority}");
        if let Some(port) = authority.as_str().strip_prefix(authority.host())
            && port.len() > 1
            && authority.port_u16().is_none()
        {
            return Err(invalid()).hint(format!("`{}` is not a port", escaped(&port[1..])));
        }
        let prefix = below(uri.path()).to_owned();
        if uri.query().is_some() || text.contains('#') {
            return Err(anyhow::anyhow!(
                "`{}` has a query or a fragment",
                escaped(text)
            ))
            .hint(format!(
                "leave it out: check `{}/`",
                escaped(host + &prefix)
            ));
        }
        Ok(Self { host, prefix })
    }

    /// The address of a path of the site.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{}{path}", self.host, self.prefix)
    }

    /// The path that precedes those of the site; empty at the root of the host.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The root of the same host.
    pub(super) fn root(&self) -> Self {
        Self {
            host: self.host.clone(),
            prefix: String::new(),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.host.starts_with("https://")
    }

    /// Whether requests cross a network without TLS.
    pub(super) fn is_plain(&self) -> bool {
        self.host.starts_with("http://") && !self.is_local()
    }

    /// Whether the host is this machine.
    pub(super) fn is_local(&self) -> bool {
        let uri: Option<Uri> = self.host.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// The path of a site, whose files may be given instead of it: those of its catalogue and of its APIs.
fn below(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    // A site may itself lie at `/hub/v2`.
    if matches!(path, "/v1" | "/v2") {
        return "";
    }
    let mut files = ["/index.json", "/v2/_catalog", "/v1/_ping"].iter();
    let site = files.find_map(|file| path.strip_suffix(file));
    site.unwrap_or(path).trim_end_matches('/')
}

/// The URL that somebody means who gives `HOST:PORT` or a host name with a dot, with or without a path; `None` if the
/// text does not look like that.
pub(crate) fn meant(text: &str) -> Option<String> {
    let (authority, _) = text.split_at(text.find('/').unwrap_or(text.len()));
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let (host, has_port) = match authority.rsplit_once(':') {
        Some((host, digits)) if port(digits) => (host, true),
        _ => (authority, false),
    };
    let is_label = |label: &str| {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.chars().all(is_legal)
    };
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = host.split('.').all(is_label);
    let is_server = is_v6 || (is_name && (has_port || host.contains('.') || host == "localhost"));
    let plain = SiteUrl::parse(&format!("http://{text}")).ok()?;
    let scheme = if plain.is_local() { "http" } else { "https" };
    is_server.then(|| format!("{scheme}://{text}"))
}

/// Resolves the `Location` of an answer from `from` (RFC 3986, section 5.2, without removing dot segments).
/// Fails if the target is not HTTP.
pub(super) fn resolve(from: &str, location: &str) -> anyhow::Result<String> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, rest) = from.split_once("://").unwrap_or(("http", from));
    let slash = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let lower = location.to_ascii_lowercase();
    let to = if lower.starts_with("http://") || lower.starts_with("https://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if is_other_scheme(location) {
        bail!("it redirects to `{}`", escaped(location));
    } else {
        let path = path.split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
        let relative = location.trim_start_matches("./");
        format!("{scheme}://{authority}{folder}{relative}")
    };
    match to.parse::<Uri>() {
        Ok(_) => Ok(to),
        Err(_) => bail!("it redirects to `{}`", escaped(location)),
    }
}

/// Whether a reference begins with a scheme. By RFC 3986 a relative `sha256:..` does too.
fn is_other_scheme(location: &str) -> bool {
    location
        .split_once(':')
        .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_path_are_taken() {
        for (text, root) in [
            ("https://host", "https://host/"),
            ("https://host/", "https://host/"),
            ("HTTP://[::1]:5000", "http://[::1]:5000/"),
            ("https://host/hub", "https://host/hub/"),
            ("https://host/v2/", "https://host/"),
            ("https://host/hub/index.json", "https://host/hub/"),
            ("https://host/a%20b/hub//", "https://host/a%20b/hub/"),
        ] {
            assert_eq!(SiteUrl::parse(text).unwrap().join("/"), root);
        }
        let below = SiteUrl::parse("https://host:1/hub/").unwrap();
        assert_eq!(below.prefix(), "/hub");
        assert_eq!(below.root().join("/v2/"), "https://host:1/v2/");
        for text in [
            "https://",
            "https://host:99999",
            "https:///x",
            "https://host/?q",
            "https://host/#x",
            "https://host/hub?q",
            "https://host/hub#x",
            "https://user:secret@host/",
            "ftp://host/",
            "https://a b/",
        ] {
            let error = SiteUrl::parse(text).unwrap_err();
            assert!(!format!("{error:?}").contains("secret"), "{text}");
        }
        assert!(SiteUrl::parse("http://registry.test").unwrap().is_plain());
        for local in [
            "http://localhost:1",
            "http://127.0.0.9",
            "http://[::1]",
            "https://a",
        ] {
            assert!(!SiteUrl::parse(local).unwrap().is_plain(), "{local}");
        }
    }

    #[test]
    fn what_looks_like_a_server_is_known() {
        for (text, url) in [
            ("localhost", "http://localhost"),
            ("localhost:5000", "http://localhost:5000"),
            ("127.0.0.1:5000/hub", "http://127.0.0.1:5000/hub"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("registry:5000", "https://registry:5000"),
            ("registry.example", "https://registry.example"),
            ("registry.example:443/x", "https://registry.example:443/x"),
        ] {
            assert_eq!(meant(text).as_deref(), Some(url), "{text}");
        }
        for text in [
            "site",
            "./site",
            "../x.y",
            "/srv/x.y",
            ".hidden",
            "site/x.y",
            "a:b",
            "a:0",
            "a:70000",
            ":5000",
            "::1:5000",
            "user@host:1",
            "a_b.c",
            "host.x/?q",
            "",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
    }

    #[test]
    fn locations_are_resolved() {
        let from = "http://h:1/v2/a/manifests/t?x=/y";
        for (location, to) in [
            ("./sha256:1", "http://h:1/v2/a/manifests/sha256:1"),
            ("t2", "http://h:1/v2/a/manifests/t2"),
            ("/x#y", "http://h:1/x"),
            ("//other/x", "http://other/x"),
            ("https://other/x", "https://other/x"),
        ] {
            assert_eq!(resolve(from, location).unwrap(), to);
        }
        for location in ["sha256:1", "file:///etc/passwd", "http://a b/"] {
            assert!(resolve(from, location).is_err(), "{location}");
        }
    }
}
