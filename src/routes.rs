//! The routes of a site: what a request path means, which file answers it, and with which headers. The
//! built-in server uses this module directly; [`crate::server_config`] renders it for other servers.
//! ```text
//! /  /index.html  /_pages/..  /index.json  /oci-layout  /blobs/sha256/<hex>
//! /v1/_ping  /v1/search  /v1/images/<id>/{json,ancestry,checksum,layer}
//! /v1/repositories/<name>/{images,tags,tags/<tag>}
//! /lookaside/<name>@sha256=<hex>/signature-<N>
//! /v2/  /v2/_catalog  /v2/<name>/{tags/list,manifests/<tag|digest>,blobs/<digest>,referrers/<digest>}
//! ```
//! A name has any number of components, which may be `tags` or `blobs` too, so the last two components of a
//! path decide what it is.

use crate::spec::digest::Digest;
use crate::spec::media_type::{MANIFEST_TYPES, OCI_INDEX, page_type};
use crate::spec::v1::V1Id;

pub use crate::spec::media_type::JSON;

const BYTES: &str = "application/octet-stream";

/// A request path that a site may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// A file for browsers: `index.html`, or below `_pages/`.
    Page(&'a str),
    /// `oci-layout` or `index.json`.
    Layout(&'a str),
    /// `blobs/sha256/<hex>`.
    Content(Digest),
    /// A simple-signing signature: its path without `/lookaside/`, and the digest that it signs.
    Signature(&'a str, Digest),
    Ping,
    Search,
    /// The v1 image ids of a repository.
    V1Images(&'a str),
    /// The v1 tags of a repository, with their ids.
    V1Tags(&'a str),
    /// The v1 image id of a tag.
    V1Tag(&'a str, &'a str),
    V1Image(V1Id, V1File),
    /// `v2/`, where clients check whether there is a registry.
    V2,
    Catalog,
    Tags(&'a str),
    /// A manifest by tag.
    Tagged(&'a str, &'a str),
    /// A manifest by digest.
    Manifest(&'a str, Digest),
    Blob(&'a str, Digest),
    /// The referrers of a manifest, which need not exist.
    Referrers(&'a str, &'a str),
}

/// The files of a v1 image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V1File {
    Json,
    /// The image's id and those of its ancestors, down to the base.
    Ancestry,
    /// See [`crate::spec::v1::checksum`].
    Checksum,
    Layer,
}

/// How long clients may cache an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// The path identifies the content.
    Immutable,
    /// The next publish may change the answer.
    Pointer,
}

impl Cache {
    /// The name in data files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Pointer => "pointer",
        }
    }

    /// The value of `Cache-Control`.
    pub fn control(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::Pointer => "public, max-age=60, must-revalidate",
        }
    }
}

impl<'a> Route<'a> {
    /// Parses a percent-decoded path without repeated slashes. `None` if no site answers it.
    pub fn of(path: &'a str) -> Option<Self> {
        match path.strip_prefix('/')? {
            "" | "index.html" => Some(Self::Page("index.html")),
            "v2" | "v2/" => Some(Self::V2),
            "v2/_catalog" => Some(Self::Catalog),
            "v1/_ping" => Some(Self::Ping),
            "v1/search" => Some(Self::Search),
            file @ ("oci-layout" | "index.json") => Some(Self::Layout(file)),
            rest => {
                if let Some(rest) = rest.strip_prefix("v2/") {
                    Self::of_v2(rest)
                } else if let Some(rest) = rest.strip_prefix("v1/images/") {
                    Self::of_v1_image(rest)
                } else if let Some(rest) = rest.strip_prefix("v1/repositories/") {
                    Self::of_v1_repository(rest)
                } else if let Some(rest) = rest.strip_prefix("lookaside/") {
                    Self::of_signature(rest)
                } else if let Some(below) = rest.strip_prefix("_pages/") {
                    let is_page = is_safe(below) && page_type(below).is_some();
                    is_page.then_some(Self::Page(rest))
                } else {
                    let hex = rest.strip_prefix("blobs/sha256/")?;
                    Digest::from_hex(hex).ok().map(Self::Content)
                }
            }
        }
    }

    fn of_v2(rest: &'a str) -> Option<Self> {
        let (before, last) = rest.rsplit_once('/')?;
        let (name, kind) = before.rsplit_once('/')?;
        if !is_safe(name) || !is_safe(last) {
            return None;
        }
        match kind {
            "manifests" => Some(match last.parse() {
                Ok(digest) => Self::Manifest(name, digest),
                Err(_) => Self::Tagged(name, last),
            }),
            "blobs" => last.parse().ok().map(|digest| Self::Blob(name, digest)),
            "tags" if last == "list" => Some(Self::Tags(name)),
            "referrers" => is_digest(last).then_some(Self::Referrers(name, last)),
            _ => None,
        }
    }

    fn of_signature(rest: &'a str) -> Option<Self> {
        let (signed, number) = rest.rsplit_once("/signature-")?;
        let (name, hex) = signed.rsplit_once("@sha256=")?;
        let is_number = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
        let digest = Digest::from_hex(hex).ok()?;
        (is_number && is_safe(name)).then_some(Self::Signature(rest, digest))
    }

    fn of_v1_image(rest: &'a str) -> Option<Self> {
        let (id, file) = rest.split_once('/')?;
        let file = match file {
            "json" => V1File::Json,
            "ancestry" => V1File::Ancestry,
            "checksum" => V1File::Checksum,
            "layer" => V1File::Layer,
            _ => return None,
        };
        Some(Self::V1Image(id.parse().ok()?, file))
    }

    /// `<name>/tags/tags` is both the tag `tags` of `<name>` and the list of tags of `<name>/tags`. It parses
    /// as the tag, and [`Route::files`] returns the files of both.
    fn of_v1_repository(rest: &'a str) -> Option<Self> {
        let rest = rest
            .strip_suffix("/tags/")
            .map_or(rest, |name| &rest[..name.len() + 5]);
        if !is_safe(rest) {
            return None;
        }
        let (before, last) = rest.rsplit_once('/')?;
        match before.rsplit_once('/') {
            Some((name, "tags")) => Some(Self::V1Tag(name, last)),
            _ if last == "images" => Some(Self::V1Images(before)),
            _ if last == "tags" => Some(Self::V1Tags(before)),
            _ => None,
        }
    }

    /// The files that may answer it, relative to the root of the site. The first that exists does.
    pub fn files(&self) -> Vec<String> {
        let repository = |name: &str| format!("v1/repositories/{name}");
        let typed = |name: &str, reference: &str| -> Vec<String> {
            MANIFEST_TYPES
                .iter()
                .map(|(_, extension)| format!("v2/{name}/_types/{reference}.{extension}"))
                .collect()
        };
        match *self {
            Self::Page(file) | Self::Layout(file) => vec![file.into()],
            Self::Content(digest) => vec![format!("blobs/sha256/{}", digest.hex())],
            Self::Signature(path, _) => vec![format!("lookaside/{path}")],
            Self::Ping => vec!["v1/_ping".into()],
            Self::Search => vec!["v1/search".into()],
            Self::V1Images(name) => vec![repository(name) + "/images"],
            Self::V1Tags(name) => vec![repository(name) + "/tags/index.json"],
            Self::V1Tag(name, "tags") => vec![
                repository(name) + "/tags/tags",
                repository(name) + "/tags/tags/index.json",
            ],
            Self::V1Tag(name, tag) => vec![format!("{}/tags/{tag}", repository(name))],
            Self::V1Image(id, file) => vec![format!("v1/images/{id}/{}", file.name())],
            Self::V2 => vec!["v2/index.html".into()],
            Self::Catalog => vec!["v2/_catalog".into()],
            Self::Tags(name) => vec![format!("v2/{name}/tags/list")],
            Self::Tagged(name, tag) => typed(name, tag),
            Self::Manifest(name, digest) => {
                let mut files = typed(name, &format!("{digest}/{digest}"));
                // A site of format 1.
                files.extend(typed(name, &digest.to_string()));
                files
            }
            Self::Blob(name, digest) => vec![format!("v2/{name}/blobs/{digest}")],
            Self::Referrers(name, digest) => vec![format!("v2/{name}/referrers/{digest}")],
        }
    }

    /// The `Content-Type` of one of its files. For a manifest the extension decides.
    pub fn media_type(&self, file: &str) -> &'static str {
        match self {
            Self::Page(file) => page_type(file).unwrap_or(BYTES),
            Self::Content(_)
            | Self::Signature(..)
            | Self::Blob(..)
            | Self::V1Image(_, V1File::Layer) => BYTES,
            Self::Referrers(..) => OCI_INDEX,
            Self::Tagged(..) | Self::Manifest(..) => MANIFEST_TYPES
                .iter()
                .find(|(_, extension)| file.ends_with(&format!(".{extension}")))
                .map_or(JSON, |(media_type, _)| media_type),
            _ => JSON,
        }
    }

    pub fn cache(&self) -> Cache {
        match self {
            Self::Content(_) | Self::V1Image(..) | Self::Manifest(..) | Self::Blob(..) => {
                Cache::Immutable
            }
            _ => Cache::Pointer,
        }
    }

    /// The digest in the path, for `Docker-Content-Digest`.
    pub fn digest(&self) -> Option<Digest> {
        match *self {
            Self::Manifest(_, digest) | Self::Blob(_, digest) => Some(digest),
            _ => None,
        }
    }
}

impl V1File {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ancestry => "ancestry",
            Self::Checksum => "checksum",
            Self::Layer => "layer",
        }
    }
}

/// Whether no component is empty, hidden, or contains a backslash or a control character.
fn is_safe(path: &str) -> bool {
    path.split('/').all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(|c: char| c.is_control() || c == '\\')
    })
}

/// Whether it is a digest of an algorithm registered in image-spec, even one that no site uses.
fn is_digest(text: &str) -> bool {
    let (length, hex) = match text.split_once(':') {
        Some(("sha256" | "blake3", hex)) => (64, hex),
        Some(("sha512", hex)) => (128, hex),
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a path requests the referrers of an invalid digest. Such a request is malformed and gets a 400
/// (distribution-spec, "Listing Referrers").
pub fn asks_of_no_digest(path: &str) -> bool {
    not_found(path) == INVALID_DIGEST
}

const INVALID_DIGEST: &str =
    r#"{"errors":[{"code":"DIGEST_INVALID","message":"invalid digest","detail":null}]}"#;

/// The JSON body for a path without content, in the form of its API (docker-registry 0.9; distribution-spec,
/// "Error Codes").
pub fn not_found(path: &str) -> &'static str {
    let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    let last_two = |rest: &str| -> Option<(bool, String)> {
        let (before, last) = rest.rsplit_once('/')?;
        let (name, kind) = before.rsplit_once('/')?;
        Some((!name.is_empty() && !last.is_empty(), kind.to_owned()))
    };
    if path == "/v2" || path.starts_with("/v2/") {
        return match below("/v2/").and_then(last_two) {
            Some((true, kind)) if kind == "manifests" => {
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":null}]}"#
            }
            Some((true, kind)) if kind == "blobs" => {
                r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":null}]}"#
            }
            Some((true, kind)) if kind == "referrers" => INVALID_DIGEST,
            _ => {
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":null}]}"#
            }
        };
    }
    if path.starts_with("/v1/images/") {
        return r#"{"error": "Image not found"}"#;
    }
    match path.strip_prefix("/v1/repositories/") {
        Some(rest) => match last_two(rest) {
            Some((true, kind)) if kind == "tags" => r#"{"error": "Tag not found"}"#,
            _ => r#"{"error": "Repository not found"}"#,
        },
        None => r#"{"error": "Not found"}"#,
    }
}

/// The JSON body for methods other than GET and HEAD.
pub fn read_only(path: &str) -> &'static str {
    if is_v1(path) {
        r#"{"error": "This registry is read-only"}"#
    } else {
        r#"{"errors":[{"code":"UNSUPPORTED","message":"this registry is read-only","detail":null}]}"#
    }
}

/// The JSON body for a range beyond the end of a file. `UNSUPPORTED` is the closest of the codes that distribution-spec
/// allows.
pub fn no_such_range(path: &str) -> &'static str {
    if path.starts_with("/v2/") {
        r#"{"errors":[{"code":"UNSUPPORTED","message":"no such range","detail":null}]}"#
    } else {
        r#"{"error": "No such range"}"#
    }
}

/// Whether a path belongs to the v1 API, whose answers carry [`V1_VERSION`].
pub fn is_v1(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// `Docker-Distribution-Api-Version`.
pub const V2_VERSION: &str = "registry/2.0";

/// Whether an answer of `/v2/` says [`V2_VERSION`]. `docker manifest` of Docker up to 20.10 wants it, as does whoever
/// has no v1 to turn to. The daemons of Docker 1.6 to 1.9 must not get it: they would not look for v1 then, and
/// cannot read the manifests of v2.
pub fn says_v2_version(user_agent: &str, has_v1: bool) -> bool {
    !has_v1 || user_agent.starts_with("Docker-Client/")
}

/// The methods that a site answers, for `Allow`.
pub const METHODS: &str = "GET, HEAD, OPTIONS";

/// The headers of every answer of a public site, with which pages of other origins may read it (Fetch standard, "CORS
/// protocol"): a registry UI needs digests, and `Link` for the pages of a list. Nobody logs in, so there is nothing
/// that `*` would give away.
pub const CORS: [(&str, &str); 2] = [
    ("Access-Control-Allow-Origin", "*"),
    (
        "Access-Control-Expose-Headers",
        "Docker-Content-Digest, Link",
    ),
];

/// What OPTIONS answers as well, with status 204. Browsers ask before they send a long `Accept`. `*` does not include
/// `Authorization`. The age is in seconds.
pub const PREFLIGHT: [(&str, &str); 4] = [
    ("Allow", METHODS),
    ("Access-Control-Allow-Methods", METHODS),
    ("Access-Control-Allow-Headers", "Authorization, *"),
    ("Access-Control-Max-Age", "86400"),
];

/// `X-Docker-Registry-Version`. Docker up to 0.9 does not accept a server without it as a registry.
pub const V1_VERSION: &str = "0.6.0";

/// The referrers of a manifest without any.
pub const NO_REFERRERS: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
