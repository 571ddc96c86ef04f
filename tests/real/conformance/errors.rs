//! What is not there, what is no question, and what a registry that is only read refuses.

use super::discovery::lists;
use super::{Case, Repository, case};
use crate::support::row::{Row, get, row};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const ABSENT: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn missing_manifest(path: String) -> Row {
    get(path).v2_error(404, "MANIFEST_UNKNOWN", "manifest unknown")
}

/// What is not there. `other` has what `of` has not.
pub(super) fn missing(of: &Repository, other: &Repository) -> Vec<Case> {
    let blob = |path: String| get(path).v2_error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    let name = "repository name not known to registry";
    let none = || get("/v2/conformance/none/tags/list").v2_error(404, "NAME_UNKNOWN", name);
    let empty = |path: String| get(path).has("Content-Type", INDEX).also(lists(Vec::new()));
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let foreign_manifest = other.layout.manifests.keys().next().unwrap();
    let mut foreign = other.layout.blobs.keys();
    let foreign_blob = foreign
        .find(|digest| !of.layout.blobs.contains_key(*digest))
        .unwrap();
    vec![
        case("TestPing", get("/v2/")),
        case("TestEmptyTagList", none()),
        case(
            "TestEmptyReferrers",
            empty(of.at(format!("referrers/{ABSENT}"))),
        ),
        case(
            "TestEmptyReferrers",
            empty(of.at(format!("referrers/{sha512}"))),
        ),
        case(
            "TestEmptyReferrers",
            empty(format!("/v2/conformance/none/referrers/{ABSENT}")),
        ),
        case(
            "TestBlobAPIs get-missing",
            blob(of.at(format!("blobs/{ABSENT}"))),
        ),
        case(
            "TestBlobAPIs get-missing",
            blob(of.at(format!("blobs/{sha512}"))),
        ),
        case(
            "TestManifestErrors missing-manifest by-digest",
            missing_manifest(of.at(format!("manifests/{ABSENT}"))),
        ),
        case(
            "TestManifestErrors missing-manifest by-digest",
            missing_manifest(of.at(format!("manifests/{sha512}"))),
        ),
        case(
            "TestManifestErrors missing-manifest by-tag",
            missing_manifest(of.at("manifests/missing")),
        ),
        case(
            "TestManifestErrors invalid-digest-format",
            missing_manifest(of.at("manifests/sha256:baddigeststring")),
        ),
        // "Pulling manifests", "Pulling blobs": found is what is in this repository.
        case(
            "Pulling manifests: 404",
            missing_manifest(of.at(format!("manifests/{foreign_manifest}"))),
        ),
        case(
            "Pulling blobs: 404",
            blob(of.at(format!("blobs/{foreign_blob}"))),
        ),
        case(
            "Pulling manifests: 404",
            missing_manifest("/v2/conformance/none/manifests/image".into()),
        ),
        // "Registry Proxying": a parameter that only a proxy knows.
        case(
            "Registry Proxying: ns",
            get(of.at("manifests/image?ns=docker.io")),
        ),
    ]
}

/// References and digests that are none.
pub(super) fn malformed(of: &Repository) -> Vec<Case> {
    let mut cases = Vec::new();
    // "Pulling manifests": a reference in any other format.
    let long = "a".repeat(129);
    for reference in ["-a", ".a", "a%20b", "a:b", "%C3%A9", &long] {
        let path = of.at(format!("manifests/{reference}"));
        cases.push(case("Pulling manifests: format", missing_manifest(path)));
    }
    cases.push(case(
        "Pulling manifests: format, no file name",
        missing_manifest(of.at(format!("manifests/{}", "a".repeat(256)))),
    ));
    // "Listing Referrers": a digest with an invalid syntax.
    let hex = "a".repeat(64);
    for digest in [
        "latest".to_owned(),
        "sha256:".into(),
        "sha256:abc".into(),
        "sha256:baddigeststring".into(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{hex}a"),
        format!("sha512:{hex}"),
        hex,
    ] {
        let path = of.at(format!("referrers/{digest}"));
        let refused = get(path).v2_error(400, "DIGEST_INVALID", "invalid digest");
        cases.push(case("Listing Referrers: 400", refused));
    }
    cases
}

/// "Deleting tags", "Deleting Manifests", "Deleting Blobs": 400 or 405 where that is disabled. A push is
/// refused as clearly.
pub(super) fn writes(of: &Repository) -> Vec<Case> {
    let digest = of.layout.manifests.keys().next().unwrap();
    let blob = of.layout.blobs.keys().next().unwrap();
    let refused = |method, path: String| {
        row(method, of.at(path)).v2_error(405, "UNSUPPORTED", "this registry is read-only")
    };
    vec![
        case("TestDeleteTag", refused("DELETE", "manifests/image".into())),
        case(
            "TestDeleteManifest",
            refused("DELETE", format!("manifests/{digest}")),
        ),
        case("TestDeleteBlob", refused("DELETE", format!("blobs/{blob}"))),
        case(
            "TestPushManifestTag",
            refused("PUT", "manifests/new".into()),
        ),
        case(
            "TestPushManifestDigest",
            refused("PUT", format!("manifests/{digest}")),
        ),
        case(
            "TestPushBlobPostPut",
            refused("POST", "blobs/uploads/".into()),
        ),
        case(
            "TestPushBlobPostOnly",
            refused("POST", format!("blobs/uploads/?digest={blob}")),
        ),
        case(
            "TestPushBlobMount",
            refused("POST", format!("blobs/uploads/?mount={blob}&from=a")),
        ),
    ]
}
