//! Pulling: every manifest and blob of a repository, in whole and in part.

use super::{Case, Repository, case};
use crate::support::http::Response;
use crate::support::layout::Manifest;
use crate::support::row::{Row, get, row};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Every manifest and blob, by GET and HEAD.
pub(super) fn content(of: &Repository) -> Vec<Case> {
    let mut cases = Vec::new();
    for (tag, digest) in &of.layout.tags {
        let manifest = &of.layout.manifests[digest];
        let path = of.at(format!("manifests/{tag}"));
        let by_tag = |method| manifest_row(row(method, &path), manifest, digest);
        cases.extend([
            case("TestHeadManifestTag", by_tag("HEAD")),
            case("TestPullManifestTag", by_tag("GET")),
            case(
                "TestPullManifestTag RequireDigestHeader",
                get(&path).has("Docker-Content-Digest", digest),
            ),
        ]);
    }
    for (digest, manifest) in &of.layout.manifests {
        let path = of.at(format!("manifests/{digest}"));
        let by_digest = |method| {
            let row = manifest_row(row(method, &path), manifest, digest);
            row.has("Docker-Content-Digest", digest)
        };
        cases.push(case("TestHeadManifestDigest", by_digest("HEAD")));
        cases.push(case("TestPullManifestDigest", by_digest("GET")));
    }
    for (digest, bytes) in &of.layout.blobs {
        let path = of.at(format!("blobs/{digest}"));
        let blob = |method| {
            let row = row(method, &path).get_alone().body(bytes.as_slice());
            row.has("Docker-Content-Digest", digest)
        };
        let head = match bytes.len() {
            0 => "TestHeadBlob empty-blob",
            _ => "TestHeadBlob",
        };
        cases.extend([case(head, blob("HEAD")), case("TestPullBlob", blob("GET"))]);
    }
    cases
}

/// The type is that of the descriptor, in full, whatever the client would rather have: what is there is
/// what it asked for by name ("Pulling manifests").
fn manifest_row(row: Row, manifest: &Manifest, digest: &str) -> Row {
    row.with("Accept", INDEX)
        .has("Content-Type", &manifest.media_type)
        .body(manifest.bytes.as_slice())
        .also(digest_if_any(digest))
}

/// `Docker-Content-Digest` is this one ("Pulling manifests"), or is not there.
fn digest_if_any(digest: &str) -> impl Fn(&Response) -> Option<String> + use<> {
    let digest = digest.to_owned();
    move |answer| {
        let have = answer.header("Docker-Content-Digest")?;
        (have != digest).then(|| format!("Docker-Content-Digest: {have}"))
    }
}

/// "Pulling blobs": ranges of RFC 9110.
pub(super) fn ranges(of: &Repository) -> Vec<Case> {
    let (digest, bytes) = of
        .layout
        .blobs
        .iter()
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    let size = bytes.len();
    let part = |range: &str, from: usize, to: usize| {
        let row = get(of.at(format!("blobs/{digest}")))
            .get_alone()
            .with("Range", range);
        let row = row.status(206).body(&bytes[from..to]);
        let row = row.has("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
        case(
            "TestBlobAPIs range requests",
            row.has("Docker-Content-Digest", digest),
        )
    };
    vec![
        part("bytes=50-149", 50, 150),
        part("bytes=50-", 50, size),
        part("bytes=-50", size - 50, size),
        part("bytes=150-999999", 150, size),
    ]
}
