//! Records which layers came from which source files, so that later runs do not read unchanged files again.
//!
//! `.stillage/sources` has a line `<key> <blob>` for each file or member of an archive. The key is the digest
//! of the name and the range of the content, and of the device, inode, length, mtime and ctime of its file. A
//! file that changed in the last two seconds is not recorded: another change might leave the same times.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::content::{Content, Identity};
use crate::import::ingest::Stored;
use crate::layer::Compression;
use crate::spec::digest::Digest;
use crate::writer::Site;

pub(super) const FILE: &str = "sources";
/// How long a file must have been unchanged to be recorded, in nanoseconds.
const SETTLED: i128 = 2_000_000_000;

impl Site {
    /// The layer that an earlier run made from this content, if the site still has it.
    pub(crate) fn recall(&self, identity: &Identity) -> Option<Stored> {
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

    /// Records which layers were made from which content, if its file is still as it was before it was read.
    #[expect(
        clippy::disallowed_methods,
        reason = "the private folder may know the time"
    )]
    pub(crate) fn remember_sources<'a>(
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

pub(super) fn parse(line: &str) -> Option<(Digest, Digest)> {
    let (key, blob) = line.split_once(' ')?;
    Some((Digest::from_hex(key).ok()?, Digest::from_hex(blob).ok()?))
}
