//! Every kind of problem, with the clients that fail for it and why.
//!
//! What breaks whom was observed with real clients: Docker 1.4.1, 1.12.6, 20.10, 28.5 and the
//! containerd store of 29, containerd 1.6 and 2.3, skopeo 1.9 and 1.22, podman 4.3, buildah 1.28,
//! crane, oras-go 2.6, `oras` of `PyPI`, `docker-registry-client` 3.4.0 of npm. Docker up to 0.9, cosign
//! and caches were not run: their kinds follow from their source and from RFC 9111.

use crate::note::Severity::{self, Error, Note};

const DOCKER_OLD: &str = "docker <= 0.9";
const DOCKER_V1: &str = "docker <= 1.9";
const DOCKER_20: &str = "docker 1.10-20";
const DOCKER_28: &str = "docker 28/29";
const CONTAINERD: &str = "containerd";
const PODMAN: &str = "podman/skopeo/buildah";
const CRANE: &str = "crane";
const ORAS: &str = "oras";
const COSIGN: &str = "cosign";
const NPM: &str = "npm v1 client";
const RESUMING: &str = "any that resumes";
const CACHES: &str = "caches and CDNs";

const V1: &[&str] = &[DOCKER_V1, NPM];
const V2: &[&str] = &[DOCKER_20, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS];
const BOTH: &[&str] = &[
    DOCKER_V1, DOCKER_20, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS, NPM,
];
/// What is written in Go asks for gzip and unpacks what is called gzip, and is all that pulls layers.
const GO: &[&str] = &[
    DOCKER_V1, DOCKER_20, DOCKER_28, CONTAINERD, PODMAN, CRANE, ORAS,
];
const TLS: &[&str] = &[DOCKER_V1, DOCKER_20, DOCKER_28, CONTAINERD, PODMAN];

/// A kind of problem.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// `None`: whoever uses the API that the path belongs to.
    pub(super) breaks: Option<&'static [&'static str]>,
    /// What follows from it; empty where that goes without saying.
    pub(super) why: &'static str,
}

/// Who uses the API of a path.
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
    ($($id:ident $name:literal $severity:ident $breaks:expr, $why:literal;)*) => {
        $(pub(super) static $id: Kind = Kind {
            name: $name,
            severity: $severity,
            breaks: $breaks,
            why: $why,
        };)*
        #[cfg(test)]
        static ALL: &[&Kind] = &[$(&$id),*];
    };
}

kinds! {
    // Content.
    NO_ANSWER "no-answer" Error None, "";
    NO_LIST "no-list" Error Some(BOTH),
        "nothing here says what there is to pull; is it the root of a site, and is the server its own?";
    MISSING "missing" Error None, "it is listed and cannot be pulled";
    WRONG_CONTENT "wrong-content" Error None, "clients refuse it, or get something else than was built";
    WRONG_LENGTH "wrong-length" Error None, "it is cut off, or other content";
    STALE_TAG "stale-tag" Error None, "a cache keeps an old tag, or the upload was not complete";
    LISTS "lists" Error None, "lists and catalogue are not of one publish";
    ANCESTRY "ancestry" Error Some(V1), "a pull fails or never ends";

    // Manners.
    V2_STATUS "v2-status" Error Some(&[PODMAN, CRANE]), "they take anything but 200 at `/v2/` for no registry";
    MANIFEST_TYPE "manifest-type" Error Some(&[DOCKER_20, DOCKER_28, CONTAINERD, PODMAN]),
        "they know what a manifest is by its Content-Type alone";
    // Docker 20.10, skopeo 1.9, podman 4.3 and containerd 1.6 were seen to pull all the same.
    TYPE_PARAMETER "type-parameter" Note Some(&[]),
        "the types of manifests have no parameters, and a client that compares them takes this for another one";
    TAGS_REDIRECT "tags-redirect" Error Some(&[NPM]), "it takes a redirect for an empty list";
    REDIRECT_308 "redirect-308" Error Some(&[DOCKER_V1]), "it follows 301, 302, 303 and 307 only";
    REDIRECT_LOOP "redirect-loop" Error None, "redirects have no end, and Docker 1.x follows them without any limit";
    CONTENT_ENCODING "content-encoding" Error Some(GO),
        "they unpack what is called gzip, and the digest is that of the packed bytes";
    COMPRESSED "compressed" Note Some(&[RESUMING]),
        "compression on the way costs time and length, gains nothing, and a cut transfer starts anew";
    REFUSED_MISSING "refused-missing" Error Some(&[COSIGN]), "what is missing must be a 404, or it is taken for a failure";
    FOUND_MISSING "found-missing" Error Some(&[ORAS, COSIGN]),
        "they look for tags that may be missing, and take the answer for a broken manifest";
    HTML_ERROR "html-error" Note Some(&[DOCKER_20]), "it reports a syntax error in JSON instead of what is missing";
    HEAD_REFUSED "head-refused" Error Some(&[DOCKER_28, CONTAINERD]), "they ask by HEAD first";
    HEAD_LENGTH "head-length" Error Some(&[DOCKER_20, DOCKER_28]),
        "a HEAD with a Docker-Content-Digest must say the length of the manifest";
    NO_LENGTH "no-length" Note Some(&[]), "a HEAD should say the length in Content-Length";
    WRONG_DIGEST "wrong-digest" Error Some(&[DOCKER_28, CONTAINERD, ORAS]),
        "a wrong Docker-Content-Digest is worse than none";
    NO_TAG_DIGEST "no-tag-digest" Note Some(&[ORAS]), "`oras discover` needs Docker-Content-Digest at tags";
    API_VERSION "api-version" Error Some(&[DOCKER_V1]),
        "with Docker-Distribution-Api-Version, Docker 1.6 to 1.9 speak v2, where they know schema 1 only";
    NO_RANGE "no-range" Error Some(&[PODMAN, RESUMING]),
        "skopeo 1.22 needs Range, and everybody else starts a cut transfer anew";
    NO_ACCEPT_RANGES "no-accept-ranges" Note Some(&[DOCKER_V1, RESUMING]),
        "without `Accept-Ranges: bytes` a cut transfer starts anew, and fails in Docker 1.x";
    POINTER_VALIDATOR "pointer-validator" Note Some(&[CACHES]),
        "time and length do not tell two publishes within a second apart: a cache gets 304 for new content \
         and keeps the old tag; send neither ETag nor Last-Modified there";
    POINTER_AGE "pointer-age" Note Some(&[CACHES]), "what is published next arrives that late";
    POINTER_IMMUTABLE "pointer-immutable" Error Some(&[CACHES]),
        "whoever has the old tag or list is not going to ask again for a day or longer";
    NO_CACHE_CONTROL "no-cache-control" Note Some(&[CACHES]),
        "a cache may keep a tag or list as long as it sees fit";
    DOCKER_SIZE "docker-size" Error Some(&[DOCKER_V1]), "a wrong X-Docker-Size fails the pull";
    NO_DOCKER_SIZE "no-docker-size" Note Some(&[DOCKER_V1]),
        "without X-Docker-Size, Docker 1.x cannot resume a cut transfer";
    // Docker 0.9 is of 2014: a check that fails for its sake would be of no use to anybody.
    NO_VERSION "no-registry-version" Note Some(&[DOCKER_OLD]),
        "it takes a server without X-Docker-Registry-Version for no registry";
    REFERRERS "referrers" Error Some(&[ORAS, COSIGN]), "they do not find signatures and SBOMs";
    NO_REFERRERS "no-referrers" Note Some(&[ORAS, COSIGN]),
        "of what nothing is attached to, referrers should be an empty index: they ask a second time, by a tag";
    DOT_STILLAGE "dot-stillage" Note Some(&[]), "the folder says where sources lay; never publish or serve it";
    NO_CATALOGUE "no-catalogue" Note Some(&[]),
        "without `/index.json` only what the lists of the APIs name could be checked";
    PLAIN_HTTP "plain-http" Note Some(TLS), "they pull without TLS only where they are told to";
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
