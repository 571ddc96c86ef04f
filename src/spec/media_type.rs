//! Media types of manifests, configs and layers, and what follows from each.
//!
//! Sources: OCI image-spec `media-types.md`; distribution `manifest/schema2`, `manifestlist`,
//! `schema1`.

/// Docker schema 2 image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker schema 1 manifest with signatures.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// Docker schema 1 manifest without signatures, as the storage of distribution has it.
pub const DOCKER_SCHEMA1_UNSIGNED: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Gzipped layer of a Docker schema 2 image.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Gzipped layer of an OCI image.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// zstd layer of an OCI image.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The manifest types that a registry serves, each with the extension of its second name under
/// `_types/` (see [`crate::plan`]); the order is the one in which servers try the names.
pub const MANIFEST_TYPES: &[(&str, &str)] = &[
    (OCI_MANIFEST, "om"),
    (OCI_INDEX, "oi"),
    (DOCKER_MANIFEST, "d2"),
    (DOCKER_LIST, "dl"),
    (DOCKER_SCHEMA1, "s1"),
    (DOCKER_SCHEMA1_UNSIGNED, "s0"),
];

/// The extension of a manifest type's second name, if it is one that a registry serves.
pub fn extension(media_type: &str) -> Option<&'static str> {
    MANIFEST_TYPES
        .iter()
        .find(|(name, _)| *name == media_type)
        .map(|(_, extension)| *extension)
}

/// Whether it is an index or manifest list.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether a manifest with a config of this type is an image that can run, not an artifact.
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, DOCKER_CONFIG | OCI_CONFIG)
}

/// How a layer's tar is said to be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// A tar that a registry serves.
    Tar,
    /// A tar without compression.
    PlainTar,
    /// A tar that a registry must not distribute (`foreign` of Docker, `nondistributable` of OCI).
    Foreign,
    /// No layer of a file system: the content of an artifact, such as an in-toto statement.
    Other,
}

/// What a layer's media type says of it.
pub fn layer_kind(media_type: &str) -> LayerKind {
    match media_type {
        DOCKER_LAYER | OCI_LAYER => LayerKind::PlainTar,
        DOCKER_LAYER_GZIP
        | OCI_LAYER_GZIP
        | OCI_LAYER_ZSTD
        | "application/vnd.docker.image.rootfs.diff.tar.zstd"
        | "application/vnd.docker.container.image.rootfs.diff+x-gtar" => LayerKind::Tar,
        other
            if other.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
                || other.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar") =>
        {
            LayerKind::Foreign
        }
        _ => LayerKind::Other,
    }
}

/// The type of a plain layer after it was gzipped, in the family of its manifest.
pub fn gzipped(plain: &str) -> &'static str {
    if plain == OCI_LAYER {
        OCI_LAYER_GZIP
    } else {
        DOCKER_LAYER_GZIP
    }
}
