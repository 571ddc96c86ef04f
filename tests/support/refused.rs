//! What a client cannot pull from any registry: it is tried and must fail in known words.

use anyhow::{Context, Result, bail};

use super::expected::Kind;

/// A kind that a client does not pull.
pub(crate) struct Refusal {
    client: &'static str,
    kind: Kind,
    /// One of its messages must contain one of these.
    words: &'static [&'static str],
    /// For people.
    pub(crate) why: &'static str,
}

const IMAGES_ONLY: &str = "It pulls images only, from any registry.";
const LAYERS_ONLY: &str = "It takes what a manifest lists as `layers`; here there is no such list.";
const NO_V1: &str = "These have no v1 form.";

const fn refusal(
    client: &'static str,
    kind: Kind,
    words: &'static [&'static str],
    why: &'static str,
) -> Refusal {
    Refusal {
        client,
        kind,
        words,
        why,
    }
}

static REFUSED: [Refusal; 11] = [
    refusal(
        "docker",
        Kind::Zstd,
        &["failed to register layer: ApplyLayer"],
        "Docker reads zstd since 23.0; this is 20.10.",
    ),
    refusal(
        "docker",
        Kind::Artifact,
        &["unsupported media type"],
        IMAGES_ONLY,
    ),
    refusal(
        "podman",
        Kind::Artifact,
        &["unexpected EOF", "image-specific operation on artifact"],
        IMAGES_ONLY,
    ),
    refusal(
        "buildah",
        Kind::Artifact,
        &["unexpected EOF", "image-specific operation on artifact"],
        IMAGES_ONLY,
    ),
    refusal(
        "ctr",
        Kind::Artifact,
        &["no processor for media-type", "mismatched image rootfs"],
        IMAGES_ONLY,
    ),
    refusal("oras", Kind::Index, &["nothing to pull"], LAYERS_ONLY),
    refusal("oras", Kind::Schema1, &["nothing to pull"], LAYERS_ONLY),
    refusal("npm v1", Kind::Artifact, &["NotFound"], NO_V1),
    refusal("npm v1", Kind::Schema1, &["NotFound"], NO_V1),
    refusal("PyPI v1", Kind::Artifact, &["KeyError"], NO_V1),
    refusal("PyPI v1", Kind::Schema1, &["KeyError"], NO_V1),
];

/// Whether a client refuses a kind.
pub(crate) fn of(client: &str, kind: Kind) -> Option<&'static Refusal> {
    let mut all = REFUSED.iter();
    all.find(|refusal| refusal.client == client && refusal.kind == kind)
}

/// What came of trying, if that is as known: content as expected, or a refusal in known words.
pub(crate) fn as_known(client: &str, kind: Kind, tried: Result<()>) -> Result<()> {
    let Some(Refusal { words, .. }) = of(client, kind) else {
        return tried;
    };
    let Err(error) = tried else {
        bail!("expected one of {words:?}, but it was pulled");
    };
    if words.iter().any(|w| format!("{error:#}").contains(w)) {
        return Ok(());
    }
    Err(error).with_context(|| format!("expected one of {words:?}"))
}
