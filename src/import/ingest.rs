//! Imports content: reads every blob once, checks it, and puts it into staging. Layers are read in parallel.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::bail_invalid;
use crate::content::{Content, Identity, Packing};
use crate::import::check::{self, Check};
use crate::import::duplicates::Groups;
use crate::import::staging::Staging;
use crate::layer::{self, Compression, Measured, Outline, Tar};
use crate::spec::digest::Digest;
use crate::spec::v1::V1Id;

/// What to do with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Keep it byte for byte.
    Verbatim {
        /// Whether to measure the tar in it too.
        diff_id: bool,
    },
    /// Compress a tar.
    Compress {
        /// The diff ID that its config claims, if it is known.
        claimed: Option<Digest>,
        packing: Packing,
    },
}

/// Content to import.
#[derive(Clone, Debug)]
pub struct Job {
    pub content: Content,
    pub work: Work,
    /// The digest that the bytes must have, if known.
    pub digest: Option<Digest>,
    /// The length in bytes that the content must have, if known.
    pub size: Option<u64>,
    /// What else must hold for the content.
    pub checks: Vec<Check>,
    /// The identity of the content before it is read, if it has one.
    pub identity: Option<Identity>,
    /// The result, if the content was compressed while its archive was read, or in an earlier run.
    pub ready: Option<Stored>,
}

/// Imported content.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Of the bytes that the site serves. A layer that is made for v1 alone has the checksum of a v1 image instead, so
    /// that it need not be hashed twice.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The uncompressed tar, if it was measured.
    pub tar: Option<Tar>,
    /// Its members, as far as they were kept.
    pub outline: Option<Arc<Outline>>,
    pub compression: Compression,
    /// Whether Stillage compressed it, so that its bytes follow from its diff ID.
    pub compressed_here: bool,
    pub content: Content,
}

impl Stored {
    /// Content that was measured while it was brought into staging.
    pub fn new(
        measured: Measured,
        compression: Compression,
        content: Content,
        staging: &Staging,
    ) -> Self {
        Self {
            digest: measured.digest,
            size: measured.size,
            tar: measured.tar,
            outline: staging.keep(measured.outline),
            compression,
            compressed_here: false,
            content,
        }
    }
}

impl Job {
    pub fn new(content: Content, work: Work) -> Self {
        Self {
            content,
            work,
            digest: None,
            size: None,
            checks: Vec::new(),
            identity: None,
            ready: None,
        }
    }

    /// Adds what another job needs of the same file.
    pub(super) fn include(&mut self, other: &Self) {
        if let (Work::Verbatim { diff_id }, Work::Verbatim { diff_id: wanted }) =
            (&mut self.work, other.work)
        {
            *diff_id |= wanted;
        }
        self.checks.extend(other.checks.iter().cloned());
    }

    /// The v1 images whose layer it is, as far as there are checks for them.
    pub fn v1_ids(&self) -> impl Iterator<Item = V1Id> {
        self.checks.iter().map(Check::id)
    }

    /// Identifies the content, what becomes of it, and the checks that it has passed once it has been read.
    pub fn key(&self) -> Option<Digest> {
        let identity = self.identity.as_ref()?;
        let mut text = identity.key.to_string();
        if let Work::Compress { packing, .. } = self.work {
            let _ = write!(text, " {packing:?}");
        }
        for check in &self.checks {
            let _ = write!(text, " {}", check.key());
        }
        Some(Digest::of(text.as_bytes()))
    }

    /// Refuses content of another size than its descriptor says, before it is read.
    pub fn check_size(&self) -> anyhow::Result<()> {
        match self.work {
            Work::Verbatim { .. } => check_size(self, self.content.len()),
            Work::Compress { .. } => Ok(()),
        }
    }
}

/// The content that the site already has.
pub trait BlobCache: Sync {
    fn blob(&self, digest: &Digest) -> Option<Content>;
    /// The tar in a blob, if it was measured before.
    fn tar(&self, blob: &Digest) -> Option<Tar>;
    /// The blob that this tar was compressed to before, if the site still has it at its full length.
    fn compressed(&self, diff_id: &Digest, packing: Packing) -> Option<(Digest, Content)>;
}

/// Imports content. The results are in the order of the jobs. Fails if content cannot be read, or does not
/// have the digest, length or diff ID that it must have.
pub fn run(jobs: &[&Job], staging: &Staging, cache: &dyn BlobCache) -> anyhow::Result<Vec<Stored>> {
    let Groups { duplicate, merged } = Groups::of(jobs);
    let jobs: Vec<&Job> = (0..jobs.len())
        .map(|index| merged.get(&index).unwrap_or(jobs[index]))
        .collect();
    let mut done: Vec<Option<Stored>> = vec![None; jobs.len()];
    let is_large =
        |job: &Job| matches!(job.work, Work::Compress { .. }) && job.content.len() >= layer::LARGE;
    for (index, job) in jobs
        .iter()
        .enumerate()
        .filter(|(index, job)| duplicate[*index].is_none() && is_large(job))
    {
        done[index] = Some(take(job, staging, cache)?);
    }
    let mut small: Vec<usize> = (0..jobs.len())
        .filter(|index| duplicate[*index].is_none() && done[*index].is_none())
        .collect();
    small.sort_by_key(|index| std::cmp::Reverse(jobs[*index].content.len()));
    // `par_bridge` hands them out in this order. `par_iter` would give all of the longest to one thread.
    let stored: Vec<(usize, Stored)> = small
        .iter()
        .par_bridge()
        .map(|index| Ok((*index, take(jobs[*index], staging, cache)?)))
        .collect::<anyhow::Result<_>>()?;
    for (index, stored) in stored {
        done[index] = Some(stored);
    }
    jobs.par_iter()
        .enumerate()
        .map(|(index, job)| match duplicate[index] {
            None => done[index].clone().context("every job was done"),
            Some(other) => {
                let stored = done[other].clone().context("every job was done")?;
                check_duplicate(job, &stored)?;
                job.content.done();
                Ok(stored)
            }
        })
        .collect()
}

/// A tar whose duplicate was compressed must still have the diff ID that its config claims, and a blob that was
/// read under another name its digest and length.
fn check_duplicate(job: &Job, stored: &Stored) -> anyhow::Result<()> {
    match job.work {
        Work::Compress {
            claimed: Some(claimed),
            ..
        } => check_diff_id(&job.content, claimed, layer::tar(&job.content)?.diff_id),
        Work::Compress { claimed: None, .. } => Ok(()),
        Work::Verbatim { .. } => {
            check_digest(job, stored.digest)?;
            check_size(job, stored.size)
        }
    }
}

fn take(job: &Job, staging: &Staging, cache: &dyn BlobCache) -> anyhow::Result<Stored> {
    if let Some(ready) = ready(job)? {
        return Ok(ready);
    }
    let stored = match job.work {
        Work::Verbatim { diff_id } => keep(job, diff_id, staging, cache),
        Work::Compress { claimed, packing } => compress(job, claimed, packing, staging, cache),
    }?;
    job.content.done();
    Ok(stored)
}

/// The result that the job came with, if it is what the job asks for. Fails if it shows that the content is
/// wrong.
fn ready(job: &Job) -> anyhow::Result<Option<Stored>> {
    let Some(ready) = &job.ready else {
        return Ok(None);
    };
    match job.work {
        Work::Compress { packing, .. }
            if !ready.compressed_here || ready.compression != packing.into() =>
        {
            return Ok(None);
        }
        Work::Compress { claimed, .. } => {
            if let Some((claimed, tar)) = claimed.zip(ready.tar) {
                check_diff_id(&job.content, claimed, tar.diff_id)?;
            }
        }
        Work::Verbatim { .. } => {
            if job
                .digest
                .map_or(ready.compressed_here, |digest| digest != ready.digest)
            {
                return Ok(None);
            }
            check_size(job, ready.size)?;
        }
    }
    Ok(Some(ready.clone()))
}

fn keep(
    job: &Job,
    want_tar: bool,
    staging: &Staging,
    cache: &dyn BlobCache,
) -> anyhow::Result<Stored> {
    // A blob of the site with another length is damaged. It is replaced from the source.
    let whole = |digest: Digest| {
        cache
            .blob(&digest)
            .filter(|content| content.len() == job.content.len())
    };
    if let Some((digest, content)) = job.digest.and_then(|digest| Some((digest, whole(digest)?))) {
        check_size(job, content.len())?;
        check_content(job)?;
        let tar = match want_tar.then(|| cache.tar(&digest)) {
            None => None,
            Some(Some(remembered)) => Some(remembered),
            Some(None) => Some(layer::tar(&content)?),
        };
        return Ok(Stored {
            digest,
            size: content.len(),
            tar,
            outline: None,
            compression: Compression::of(&content)?,
            compressed_here: false,
            content,
        });
    }
    let (measured, content) = staged(&job.content, staging, |content, sink| {
        let mut checking = check::checking(&job.checks, sink);
        let measured = layer::keep(content, &mut checking, want_tar)?;
        check::finish(&job.checks, checking, &measured.digest)?;
        Ok(measured)
    })?;
    // Read from the copy, since the source may have changed.
    let compression = Compression::of(&content)?;
    check_digest(job, measured.digest)?;
    check_size(job, measured.size)?;
    Ok(Stored::new(measured, compression, content, staging))
}

fn compress(
    job: &Job,
    claimed: Option<Digest>,
    packing: Packing,
    staging: &Staging,
    cache: &dyn BlobCache,
) -> anyhow::Result<Stored> {
    check_content(job)?;
    let made_before =
        claimed.and_then(|claimed| Some((claimed, cache.compressed(&claimed, packing)?)));
    if let Some((claimed, (digest, content))) = made_before {
        let tar = layer::tar(&job.content)?;
        check_diff_id(&job.content, claimed, tar.diff_id)?;
        let size = content.len();
        return Ok(Stored {
            digest,
            size,
            tar: Some(tar),
            outline: None,
            compression: packing.into(),
            compressed_here: true,
            content,
        });
    }
    let mut sink = staging.sink()?;
    let measured = layer::compress(&job.content, packing, &mut sink)?;
    if let Some((claimed, tar)) = claimed.zip(measured.tar) {
        check_diff_id(&job.content, claimed, tar.diff_id)?;
    }
    let content = sink.content(&job.content, measured.size);
    Ok(Stored {
        compressed_here: true,
        ..Stored::new(measured, packing.into(), content, staging)
    })
}

/// Reads content whose checks are not made otherwise.
fn check_content(job: &Job) -> anyhow::Result<()> {
    if job.checks.is_empty() {
        return Ok(());
    }
    let mut checking = check::checking(&job.checks, io::sink());
    let digest = layer::keep(&job.content, &mut checking, false)?.digest;
    check_digest(job, digest)?;
    check::finish(&job.checks, checking, &digest)
}

fn check_digest(job: &Job, digest: Digest) -> anyhow::Result<()> {
    match job.digest.filter(|promised| *promised != digest) {
        Some(promised) => bail_invalid!(
            "{} has the digest {digest}, not {promised}",
            job.content.origin()
        ),
        None => Ok(()),
    }
}

fn check_size(job: &Job, size: u64) -> anyhow::Result<()> {
    match job.size.filter(|promised| *promised != size) {
        Some(promised) => {
            bail_invalid!("{} has {size} bytes, not {promised}", job.content.origin())
        }
        None => Ok(()),
    }
}

fn check_diff_id(content: &Content, claimed: Digest, actual: Digest) -> anyhow::Result<()> {
    if claimed != actual {
        bail_invalid!(
            "{} has the diff ID {actual}, not {claimed} as its config says",
            content.origin()
        );
    }
    Ok(())
}

/// Brings content into staging and measures it. If the file can be linked or cloned, that is done first and
/// the result is measured, so that a source that changes meanwhile is noticed.
fn staged(
    content: &Content,
    staging: &Staging,
    measure: impl Fn(&Content, &mut (dyn Write + Send)) -> anyhow::Result<Measured>,
) -> anyhow::Result<(Measured, Content)> {
    if let Some(copy) = staging.adopt(content)? {
        return Ok((measure(&copy, &mut std::io::sink())?, copy));
    }
    let mut sink = staging.sink()?;
    let measured = measure(content, &mut sink)?;
    let copy = sink.content(content, measured.size);
    Ok((measured, copy))
}
