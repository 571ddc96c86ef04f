//! Checks on content, made while it is read.

use std::path::PathBuf;
use std::sync::Arc;

use crate::bail_invalid;
use crate::fsx;
use crate::layer::Hashing;
use crate::spec::digest::Digest;
use crate::spec::v1::{self, V1Id};

/// What must hold for the layer of a v1 image.
#[derive(Clone, Debug)]
pub enum Check {
    /// Its checksum, with the JSON of the image, is one of these; see [`v1::checksum`]. `origin` is where they are from.
    Checksum {
        id: V1Id,
        json: Arc<[u8]>,
        any_of: Vec<Digest>,
        origin: Arc<str>,
    },
    /// The folder has a file with the name of its digest, in hex.
    Listed { id: V1Id, folder: PathBuf },
}

impl Check {
    /// Differs for checks that differ.
    pub(super) fn key(&self) -> Digest {
        let text = match self {
            Self::Checksum { json, any_of, .. } => format!("{} {any_of:?}", Digest::of(json)),
            Self::Listed { folder, .. } => folder.to_string_lossy().into_owned(),
        };
        Digest::of(text.as_bytes())
    }

    pub(super) fn id(&self) -> V1Id {
        match self {
            Self::Checksum { id, .. } | Self::Listed { id, .. } => *id,
        }
    }
}

/// A writer that content is checked with; [`finish`] says the result.
pub(super) fn checking<W>(checks: &[Check], inner: W) -> Hashing<W> {
    let hasher = |check: &Check| match check {
        Check::Checksum { json, .. } => Some(v1::checksum(json)),
        Check::Listed { .. } => None,
    };
    Hashing {
        inner,
        hashers: checks.iter().filter_map(hasher).collect(),
    }
}

/// Fails if a check does. `digest` is that of all content.
pub(super) fn finish<W>(
    checks: &[Check],
    checking: Hashing<W>,
    digest: &Digest,
) -> anyhow::Result<()> {
    let mut checksums = checking.finish().1.into_iter();
    for check in checks {
        match check {
            Check::Checksum {
                id, any_of, origin, ..
            } => {
                if let Some(actual) = checksums.next().filter(|sum| !any_of.contains(sum)) {
                    bail_invalid!(
                        "the v1 image {id} has the checksum {actual}, which is not in {origin}"
                    );
                }
            }
            Check::Listed { id, folder } => {
                if fsx::meta(&folder.join(digest.hex()))?.is_none() {
                    bail_invalid!(
                        "the layer of the v1 image {id} has no checksum, and is not in `{}`",
                        fsx::escaped_path(folder)
                    );
                }
            }
        }
    }
    Ok(())
}
