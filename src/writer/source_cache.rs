//! Records what source files were found to hold, so that later runs do not read unchanged files again.
//!
//! `.stillage/sources` has a line `<key> <blob>` for each file or member of an archive, and `<key> -` for each archive
//! that holds no image. The key is the digest of the name and the range of the content, of the device, inode, length,
//! mtime and ctime of its file, and of what was done with it. A file that changed in the last two seconds is not recorded: another change
//! might leave the same times.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::content::{Content, Identity};
use crate::import::ingest::{Job, Stored};
use crate::layer::Compression;
use crate::spec::digest::Digest;
use crate::writer::Site;

pub(super) const FILE: &str = "sources";
/// How long a file must have been unchanged to be recorded, in nanoseconds.
const SETTLED: i128 = 2_000_000_000;

impl Site {
    /// The layer that an earlier run made from this content, if the site still has it: as a blob or, where no blob has
    /// that compression, as the layer of a v1 image. One that might be a link to a lost blob may be as damaged.
    pub(crate) fn recall(&self, job: &Job) -> Option<Stored> {
        let digest = self.sources.get(&job.key()?)?.as_ref()?;
        let layer = self.layers.get(digest)?;
        let is_whole = |content: &Content| content.len() == layer.size;
        let blob = self.files.blob(digest).ok().flatten().filter(is_whole);
        let content = blob.or_else(|| {
            let mut layers = job
                .v1_ids()
                .map(|id| self.files.v1_layer(id).ok().flatten());
            layers.find_map(|layer| layer.filter(is_whole).filter(is_for_v1_alone))
        })?;
        Some(Stored {
            digest: *digest,
            size: layer.size,
            tar: Some(layer.tar),
            outline: None,
            compression: Compression::of(&content).ok()?,
            compressed_here: layer.compressed_here,
            content,
        })
    }

    /// Whether an earlier run found that this archive holds no image.
    pub(crate) fn holds_no_image(&self, archive: &Identity) -> bool {
        self.sources.get(&no_image_key(archive)) == Some(&None)
    }

    /// Records which layers were made from which content, and which archives hold no image, if the file is still as it
    /// was before it was read.
    #[expect(
        clippy::disallowed_methods,
        reason = "the private folder may know the time"
    )]
    pub(crate) fn remember_sources(
        &mut self,
        read: &[(Job, Stored)],
        no_images: &[(Content, Identity)],
    ) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let before = i128::try_from(now)? - SETTLED;
        let layers = read.iter().filter_map(|(job, stored)| {
            let blob = Some(stored.digest).filter(|blob| self.layers.contains_key(blob));
            Some((
                &job.content,
                job.identity.as_ref()?,
                job.key()?,
                Some(blob?),
            ))
        });
        let others = no_images
            .iter()
            .map(|(content, identity)| (content, identity, no_image_key(identity), None));
        let mut new = Vec::new();
        for (content, identity, key, blob) in layers.chain(others) {
            let is_new = self.sources.get(&key) != Some(&blob);
            let is_settled = identity.changed < before;
            if is_new && is_settled && content.identity()?.as_ref() == Some(identity) {
                new.push((key, blob));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.sources.extend(new);
        let line = |(key, blob): (&Digest, &Option<Digest>)| {
            let blob = blob.map_or("-".to_owned(), |blob| blob.hex());
            format!("{} {blob}\n", key.hex())
        };
        let text: String = self.sources.iter().map(line).collect();
        self.replace_private(FILE, text.as_bytes())
    }
}

fn is_for_v1_alone(layer: &Content) -> bool {
    let compression = Compression::of(layer).ok();
    matches!(
        compression,
        Some(Compression::Plain | Compression::Xz | Compression::Bzip2)
    )
}

/// Another version may know more formats.
fn no_image_key(archive: &Identity) -> Digest {
    Digest::of(format!("{} {}", archive.key, env!("CARGO_PKG_VERSION")).as_bytes())
}

pub(super) fn parse(line: &str) -> Option<(Digest, Option<Digest>)> {
    let (key, blob) = line.split_once(' ')?;
    let blob = match blob {
        "-" => None,
        blob => Some(Digest::from_hex(blob).ok()?),
    };
    Some((Digest::from_hex(key).ok()?, blob))
}
