//! Deletes from a bucket what its catalogue has not led to for the grace period.
//!
//! Only what the [list](super::unused) has had for so long goes, under a lease. Tags and lists that differ from the
//! catalogue, as a publisher leaves them that was killed, are on the list too: when they are due, they are mended
//! before content goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rayon::prelude::*;
use serde::Serialize;

use crate::bucket::{self, Abilities, Begun, Bucket};
use crate::error::WithHint as _;
use crate::ops::changes::{Named, named};
use crate::ops::prune::take_untagged;
use crate::ops::publish::merge::{self, Merged};
use crate::ops::publish::remote::{Remote, short};
use crate::ops::publish::select::keep_listed;
use crate::ops::publish::send::{is_stand_in, key, key_of, path_of};
use crate::ops::publish::unused::{Held, Seen, Unused};
use crate::ops::publish::upload::{Mode, Upload, locked};
use crate::ops::since::Since;
use crate::progress::Progress;
use crate::site_files::{blob_path, v1_files};
use crate::spec::v1::V1Id;
use crate::writer::unreferenced::FileKind;

/// How often a prune begins again because others publish.
const ATTEMPTS: u32 = 10;

#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// How long something must have been unused.
    pub grace: Duration,
    /// Also remove manifests from the catalogue that no tag leads to.
    pub untagged: bool,
}

/// What a prune deleted, or would.
#[derive(Debug, Default, Serialize)]
pub struct Pruned {
    /// Manifests removed from the catalogue.
    pub removed: Vec<Named>,
    /// Keys of objects.
    pub deleted: Vec<String>,
    /// The bytes of these objects.
    pub bytes: u64,
    /// The number of tags and lists that differed from the catalogue.
    pub mended: u64,
    /// The number of uploads of large objects that nobody finished.
    pub uploads: u64,
    /// The number of unused objects in their grace period.
    pub waiting: u64,
    /// The number of untagged manifests in their grace period.
    pub untagged: u64,
    /// The URL paths of the tags and lists among these.
    #[serde(skip)]
    pub changed: BTreeSet<String>,
}

/// An object that nothing leads to.
struct Found {
    kind: FileKind,
    key: String,
    size: u64,
}

struct Plan {
    pruned: Pruned,
    /// What the bucket is to list.
    merged: Merged,
    /// The paths of the pointers to be stored.
    pointers: BTreeSet<String>,
    uploads: Vec<Begun>,
    /// The new list.
    since: BTreeMap<String, u64>,
}

impl Plan {
    /// Whether nothing is due.
    fn is_idle(&self) -> bool {
        self.pruned.deleted.is_empty() && self.pointers.is_empty() && self.uploads.is_empty()
    }
}

/// `can` tries the store before the first write, and gives `None` where nothing is to be changed.
pub(super) fn prune(
    bucket: &Bucket,
    options: PruneOptions,
    can: &mut dyn FnMut() -> anyhow::Result<Option<Abilities>>,
) -> anyhow::Result<Pruned> {
    for _ in 0..ATTEMPTS {
        let seen = Unused::read(bucket)?;
        seen.check_lease(bucket.now())?;
        let remote = Remote::read(bucket)?;
        if remote.catalogue.is_none() {
            return Ok(Pruned::default());
        }
        let plan = plan(bucket, &remote, &seen, options)?;
        if plan.is_idle() && plan.since == seen.unused.since {
            return Ok(plan.pruned);
        }
        let Some(can) = can()? else {
            return Ok(plan.pruned);
        };
        if let Some(pruned) = apply(bucket, &remote, &seen, plan, can)? {
            return Ok(pruned);
        }
        std::thread::sleep(bucket::pause());
    }
    Err(anyhow::anyhow!("others publish to the bucket all the time")).hint("prune again later")
}

fn plan(
    bucket: &Bucket,
    remote: &Remote<'_>,
    seen: &Seen,
    options: PruneOptions,
) -> anyhow::Result<Plan> {
    let now = bucket.now();
    let mut since = Since::new(seen.unused.since.clone(), now, options.grace);
    let mut pruned = Pruned::default();
    let mut merged = merge::of_bucket(remote)?;
    // A publisher on its way has stored pointers that the catalogue does not have yet.
    let strange = differing(remote, &merged)?;
    if options.untagged {
        let (removed, waiting) = take_untagged(&merged.images, &mut merged.catalogue, &mut since);
        pruned.untagged = waiting;
        for (repository, digests) in removed {
            let names = digests
                .iter()
                .map(|digest| named(&repository, None, *digest));
            pruned.removed.extend(names);
        }
    }
    let mut pointers = if pruned.removed.is_empty() {
        strange.clone()
    } else {
        keep_listed(&mut merged.images, &merged.catalogue.repositories);
        merged.pages = merge::pages(remote, &merged.catalogue, &merged.images, false)?;
        differing(remote, &merged)?
    };
    pointers.retain(|path| !strange.contains(path) || since.is_due(key_of(path)));
    pruned.mended = pointers
        .iter()
        .filter(|path| strange.contains(*path))
        .count() as u64;
    let used = used(remote, &merged)?;
    let listing = find(bucket, &used)?;
    let found = listing.found.into_iter();
    let (due, mut waiting): (Vec<Found>, Vec<Found>) =
        found.partition(|found| since.is_due(&found.key));
    let (mut due, stood_for) = stood_for(bucket, &listing.stand_ins, due)?;
    waiting.extend(stood_for);
    due.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
    let oldest = now.saturating_sub(options.grace.as_secs());
    let uploads = bucket.begun("")?.into_iter();
    let uploads: Vec<Begun> = uploads
        .filter(|begun| FileKind::of(&begun.key) != FileKind::Foreign)
        .filter(|begun| seconds(&begun.initiated).is_some_and(|time| time <= oldest))
        .collect();
    pruned.waiting = waiting.len() as u64;
    pruned.bytes = due.iter().map(|found| found.size).sum();
    let names = due.iter().filter(|found| found.kind.is_name());
    pruned.changed = names.map(|found| path_of(&found.key)).collect();
    pruned.changed.extend(pointers.iter().cloned());
    pruned.uploads = uploads.len() as u64;
    pruned.deleted = due.into_iter().map(|found| found.key).collect();
    Ok(Plan {
        pruned,
        merged,
        pointers,
        uploads,
        since: since.seen().clone(),
    })
}

/// Carries out a plan. `None` if another publisher has changed something.
fn apply(
    bucket: &Bucket,
    remote: &Remote<'_>,
    seen: &Seen,
    plan: Plan,
    can: Abilities,
) -> anyhow::Result<Option<Pruned>> {
    if plan.is_idle() {
        let new = Unused {
            lease: seen.unused.lease.clone(),
            since: plan.since,
        };
        let is_stored = seen.replace(bucket, &new, can.conditions)?;
        return Ok(is_stored.then_some(plan.pruned));
    }
    let since = plan.since.clone();
    let Some(mut held) = Held::take(bucket, seen, since, can.conditions)? else {
        return Ok(None);
    };
    // After an error the lease stays until it runs out: a request may still have its effect.
    let is_done = delete(bucket, remote, &plan, can, &mut held)?;
    let gone: BTreeSet<&str> = plan.pruned.deleted.iter().map(String::as_str).collect();
    held.end(|key| is_done && gone.contains(key))?;
    Ok(is_done.then_some(plan.pruned))
}

/// `false` if another publisher has changed something.
fn delete(
    bucket: &Bucket,
    remote: &Remote<'_>,
    plan: &Plan,
    can: Abilities,
    held: &mut Held<'_>,
) -> anyhow::Result<bool> {
    let progress = Arc::new(Progress::default());
    let mut upload = Upload::new(Path::new(""), remote, Mode::Send(can, &progress));
    upload.only = Some(&plan.pointers);
    upload.pointers(&plan.merged.plan())?;
    if *upload.conflict.get_mut() {
        return Ok(false);
    }
    held.delete(&plan.pruned.deleted)?;
    plan.uploads
        .par_iter()
        .try_for_each(|begun| bucket.abort(begun))?;
    Ok(true)
}

/// The objects that the catalogue leads to.
fn used(remote: &Remote<'_>, merged: &Merged) -> anyhow::Result<HashSet<u128>> {
    let mut used = HashSet::new();
    merged.plan().objects(&mut |object| {
        used.insert(short(key(object)));
        Ok(())
    })?;
    // The v1 form of an image is kept as long as its manifest, even without a tag.
    let repositories = merged.catalogue.repositories.values();
    let entries = repositories.flat_map(|repo| repo.manifests.values());
    let tops: BTreeSet<V1Id> = entries.filter_map(|entry| entry.v1).collect();
    let mut tops: Vec<V1Id> = tops.into_iter().collect();
    tops.retain(|top| merged.catalogue.apis.v1 && !merged.v1.images.contains_key(top));
    let chains: Vec<Vec<V1Id>> = tops
        .par_iter()
        .map(|top| remote.v1_chain(*top))
        .collect::<anyhow::Result<_>>()?;
    for id in chains.into_iter().flatten() {
        used.extend(v1_files(id).map(|key| short(&key)));
    }
    Ok(used)
}

/// The paths of pointers that are not as the catalogue has them.
fn differing(remote: &Remote<'_>, merged: &Merged) -> anyhow::Result<BTreeSet<String>> {
    let trial = Upload::new(Path::new(""), remote, Mode::Trial);
    trial.pointers(&merged.plan())?;
    let changed = std::mem::take(&mut *locked(&trial.changed));
    Ok(changed)
}

#[derive(Default)]
struct Listing {
    /// Objects that are not used.
    found: Vec<Found>,
    /// Layers of v1 that stand for blobs, used or not.
    stand_ins: Vec<String>,
}

/// Lists the bucket. What is no part of a site is left alone.
fn find(bucket: &Bucket, used: &HashSet<u128>) -> anyhow::Result<Listing> {
    let mut listing = Listing::default();
    bucket.list(&mut |page| {
        for listed in page {
            let kind = FileKind::of(&listed.key);
            let is_of_site = kind != FileKind::Foreign && !listed.key.contains(char::is_control);
            if is_stand_in(&listed) {
                listing.stand_ins.push(listed.key.clone());
            }
            if is_of_site && !used.contains(&short(&listed.key)) {
                listing.found.push(Found {
                    kind,
                    size: listed.size,
                    key: listed.key,
                });
            }
        }
        Ok(())
    })?;
    Ok(listing)
}

/// Splits what is due into what can go and the blobs for which layers stand that stay. These may be of a manifest that
/// is gone, while another one, maybe of a publisher on its way, has the same v1 image.
fn stood_for(
    bucket: &Bucket,
    stand_ins: &[String],
    due: Vec<Found>,
) -> anyhow::Result<(Vec<Found>, Vec<Found>)> {
    let is_content = |found: &Found| matches!(found.kind, FileKind::Content(_));
    if !due.iter().any(is_content) {
        return Ok((due, Vec::new()));
    }
    let going: HashSet<&str> = due.iter().map(|found| found.key.as_str()).collect();
    let digests: Vec<Option<String>> = stand_ins
        .par_iter()
        .filter(|key| !going.contains(key.as_str()))
        .map(|key| Ok(bucket.head(key)?.and_then(|stored| stored.digest)))
        .collect::<anyhow::Result<_>>()?;
    let digests = digests
        .iter()
        .flatten()
        .filter_map(|text| text.parse().ok());
    let needed: HashSet<String> = digests.map(|digest| blob_path(&digest)).collect();
    Ok(due
        .into_iter()
        .partition(|found| !needed.contains(&found.key)))
}

/// Seconds since 1970.
fn seconds(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}
