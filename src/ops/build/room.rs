//! Checks for free space before anything is written.

use std::collections::BTreeMap;

use anyhow::anyhow;

use crate::content::Content;
use crate::error::WithHint as _;
use crate::fsx;
use crate::import::ingest::{BlobCache as _, Job, Work};
use crate::layer::Compression;
use crate::spec::digest::Digest;
use crate::writer::Site;

/// Fails if the new blobs that are already compressed do not fit on the disk. Layers that will be compressed
/// here are not counted: their size is unknown, and may be close to nothing.
pub(super) fn check(jobs: &[&Job], site: &Site) -> anyhow::Result<()> {
    let staging = &site.disk.staging;
    let Some(folder) = staging.path() else {
        return Ok(());
    };
    let Some(free) = fsx::free(folder)? else {
        return Ok(());
    };
    let mut new: BTreeMap<Digest, &Content> = BTreeMap::new();
    for job in jobs {
        if let (Work::Verbatim { .. }, Some(digest)) = (job.work, job.digest) {
            let content = &job.content;
            let is_there = |there: Content| there.len() == content.len();
            let is_staged = content.path().is_some_and(|file| file.starts_with(folder));
            if !is_staged && !site.blob(&digest).is_some_and(is_there) {
                new.insert(digest, content);
            }
        }
    }
    let sum = |new: &BTreeMap<Digest, &Content>| new.values().map(|content| content.len()).sum();
    if sum(&new) <= free {
        return Ok(());
    }
    // A compressing file system may need less for uncompressed blobs, and shared extents need nothing.
    for (digest, content) in std::mem::take(&mut new) {
        if Compression::of(content)? != Compression::Plain && !staging.shares(content)? {
            new.insert(digest, content);
        }
    }
    let least: u64 = sum(&new);
    if least <= free {
        return Ok(());
    }
    Err(anyhow!(
        "{} has not enough free space: the new blobs need at least {least} bytes, {free} are free",
        site.files.origin()
    ))
    .hint("free some space, or import less with `--only` or `--platform`")
}
