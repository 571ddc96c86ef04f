//! Checks on content, made while it is read.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::bail_invalid;
use crate::fsx;
use crate::spec::digest::{Digest, Hasher};
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

/// Checks what is written to another writer.
pub(super) struct Checking<'a, W> {
    checks: &'a [Check],
    hashers: Vec<Hasher>,
    inner: W,
}

impl<'a, W> Checking<'a, W> {
    pub(super) fn new(checks: &'a [Check], inner: W) -> Self {
        let hasher = |check: &Check| match check {
            Check::Checksum { json, .. } => Some(v1::checksum(json)),
            Check::Listed { .. } => None,
        };
        Self {
            checks,
            hashers: checks.iter().filter_map(hasher).collect(),
            inner,
        }
    }

    /// Fails if a check does. `digest` is that of all content.
    pub(super) fn finish(self, digest: &Digest) -> anyhow::Result<()> {
        let mut hashers = self.hashers.into_iter();
        for check in self.checks {
            match check {
                Check::Checksum {
                    id, any_of, origin, ..
                } => {
                    let actual = hashers.next().map(|hasher| hasher.finish().0);
                    if let Some(actual) = actual.filter(|actual| !any_of.contains(actual)) {
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
}

impl<W: Write> Write for Checking<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        for hasher in &mut self.hashers {
            hasher.update(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
