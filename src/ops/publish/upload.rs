//! Brings objects to a bucket in the order of publishing.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;

use crate::bucket::{Abilities, Bytes, Headers, If, LONGEST_COPY, Slash};
use crate::content::Content;
use crate::ops::publish::operation::{Operation, Report};
use crate::ops::publish::remote::{Compared, Remote, is_single_tag};
use crate::plan::Plan;
use crate::plan::objects::Object;
use crate::plan::tree::Stage;
use crate::routes::Cache;
use crate::site_files::blob_path;
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::writer::write::FileChanges;

/// How many objects are collected before they are sent in parallel.
const BATCH: usize = 512;
/// Content of at least so many bytes is copied by the store where that has it.
const COPY_FROM: u64 = 8 << 10;

/// The order of publishing, finer than [`Stage`]: children before their indexes, referrers before tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Content,
    Manifest,
    Index,
    V1Json,
    Referrers,
    Pointer,
    TagList,
    List,
    Catalogue,
}

/// Passes over the plan: a group of stages, and the ranks of it that are sent. Within a group the plan has the stages
/// in order.
const CONTENT: [(usize, RangeInclusive<Rank>); 4] = [
    (0, Rank::Content..=Rank::Content),
    (1, Rank::Manifest..=Rank::Manifest),
    (1, Rank::Index..=Rank::Index),
    (2, Rank::V1Json..=Rank::V1Json),
];
const POINTERS: [(usize, RangeInclusive<Rank>); 2] = [
    (3, Rank::Referrers..=Rank::Referrers),
    (3, Rank::Pointer..=Rank::Catalogue),
];

impl Rank {
    fn of(object: &Object) -> Self {
        let is_index =
            object.media_type.contains("index") || object.media_type.contains("manifest.list");
        match object.stage {
            Stage::Content => Self::Content,
            Stage::Manifest if is_index => Self::Index,
            Stage::Manifest => Self::Manifest,
            Stage::V1Json => Self::V1Json,
            Stage::Pointer if object.path.contains("/referrers/") => Self::Referrers,
            Stage::Pointer => Self::Pointer,
            Stage::TagList => Self::TagList,
            Stage::List => Self::List,
            Stage::Catalogue => Self::Catalogue,
        }
    }
}

pub(super) struct Upload<'a> {
    pub(super) site: &'a Path,
    pub(super) remote: &'a Remote<'a>,
    /// `None` where nothing is sent.
    pub(super) abilities: Option<Abilities>,
    /// Takes each operation, in order, instead of the store.
    pub(super) report: Option<&'a Report<'a>>,
    pub(super) stored: Mutex<FileChanges>,
    /// The content that this run has stored at the root of the site.
    pub(super) at_root: Mutex<BTreeSet<Digest>>,
    /// The paths of the pointers that were stored or deleted.
    pub(super) changed: Mutex<BTreeSet<String>>,
    /// Whether another publisher has changed something.
    pub(super) conflict: AtomicBool,
}

/// Where the bytes of an object are.
enum Source<'a> {
    Bytes(&'a [u8]),
    /// A file, relative to the site.
    File(&'a str),
    /// Another object.
    Key(&'a str),
}

/// Threads that panic leave whole values behind.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of an object.
fn key(object: &Object) -> &str {
    match object.path.trim_start_matches('/') {
        "" => "index.html",
        key => key,
    }
}

fn headers(object: &Object) -> Headers<'_> {
    let is_registry = object.path.contains("/manifests/") || object.path.contains("/blobs/");
    Headers {
        media_type: object.media_type,
        cache_control: object.cache.control(),
        digest: object.digest.filter(|_| is_registry),
    }
}

/// The sha256 of a file that is named by a digest: the same, but of a signed manifest of schema 1, whose digest leaves
/// the signatures out.
fn sha256(content: &Content, digest: Digest) -> anyhow::Result<Digest> {
    if content.len() > MAX_JSON {
        return Ok(digest);
    }
    let bytes = content.read(MAX_JSON)?;
    let is_manifest =
        Manifest::parse(bytes.clone(), None).is_ok_and(|manifest| manifest.digest == digest);
    Ok(if is_manifest {
        Digest::of(&bytes)
    } else {
        digest
    })
}

fn is_at_root(object: &Object) -> bool {
    object.path.starts_with("/blobs/")
}

impl Upload<'_> {
    /// Stores the content of a site.
    pub(super) fn content(&self, plan: &Plan<'_>) -> anyhow::Result<()> {
        CONTENT.iter().try_for_each(|pass| self.pass(plan, pass))
    }

    /// Stores pointers. Stops where another publisher was faster.
    pub(super) fn pointers(&self, plan: &Plan<'_>) -> anyhow::Result<()> {
        POINTERS.iter().try_for_each(|pass| self.pass(plan, pass))
    }

    fn pass(
        &self,
        plan: &Plan<'_>,
        (group, ranks): &(usize, RangeInclusive<Rank>),
    ) -> anyhow::Result<()> {
        // What is at the root is copied from there.
        let order = |object: &Object| (Rank::of(object), !is_at_root(object));
        let mut batch: Vec<Object> = Vec::new();
        plan.objects_in(Stage::GROUPS[*group], &mut |object| {
            if !ranks.contains(&Rank::of(object)) {
                return Ok(());
            }
            let is_next = batch
                .last()
                .is_some_and(|last| order(last) != order(object));
            if is_next || batch.len() >= BATCH {
                self.send(&std::mem::take(&mut batch))?;
            }
            batch.push(object.clone());
            Ok(())
        })?;
        self.send(&batch)
    }

    fn send(&self, batch: &[Object]) -> anyhow::Result<()> {
        let send = |object: &Object| {
            if self.conflict.load(Ordering::Relaxed) {
                return Ok(());
            }
            match &object.bytes {
                Some(bytes) if object.cache == Cache::Pointer => self.pointer(object, bytes),
                Some(bytes) => self.made(object, bytes),
                None => self.file(object),
            }
        };
        if self.report.is_some() {
            batch.iter().try_for_each(send)
        } else {
            batch.par_iter().try_for_each(send)
        }
    }

    fn report(&self, object: &Object, size: u64, source: &Source<'_>) -> anyhow::Result<()> {
        let Some(report) = self.report else {
            return Ok(());
        };
        let headers = headers(object);
        let (mut file, mut from, mut base64) = (None, None, None);
        match source {
            Source::Bytes(bytes) => base64 = Some(STANDARD.encode(bytes)),
            Source::File(path) => file = Some(*path),
            Source::Key(key) => from = Some(*key),
        }
        report(&Operation {
            operation: if from.is_some() { "copy" } else { "put" },
            key: key(object),
            content_type: Some(headers.media_type),
            cache_control: Some(headers.cache_control),
            digest: headers.digest,
            size: Some(size),
            file,
            from,
            base64,
        })
    }

    pub(super) fn stored(&self) -> FileChanges {
        std::mem::take(&mut locked(&self.stored))
    }

    fn count(&self, bytes: u64, copies: u64) {
        let mut stored = locked(&self.stored);
        stored.files += u64::from(copies == 0);
        stored.bytes += bytes;
        stored.links += copies;
    }

    /// Immutable content that the plan makes.
    fn made(&self, object: &Object, bytes: &[u8]) -> anyhow::Result<()> {
        if self.remote.has(key(object), bytes.len() as u64) {
            return Ok(());
        }
        self.count(bytes.len() as u64, 0);
        self.report(object, bytes.len() as u64, &Source::Bytes(bytes))?;
        if self.abilities.is_some() {
            let headers = headers(object);
            self.remote
                .bucket()?
                .put(key(object), Bytes::Memory(bytes), &headers, If::Always)?;
        }
        Ok(())
    }

    /// Content that is a file of the site.
    fn file(&self, object: &Object) -> anyhow::Result<()> {
        let file = match object.digest {
            Some(digest) => blob_path(&digest),
            None => object.file.clone(),
        };
        let Some(content) = Content::file(self.site.join(&file))? else {
            // A v1 image has only some of the files that it may have.
            return object
                .digest
                .map_or(Ok(()), |_| anyhow::bail!("`{file}` of the site is missing"));
        };
        let key = key(object);
        if self.remote.has(key, content.len()) {
            return Ok(());
        }
        let headers = headers(object);
        let source = object
            .digest
            .filter(|_| (COPY_FROM..=LONGEST_COPY).contains(&content.len()) && !is_at_root(object))
            .and_then(|digest| self.source(&digest, content.len()));
        if self.abilities.is_none() {
            let place = match &source {
                Some(source) => Source::Key(source),
                None => Source::File(&file),
            };
            let copies = u64::from(source.is_some());
            self.count(if copies > 0 { 0 } else { content.len() }, copies);
            return self.report(object, content.len(), &place);
        }
        let bucket = self.remote.bucket()?;
        if let Some(source) = &source
            && bucket.copy(source, key, &headers)?
        {
            self.count(0, 1);
            return Ok(());
        }
        self.count(content.len(), 0);
        let digest = object.digest.map(|digest| sha256(&content, digest));
        let stored = Bytes::Content(&content, digest.transpose()?);
        bucket.put(key, stored, &headers, If::Always)?;
        if let Some(digest) = object.digest.filter(|_| is_at_root(object)) {
            let mut at_root = locked(&self.at_root);
            at_root.insert(digest);
        }
        Ok(())
    }

    /// The key of some content at the root of the bucket, if it is there.
    fn source(&self, digest: &Digest, size: u64) -> Option<String> {
        let at_root = locked(&self.at_root);
        let key = blob_path(digest);
        (at_root.contains(digest) || self.remote.has(&key, size)).then_some(key)
    }

    fn pointer(&self, object: &Object, bytes: &[u8]) -> anyhow::Result<()> {
        let key = key(object);
        if self.is_left_out(key) {
            return Ok(());
        }
        let can = self.abilities.as_ref();
        // Where a store keeps no bytes at a key that ends in a slash, an empty object is all there can be.
        let is_empty = key.ends_with('/')
            && can.map_or_else(|| self.remote.has(key, 0), |can| can.slash == Slash::Empty);
        let bytes = if is_empty { &[][..] } else { bytes };
        let etag = match self.remote.compare(key, bytes)? {
            Compared::Same => return Ok(()),
            Compared::Missing => None,
            Compared::Other(etag) => Some(etag),
        };
        self.count(bytes.len() as u64, 0);
        self.report(object, bytes.len() as u64, &Source::Bytes(bytes))?;
        let Some(can) = can else { return Ok(()) };
        let condition = match &etag {
            // `v2/` never changes, and real folders are there before it.
            _ if !can.conditions || key.ends_with('/') => If::Always,
            Some(etag) => If::Is(etag),
            None => If::Absent,
        };
        let (bucket, headers) = (self.remote.bucket()?, headers(object));
        let put = |condition| bucket.put(key, Bytes::Memory(bytes), &headers, condition);
        let mut is_stored = put(condition)?;
        // SeaweedFS takes the folder of `tags/<tag>` for an object `tags`.
        if !is_stored && matches!(condition, If::Absent) && bucket.get(key)?.is_none() {
            is_stored = put(If::Always)?;
        }
        if !is_stored {
            self.conflict.store(true, Ordering::Relaxed);
        }
        self.changed(&object.path);
        Ok(())
    }

    /// Whether the store cannot keep an object. Of `tags` and `tags/<tag>` the list stays: it has all that the others
    /// say, Docker up to 1.6 asks for nothing else, and a merge reads it.
    fn is_left_out(&self, key: &str) -> bool {
        let (no_tag, no_slash) = match &self.abilities {
            Some(can) => (!can.keys_beside_folders, can.slash == Slash::Nothing),
            None => [self.remote.lacks_single_tags(); 2].into(),
        };
        (no_tag && is_single_tag(key)) || (no_slash && key.ends_with('/'))
    }

    fn changed(&self, path: &str) {
        let mut changed = locked(&self.changed);
        changed.insert(path.to_owned());
    }

    /// Deletes pointers that nothing lists any more.
    pub(super) fn delete(&self, keys: &[String]) -> anyhow::Result<()> {
        // Where `tags` has no folder beside it, rclone's `serve s3` would delete it instead of `tags/<tag>`.
        let keys = keys.iter().filter(|key| !self.is_left_out(key));
        let keys: Vec<&String> = keys.collect();
        if let Some(report) = self.report {
            return keys
                .iter()
                .try_for_each(|key| report(&Operation::delete(key)));
        }
        let bucket = self.remote.bucket()?;
        keys.par_iter().try_for_each(|key| {
            self.changed(&format!("/{key}"));
            bucket
                .delete(key)
                .with_context(|| format!("cannot delete `{key}`"))
        })?;
        let mut stored = locked(&self.stored);
        stored.deleted += keys.len() as u64;
        Ok(())
    }
}
