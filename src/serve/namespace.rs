//! Names of other registries: which repository a request means in a site whose names begin with hosts, as
//! `--full-names` makes them.
//!
//! containerd says in the query which registry it wants a name of (distribution-spec, "Registry Proxying"). Docker asks
//! its mirror for names of Docker Hub alone, and does not say so: Docker up to 24 leaves the host out.

use std::borrow::Cow;

use hyper::header::HeaderValue;

use crate::routes::Route;

/// The parameter of a query with the host of the registry that is meant.
pub(super) const PARAMETER: &str = "ns";
/// The header of an answer that the parameter has decided.
pub(super) const HEADER: &str = "OCI-Namespace";
/// The host of Docker Hub in names.
const HUB: &str = "docker.io";

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meant<'a> {
    /// The path that answers it; `None` if there is nothing of that registry.
    pub(super) path: Option<Cow<'a, str>>,
    /// The value of [`HEADER`].
    pub(super) namespace: Option<HeaderValue>,
}

/// Finds out what the decoded path of a request means. `ns` is the decoded parameter.
/// `has_folder` looks up a folder of the site below `v2/`.
pub(super) fn meant<'a>(
    path: &'a str,
    ns: Option<&str>,
    has_folder: impl Fn(&str) -> bool,
) -> Meant<'a> {
    let as_asked = Meant {
        path: Some(path.into()),
        namespace: None,
    };
    let Some((name, rest)) = repository(path) else {
        return as_asked;
    };
    // What is no host is of no registry that the site has.
    let ns = ns.filter(|ns| !ns.is_empty());
    let ns = ns.map(|ns| (ns, host(ns).unwrap_or("-")));
    let short = name.strip_prefix("docker.io/").unwrap_or("/");
    if !short.contains('/') && has_folder(HUB) && ns.is_none() {
        return Meant {
            path: Some(format!("/v2/{HUB}/library/{short}{rest}").into()),
            namespace: None,
        };
    }
    let first = name.split('/').next().unwrap_or_default();
    let has_host = first.contains(['.', ':']) || first == "localhost";
    let asked_of = |host: &str| Meant {
        path: Some(if first == host && first.len() < name.len() {
            path.into()
        } else if host == HUB && first.len() == name.len() {
            format!("/v2/{HUB}/library/{name}{rest}").into()
        } else {
            format!("/v2/{host}/{name}{rest}").into()
        }),
        namespace: ns.and_then(|(asked, _)| HeaderValue::from_str(asked).ok()),
    };
    match ns {
        Some((_, host)) if host != HUB && has_folder(host) => asked_of(host),
        // Never the image of the same name on Docker Hub.
        Some((_, host)) if host != HUB && !has_host && has_folder(HUB) => Meant {
            path: None,
            namespace: None,
        },
        Some((_, HUB)) if has_host && has_folder(HUB) => asked_of(HUB),
        Some((_, HUB)) | None
            if !has_host && has_folder(HUB) && !has_folder(&format!("{name}/tags")) =>
        {
            asked_of(HUB)
        }
        _ => as_asked,
    }
}

/// The name of the repository in a path, and what comes after it.
fn repository(path: &str) -> Option<(&str, &str)> {
    let (Route::Tags(name)
    | Route::Tagged(name, _)
    | Route::Manifest(name, _)
    | Route::Blob(name, _)
    | Route::Referrers(name, _)) = Route::of(path)?
    else {
        return None;
    };
    Some((name, path.strip_prefix("/v2/")?.strip_prefix(name)?))
}

/// The host in `HOST[:PORT]`, as names in a site have it: without the port. `None` if it is not
/// `[a-z0-9]+([.-]+[a-z0-9]+)*`.
pub(super) fn host(ns: &str) -> Option<&str> {
    let (host, port) = ns.split_once(':').unwrap_or((ns, "0"));
    let is_port = !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_host = host.bytes().all(|c| is_inner(c) || c == b'.' || c == b'-')
        && host.bytes().next().is_some_and(is_inner)
        && host.bytes().next_back().is_some_and(is_inner);
    (is_host && is_port).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site with names of three registries, and with names without a host.
    const FULL: &[&str] = &[
        "docker.io",
        "docker.io/library/alpine",
        "docker.io/org/app",
        "quay.io",
        "registry.example",
        "library/own/tags",
        "library",
        "org",
    ];
    const PLAIN: &[&str] = &["library/alpine/tags", "library", "org/app/tags", "org"];

    /// The name that answers a name, `-` for none, and the header.
    fn of(site: &[&str], name: &str, ns: Option<&str>) -> (String, Option<String>) {
        let path = format!("/v2/{name}/manifests/1");
        let meant = meant(&path, ns, |folder| site.contains(&folder));
        let name = meant.path.map_or("-".into(), |path| {
            let name = path.strip_prefix("/v2/").unwrap();
            name.strip_suffix("/manifests/1").unwrap().to_owned()
        });
        let header = meant.namespace.map(|ns| ns.to_str().unwrap().to_owned());
        (name, header)
    }

    #[test]
    fn a_registry_is_asked_for_by_its_host() {
        for (name, ns, found, has_header) in [
            ("org/app", "quay.io", "quay.io/org/app", true),
            ("org/app", "quay.io:443", "quay.io/org/app", true),
            ("app", "quay.io", "quay.io/app", true),
            // containerd with `override_path`.
            ("quay.io/org/app", "quay.io", "quay.io/org/app", true),
            ("docker.io/org/app", "docker.io", "docker.io/org/app", true),
            ("quay.io", "quay.io", "quay.io/quay.io", true),
            ("other.io/app", "quay.io", "quay.io/other.io/app", true),
            (
                "library/alpine",
                "docker.io",
                "docker.io/library/alpine",
                true,
            ),
            ("alpine", "docker.io", "docker.io/library/alpine", true),
            ("library/none", "docker.io", "docker.io/library/none", true),
            ("library/own", "docker.io", "library/own", false),
            ("library/alpine", "ghcr.io", "-", false),
            ("library/own", "ghcr.io", "-", false),
            ("quay.io/org/app", "ghcr.io", "quay.io/org/app", false),
            ("localhost/app", "ghcr.io", "localhost/app", false),
        ] {
            let header = has_header.then(|| ns.to_owned());
            let expected = (found.to_owned(), header);
            assert_eq!(of(FULL, name, Some(ns)), expected, "{name} of {ns}");
        }
    }

    #[test]
    fn a_name_without_a_host_is_of_docker_hub() {
        for (name, found) in [
            ("alpine", "docker.io/library/alpine"),
            ("library/alpine", "docker.io/library/alpine"),
            ("org/app", "docker.io/org/app"),
            ("library/own", "library/own"),
            ("quay.io/org/app", "quay.io/org/app"),
            ("none.io/app", "none.io/app"),
            ("localhost/app", "localhost/app"),
        ] {
            assert_eq!(of(FULL, name, None), (found.to_owned(), None), "{name}");
        }
    }

    #[test]
    fn a_site_without_full_names_knows_no_hosts() {
        for name in ["library/alpine", "org/app", "none", "quay.io/org/app"] {
            for ns in [None, Some("docker.io"), Some("quay.io"), Some("x")] {
                assert_eq!(
                    of(PLAIN, name, ns),
                    (name.to_owned(), None),
                    "{name} {ns:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_host_is_no_registry() {
        let long = "a".repeat(70_000);
        for ns in [
            ".",
            "..",
            "../..",
            "/etc",
            "quay.io/",
            "quay.io/..",
            "quay.io/../docker.io",
            "quay.io\0",
            "quay.io\r\nX: y",
            "quay.io\n",
            " quay.io",
            "quay.io ",
            "Quay.io",
            "QUAY.IO",
            "quay.io:",
            "quay.io:x",
            "quay.io:443:443",
            "quay.io:+443",
            "quay.io:443\r\nX: y",
            "[::1]:5000",
            "::1",
            ".quay.io",
            "quay.io.",
            "-quay.io",
            "quay.io-",
            "quay_io",
            "quay\\io",
            "quäy.io",
            "quay.io%2f",
            "*",
            "https://quay.io",
            "user@quay.io",
            &long,
        ] {
            // No look-up but those that every request makes.
            let path = "/v2/org/app/manifests/1";
            let meant = meant(path, Some(ns), |folder| {
                assert!([HUB, "-"].contains(&folder) || folder == long, "{folder}");
                folder == HUB
            });
            assert_eq!((meant.namespace, meant.path), (None, None), "{ns}");
        }
    }

    #[test]
    fn only_repositories_have_a_namespace() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (path, found) in [
            ("/v2/".to_owned(), None),
            ("/v2/_catalog".to_owned(), None),
            ("/v1/repositories/library/alpine/tags".to_owned(), None),
            ("/v2/org/app/uploads/x".to_owned(), None),
            (
                "/v2/org/app/tags/list".to_owned(),
                Some("/v2/quay.io/org/app/tags/list".to_owned()),
            ),
            (
                format!("/v2/a/manifests/{digest}"),
                Some(format!("/v2/quay.io/a/manifests/{digest}")),
            ),
            (
                format!("/v2/a/blobs/{digest}"),
                Some(format!("/v2/quay.io/a/blobs/{digest}")),
            ),
            (
                format!("/v2/a/referrers/{digest}"),
                Some(format!("/v2/quay.io/a/referrers/{digest}")),
            ),
        ] {
            let meant = meant(&path, Some("quay.io"), |folder| folder == "quay.io");
            assert_eq!(meant.namespace.is_some(), found.is_some(), "{path}");
            assert_eq!(
                meant.path.as_deref(),
                Some(found.as_deref().unwrap_or(&path)),
                "{path}"
            );
        }
    }
}
