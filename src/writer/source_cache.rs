//! Which layers came of which files of sources, so that a run reads none again that has not changed.
//!
//! `.stillage/sources` has a line `<key> <blob>` for each: a whole file, or a member of an archive. The
//! key is the digest of the name and place of the content, and of what the file system says of its file:
//! device, inode, length, and the times of the last change of its bytes and of anything about it. A file that
//! changed in the last two seconds is not remembered: a further change might leave no trace then.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::content::{Content, Identity};
use crate::import::ingest::Stored;
use crate::layer::Compression;
use crate::spec::digest::Digest;
use crate::writer::Site;

pub(super) const FILE: &str = "sources";
/// How long a file must have been left alone, in nanoseconds.
const SETTLED: i128 = 2_000_000_000;

impl Site {
    /// The layer that an earlier run made of content whose file has not changed since.
    pub fn recall(&self, identity: &Identity) -> Option<Stored> {
        let digest = self.sources.get(&identity.key)?;
        let layer = self.layers.get(digest)?;
        let content = self.files.blob(digest).ok().flatten()?;
        if content.len() != layer.size {
            return None;
        }
        Some(Stored {
            digest: *digest,
            size: layer.size,
            tar: Some(layer.tar),
            compression: Compression::of(&content).ok()?,
            compressed_here: layer.compressed_here,
            content,
        })
    }

    /// Remembers which layers were made of contents, each with what it was before it was read.
    ///
    /// # Errors
    /// When it cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "the private folder may know the time"
    )]
    pub fn remember_sources<'a>(
        &mut self,
        read: impl Iterator<Item = (&'a Content, &'a Identity, &'a Stored)>,
    ) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let before = i128::try_from(now)? - SETTLED;
        let mut changed = false;
        for (content, identity, stored) in read {
            let settled = identity.changed < before;
            let is_layer = self.layers.contains_key(&stored.digest);
            if settled && is_layer && content.identity()?.as_ref() == Some(identity) {
                let known = self.sources.insert(identity.key, stored.digest);
                changed |= known != Some(stored.digest);
            }
        }
        if !changed {
            return Ok(());
        }
        let line = |(key, blob): (&Digest, &Digest)| format!("{} {}\n", key.hex(), blob.hex());
        let text: String = self.sources.iter().map(line).collect();
        self.replace_private(FILE, text.as_bytes())
    }
}

/// Reads a line; one that is none is forgotten.
pub(super) fn parse(line: &str) -> Option<(Digest, Digest)> {
    let (key, blob) = line.split_once(' ')?;
    Some((Digest::from_hex(key).ok()?, Digest::from_hex(blob).ok()?))
}
