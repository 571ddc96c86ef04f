//! Imports content: reads every blob once, checks it, and puts it into staging. Layers are read in parallel.

use std::collections::HashMap;
use std::io::Write;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::bail_invalid;
use crate::content::Content;
use crate::import::staging::Staging;
use crate::layer::{self, Compression, Measured, Tar};
use crate::spec::digest::Digest;

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
    /// The result, if the content was compressed while its archive was read, or in an earlier run.
    pub ready: Option<Stored>,
}

/// Imported content.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Of the bytes that the site serves.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The uncompressed tar, if it was measured.
    pub tar: Option<Tar>,
    pub compression: Compression,
    /// Whether Stillage compressed it, so that its bytes follow from its diff ID.
    pub compressed_here: bool,
    pub content: Content,
}

impl Job {
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
    fn compressed(&self, diff_id: &Digest) -> Option<(Digest, Content)>;
}

/// Imports content. The results are in the order of the jobs. Fails if content cannot be read, or does not
/// have the digest, length or diff ID that it must have.
pub fn run(jobs: &[&Job], staging: &Staging, cache: &dyn BlobCache) -> anyhow::Result<Vec<Stored>> {
    let mut first: HashMap<(Option<Digest>, Option<Digest>), usize> = HashMap::new();
    // A blob that several sources have is read from one of them. A tar with a claimed diff ID is compressed
    // once; its duplicates are only checked.
    let duplicate: Vec<Option<usize>> = jobs
        .iter()
        .enumerate()
        .map(|(index, job)| {
            let claimed = if let Work::Compress { claimed } = job.work {
                claimed
            } else {
                None
            };
            let key = (job.digest, claimed);
            if key == (None, None) {
                return None;
            }
            let other = *first.entry(key).or_insert(index);
            // What is known of a file need not be checked against another.
            let is_read = job.ready.is_none();
            (other != index && is_read && covers(jobs[other], job)).then_some(other)
        })
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
                check_duplicate(job)?;
                job.content.done();
                done[other].clone().context("every job was done")
            }
        })
        .collect()
}

/// Whether the result of `first` is also the result of `job`.
fn covers(first: &Job, job: &Job) -> bool {
    match (first.work, job.work) {
        (Work::Verbatim { diff_id: have }, Work::Verbatim { diff_id: want }) => {
            (have || !want) && first.size == job.size
        }
        (first, job) => first == job,
    }
}

/// A tar whose duplicate was compressed must still have the diff ID that its config claims.
fn check_duplicate(job: &Job) -> anyhow::Result<()> {
    match job.work {
        Work::Compress {
            claimed: Some(claimed),
        } => check_diff_id(&job.content, claimed, layer::tar(&job.content)?.diff_id),
        _ => Ok(()),
    }
}

fn take(job: &Job, staging: &Staging, cache: &dyn BlobCache) -> anyhow::Result<Stored> {
    if let Some(ready) = ready(job)? {
        return Ok(ready);
    }
    let stored = match job.work {
        Work::Verbatim { diff_id } => keep(job, diff_id, staging, cache),
        Work::Compress { claimed } => gzip(job, claimed, staging, cache),
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
        Work::Compress { .. } if !ready.compressed_here => return Ok(None),
        Work::Compress { claimed } => {
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
        let tar = match want_tar.then(|| cache.tar(&digest)) {
            None => None,
            Some(Some(remembered)) => Some(remembered),
            Some(None) => Some(layer::tar(&content)?),
        };
        return Ok(Stored {
            digest,
            size: content.len(),
            tar,
            compression: Compression::of(&content)?,
            compressed_here: false,
            content,
        });
    }
    let (measured, content) = staged(&job.content, staging, |content, sink| {
        layer::keep(content, sink, want_tar)
    })?;
    // Read from the copy, since the source may have changed.
    let compression = Compression::of(&content)?;
    if let Some(digest) = job.digest.filter(|digest| *digest != measured.digest) {
        bail_invalid!(
            "{} has the digest {}, not {digest}",
            job.content.origin(),
            measured.digest
        );
    }
    check_size(job, measured.size)?;
    Ok(Stored {
        digest: measured.digest,
        size: measured.size,
        tar: measured.tar,
        compression,
        compressed_here: false,
        content,
    })
}

fn gzip(
    job: &Job,
    claimed: Option<Digest>,
    staging: &Staging,
    cache: &dyn BlobCache,
) -> anyhow::Result<Stored> {
    let made_before = claimed.and_then(|claimed| Some((claimed, cache.compressed(&claimed)?)));
    if let Some((claimed, (digest, content))) = made_before {
        let tar = layer::tar(&job.content)?;
        check_diff_id(&job.content, claimed, tar.diff_id)?;
        let size = content.len();
        return Ok(Stored {
            digest,
            size,
            tar: Some(tar),
            compression: Compression::Gzip,
            compressed_here: true,
            content,
        });
    }
    let mut sink = staging.sink()?;
    let measured = layer::compress(&job.content, &mut sink)?;
    if let Some((claimed, tar)) = claimed.zip(measured.tar) {
        check_diff_id(&job.content, claimed, tar.diff_id)?;
    }
    let content = sink.content(&job.content, measured.size);
    let Measured { digest, size, tar } = measured;
    Ok(Stored {
        digest,
        size,
        tar,
        compression: Compression::Gzip,
        compressed_here: true,
        content,
    })
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
