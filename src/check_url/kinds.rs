//! Every kind of problem: which clients it breaks, and why.
//!
//! Breakage was observed with real clients: Docker 1.4.1, 1.12.6, 20.10, 28.5 and the
//! containerd store of 29, containerd 1.6 and 2.3, skopeo 1.9 and 1.22, podman 4.3, buildah 1.28,
//! crane, oras-go 2.6, `oras` from `PyPI`, `docker-registry-client` 3.4.0 from npm. Docker up to 0.9, cosign,
//! apple/container and caches were not run: their kinds follow from their source code and from RFC 9111.

use crate::note::Severity::{self, Error, Note};

const DOCKER_OLD: &str = "docker <= 0.9";
const DOCKER_V1: &str = "docker <= 1.9";
const DOCKER_20: &str = "docker 1.10-20";
const DOCKER_17: &str = "docker 17.06-20";
const DOCKER_24: &str = "docker <= 24";
const DOCKER_28: &str = "docker 28/29";
const CONTAINERD: &str = "containerd";
const PODMAN: &str = "podman/skopeo/buildah";
const CRANE: &str = "crane";
const ORAS: &str = "oras";
const APPLE: &str = "apple/container";
const DOCKER_MANIFEST: &str = "docker manifest <= 20.10";
const COSIGN: &str = "cosign";
const NPM: &str = "npm v1 client";
const RESUMING: &str = "any that resumes";
const SEARCH: &[&str] = &["docker search", "podman search"];
const UIS: &str = "registry UIs in browsers";
const CACHES: &str = "caches and CDNs";

const V1: &[&str] = &[DOCKER_V1, NPM];
const V2: &[&str] = &[DOCKER_20, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS];
/// Those of a manifest that is missing where v1 has the image: Docker 1.10 to 17.05 pull it over v1 (observed with
/// 1.12.6).
pub(super) const V2_WITHOUT_V1: &[&str] = &[DOCKER_17, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS];
const BOTH: &[&str] = &[
    DOCKER_V1, DOCKER_20, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS, NPM,
];
/// Clients written in Go, which ask for gzip and decompress what is labelled gzip.
const GO: &[&str] = &[
    DOCKER_V1, DOCKER_20, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS,
];
const TLS: &[&str] = &[DOCKER_V1, DOCKER_20, DOCKER_28, CONTAINERD, PODMAN];

/// Those that look for a registry at the root of a host, whatever they are configured to.
pub(super) const ROOT_ONLY: &[&str] = &[DOCKER_24, PODMAN, CRANE, ORAS];
/// Those that cannot ask for `/v2/PATH/NAME` either.
pub(super) const V1_ALONE: &[&str] = &[DOCKER_V1];

pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// The clients that fail; `None` for all that use the API of the path.
    pub(super) breaks: Option<&'static [&'static str]>,
    /// The consequence; empty if it is obvious.
    pub(super) why: &'static str,
    /// Whether the right configuration of the server mends it, whatever its files are.
    pub(super) is_of_configuration: bool,
}

/// The clients that use the API of a path.
pub(super) fn clients_of(path: &str) -> &'static [&'static str] {
    if path.starts_with("/v1/") {
        V1
    } else if path.starts_with("/v2/") {
        V2
    } else {
        &[]
    }
}

macro_rules! kinds {
    ($($group:literal { $($id:ident $name:literal $severity:ident $breaks:expr, $why:literal;)* })*) => {
        $($(pub(super) static $id: Kind = Kind {
            name: $name,
            severity: $severity,
            breaks: $breaks,
            why: $why,
            is_of_configuration: $group,
        };)*)*
        #[cfg(test)]
        static ALL: &[&Kind] = &[$($(&$id),*),*];
    };
}

kinds! {
    // Content, and what is outside the server's configuration.
    false {
        NO_ANSWER "no-answer" Error None, "";
        NO_LIST "no-list" Error Some(BOTH),
            "the server lists no images; is a site served here?";
        MISSING "missing" Error None, "it is listed but cannot be pulled";
        WRONG_CONTENT "wrong-content" Error None, "clients reject it, or pull something other than what was built";
        WRONG_LENGTH "wrong-length" Error None, "it is truncated or has other content";
        STALE_TAG "stale-tag" Error None, "a cache has an old tag, or the upload is incomplete";
        LISTS "lists" Error None, "the lists and the catalogue are from different publishes";
        ANCESTRY "ancestry" Error Some(V1), "a pull fails or never ends";
        NO_CATALOGUE "no-catalogue" Note Some(&[]),
            "without `/index.json`, only what the lists of the APIs name was checked";
        PATH "path" Note None, "";
        INSECURE "insecure" Note Some(&[]), "clients may refuse it; leave out `--insecure` to see";
        PLAIN_HTTP "plain-http" Note Some(TLS), "these clients pull without TLS only if they are configured to";
    }

    // Headers, statuses and redirects.
    true {
        V2_STATUS "v2-status" Error Some(&[PODMAN, CRANE]), "these clients see a registry only if `/v2/` answers 200";
        MANIFEST_TYPE "manifest-type" Error Some(&[DOCKER_20, DOCKER_28, CONTAINERD, PODMAN]),
            "these clients identify a manifest by its Content-Type alone";
        // Docker 20.10, skopeo 1.9, podman 4.3 and containerd 1.6 pull anyway.
        TYPE_PARAMETER "type-parameter" Note Some(&[]),
            "manifest types have no parameters, so a client that compares strictly does not recognise it";
        TAGS_REDIRECT "tags-redirect" Error Some(&[NPM]), "this client treats a redirect as an empty list";
        REDIRECT_308 "redirect-308" Error Some(&[DOCKER_V1]), "Docker 1.x follows only 301, 302, 303 and 307";
        REDIRECT_LOOP "redirect-loop" Error None, "clients give up, and Docker 1.x follows redirects without limit";
        CONTENT_ENCODING "content-encoding" Error Some(GO),
            "these clients decompress what is labelled gzip, but the digest is that of the compressed bytes";
        UNKNOWN_ENCODING "unknown-encoding" Note Some(&[]),
            "clients ignore a Content-Encoding that they do not know";
        COMPRESSED "compressed" Note Some(&[RESUMING]),
            "compression in transit saves nothing and loses the length, and an interrupted transfer starts over";
        REFUSED_MISSING "refused-missing" Error Some(&[COSIGN]), "missing content must give 404; other statuses count as failures";
        FOUND_MISSING "found-missing" Error Some(&[ORAS, COSIGN]),
            "these clients look for tags that may be missing, and take the answer for a broken manifest";
        HTML_ERROR "html-error" Note Some(&[DOCKER_20]), "Docker reports a JSON syntax error instead of what is missing";
        XML_ERROR "xml-error" Note Some(&[DOCKER_20]), "Docker reports a JSON syntax error instead of what is missing";
        HEAD_REFUSED "head-refused" Error Some(&[DOCKER_28, CONTAINERD]), "these clients send HEAD first";
        HEAD_LENGTH "head-length" Error Some(&[DOCKER_20, DOCKER_28]),
            "a HEAD response with a Docker-Content-Digest must give the length of the manifest";
        NO_LENGTH "no-length" Note Some(&[]), "a HEAD response should give the length";
        WRONG_DIGEST "wrong-digest" Error Some(&[DOCKER_28, CONTAINERD, ORAS]),
            "a wrong digest is worse than none";
        NO_TAG_DIGEST "no-tag-digest" Error Some(&[ORAS, APPLE]),
            "these clients need Docker-Content-Digest on tags, as the distribution-spec demands";
        API_VERSION "api-version" Error Some(&[DOCKER_V1]),
            "this header makes Docker 1.6 to 1.9 use v2, where they know only schema 1";
        NO_API_VERSION "no-api-version" Note Some(&[DOCKER_MANIFEST]),
            "this command wants Docker-Distribution-Api-Version on `/v2/`; send it to `Docker-Client/`, or to all if there is no v1";
        NO_RANGE "no-range" Error Some(&[PODMAN, RESUMING]),
            "skopeo 1.22 needs Range, and other clients start an interrupted transfer over";
        NO_ACCEPT_RANGES "no-accept-ranges" Note Some(&[DOCKER_V1, RESUMING]),
            "without `Accept-Ranges: bytes` an interrupted transfer starts over, and in Docker 1.x it fails";
        POINTER_VALIDATOR "pointer-validator" Note Some(&[CACHES]),
            "two publishes within a second can have the same time and length: a cache then gets 304 for new content \
             and keeps the old tag; send neither ETag nor Last-Modified here";
        POINTER_AGE "pointer-age" Note Some(&[CACHES]), "clients may see the next publish that late";
        POINTER_IMMUTABLE "pointer-immutable" Error Some(&[CACHES]),
            "a cache with the old tag or list does not ask again for a day or longer";
        NO_CACHE_CONTROL "no-cache-control" Note Some(&[CACHES]),
            "a cache may keep a tag or list for as long as it likes";
        DOCKER_SIZE "docker-size" Error Some(&[DOCKER_V1]), "a wrong X-Docker-Size makes the pull fail";
        NO_DOCKER_SIZE "no-docker-size" Note Some(&[DOCKER_V1]),
            "without it, Docker 1.x cannot resume an interrupted transfer";
        // A note, since Docker 0.9 is from 2014: a check that fails because of it would help nobody.
        NO_VERSION "no-registry-version" Note Some(&[DOCKER_OLD]),
            "without it, Docker up to 0.9 does not recognise the registry";
        REFERRERS "referrers" Error Some(&[ORAS, COSIGN]), "these clients do not find signatures and SBOMs";
        NO_REFERRERS "no-referrers" Note Some(&[ORAS, COSIGN]),
            "an empty index is better: on a 404 these clients make a second request, for a tag";
        WHOLE_SEARCH "whole-search" Note Some(SEARCH),
            "the list of all repositories answers every search, so these commands show too much";
        NO_CORS "no-cors" Note Some(&[UIS]), "pages of other origins may not read the site";
        DOT_STILLAGE "dot-stillage" Note Some(&[]), "this folder reveals the paths of sources; do not publish or serve it";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
