//! The order of publishing: which objects go to a bucket, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::bucket::Abilities;
use crate::ops::publish::operation::Report;
use crate::ops::publish::remote::Remote;
use crate::ops::publish::send::key;
use crate::plan::Plan;
use crate::plan::objects::Object;
use crate::plan::tree::Stage;
use crate::progress::Progress;
use crate::routes::Cache;
use crate::spec::digest::Digest;
use crate::writer::counts::FileChanges;

/// How many objects are collected before they are sent in parallel.
const BATCH: usize = 512;

/// The order of publishing, finer than [`Stage`]: children before their indexes, referrers before tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Content,
    Manifest,
    Index,
    V1Json,
    Signature,
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
const POINTERS: [(usize, RangeInclusive<Rank>); 3] = [
    (3, Rank::Signature..=Rank::Signature),
    (4, Rank::Referrers..=Rank::Referrers),
    (4, Rank::Pointer..=Rank::Catalogue),
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
            Stage::Signature => Self::Signature,
            Stage::Pointer if object.path.contains("/referrers/") => Self::Referrers,
            Stage::Pointer => Self::Pointer,
            Stage::TagList => Self::TagList,
            Stage::List => Self::List,
            Stage::Catalogue => Self::Catalogue,
        }
    }
}

/// What becomes of the objects that the bucket lacks.
#[derive(Clone, Copy)]
pub(super) enum Mode<'a> {
    /// They are counted.
    Trial,
    /// They are reported, in order.
    Report(&'a Report<'a>),
    /// They are sent to a store with these abilities.
    Send(Abilities, &'a Arc<Progress>),
}

pub(super) struct Upload<'a> {
    pub(super) site: &'a Path,
    pub(super) remote: &'a Remote<'a>,
    pub(super) mode: Mode<'a>,
    /// Whether blobs are stored at the root of the site alone.
    pub(super) blobs_once: bool,
    /// Whether an empty object stands for each v1 layer that is a blob.
    pub(super) layers_once: bool,
    /// The paths of the pointers that are stored, if not all are.
    pub(super) only: Option<&'a BTreeSet<String>>,
    /// Keys that may be deleted unless they are taken off the list.
    pub(super) unused: Option<&'a BTreeMap<String, u64>>,
    /// Those of them that the site has.
    pub(super) needed: Mutex<BTreeSet<String>>,
    pub(super) stored: Mutex<FileChanges>,
    /// The bytes that the store copied.
    pub(super) copied: Mutex<u64>,
    /// The files at the root of the site by device and inode: other names of them are known by these.
    pub(super) roots: Mutex<BTreeMap<(u64, u64), Digest>>,
    /// The content that this run has stored at the root of the site.
    pub(super) at_root: Mutex<BTreeSet<Digest>>,
    /// The paths of the pointers that were stored or deleted, or would be.
    pub(super) changed: Mutex<BTreeSet<String>>,
    /// Whether another publisher has changed something.
    pub(super) conflict: AtomicBool,
}

/// Threads that panic leave whole values behind.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is content at the root of the site, beside its names in repositories.
pub(super) fn is_at_root(object: &Object) -> bool {
    object.path.starts_with("/blobs/")
}

fn is_blob_of_repository(object: &Object) -> bool {
    object.stage == Stage::Content && object.path.starts_with("/v2/")
}

impl<'a> Upload<'a> {
    pub(super) fn new(site: &'a Path, remote: &'a Remote<'a>, mode: Mode<'a>) -> Self {
        Self {
            site,
            remote,
            mode,
            blobs_once: false,
            layers_once: false,
            only: None,
            unused: None,
            needed: Mutex::default(),
            stored: Mutex::default(),
            copied: Mutex::default(),
            roots: Mutex::default(),
            at_root: Mutex::default(),
            changed: Mutex::default(),
            conflict: AtomicBool::new(false),
        }
    }

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
            let is_left_out = self.blobs_once && is_blob_of_repository(object);
            if is_left_out || !ranks.contains(&Rank::of(object)) {
                return Ok(());
            }
            let is_next = batch
                .last()
                .is_some_and(|last| order(last) != order(object));
            if is_next || batch.len() >= BATCH {
                self.send(plan, &std::mem::take(&mut batch))?;
            }
            batch.push(object.clone());
            Ok(())
        })?;
        self.send(plan, &batch)
    }

    fn send(&self, plan: &Plan<'_>, batch: &[Object]) -> anyhow::Result<()> {
        let send = |object: &Object| {
            if self.conflict.load(Ordering::Relaxed) {
                return Ok(());
            }
            let key = key(object);
            if self.unused.is_some_and(|unused| unused.contains_key(key)) {
                locked(&self.needed).insert(key.to_owned());
            }
            let page = object.page.as_ref();
            let page = page.map(|page| plan.page(page)).transpose()?;
            match object.bytes.as_ref().or(page.as_ref()) {
                Some(bytes) if object.cache == Cache::Pointer => self.pointer(object, bytes),
                Some(bytes) => self.made(object, bytes),
                // In the bucket alone.
                None if object.stage >= Stage::Signature => Ok(()),
                None => self.file(object),
            }
        };
        if matches!(self.mode, Mode::Report(_)) {
            batch.iter().try_for_each(send)
        } else {
            batch.par_iter().try_for_each(send)
        }
    }
}
