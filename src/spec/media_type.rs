//! Media types of manifests, configs and layers.
//!
//! Sources: OCI image-spec `media-types.md`; distribution `manifest/schema2`, `manifestlist`, `schema1`.

/// The media type of JSON files without a more specific one.
pub const JSON: &str = "application/json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker schema 1 manifest with signatures.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// Docker schema 1 manifest without signatures, as stored by distribution.
pub const DOCKER_SCHEMA1_UNSIGNED: &str = "application/vnd.docker.distribution.manifest.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The manifest types that a registry serves, each with the extension of its file under `_types/` (see
/// [`crate::plan`]), in the order in which servers try these files.
pub const MANIFEST_TYPES: &[(&str, &str)] = &[
    (OCI_MANIFEST, "om"),
    (OCI_INDEX, "oi"),
    (DOCKER_MANIFEST, "d2"),
    (DOCKER_LIST, "dl"),
    (DOCKER_SCHEMA1, "s1"),
    (DOCKER_SCHEMA1_UNSIGNED, "s0"),
];

/// The types of files for browsers, by their extension.
const PAGE_TYPES: [(&str, &str); 5] = [
    ("html", "text/html"),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("json", JSON),
    ("svg", "image/svg+xml"),
];

/// The type of a file for browsers; `None` if it is none.
pub fn page_type(file: &str) -> Option<&'static str> {
    let (_, extension) = file.rsplit_once('.')?;
    let known = PAGE_TYPES.iter().find(|(known, _)| *known == extension);
    known.map(|(_, media_type)| *media_type)
}

/// The extension of a manifest type's file under `_types/`; `None` if registries do not serve this type.
pub fn extension(media_type: &str) -> Option<&'static str> {
    MANIFEST_TYPES
        .iter()
        .find(|(name, _)| *name == media_type)
        .map(|(_, extension)| *extension)
}

pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether a config of this type belongs to a runnable image rather than an artifact.
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, DOCKER_CONFIG | OCI_CONFIG)
}

/// The format of a layer, according to its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// A tar that registries serve as it is.
    Tar,
    /// An uncompressed tar.
    PlainTar,
    /// A tar that a registry must not distribute (Docker's `foreign`, OCI's `nondistributable`).
    Foreign,
    /// Not a file system layer: the content of an artifact, such as an in-toto statement.
    Other,
}

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

/// The media type of an uncompressed layer once it is compressed with gzip or zstd: OCI's for an OCI layer,
/// Docker's, which knows only gzip, for others.
pub fn compressed(plain: &str, zstd: bool) -> &'static str {
    match (plain == OCI_LAYER, zstd) {
        (true, false) => OCI_LAYER_GZIP,
        (_, true) => OCI_LAYER_ZSTD,
        (false, false) => DOCKER_LAYER_GZIP,
    }
}
