//! `prune`: deletes content that the catalogue has not referred to for the grace period.
//!
//! The grace period starts with the first prune that finds something unused; see [`crate::ops::unused`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::fsx;
use crate::images::Images;
use crate::note::{Note, NoteKind};
use crate::ops::changes::{Named, named};
use crate::ops::edit::{self, reachable};
use crate::ops::retention::{Expired, Retention};
use crate::ops::since::Since;
use crate::ops::unused::{Moment, Unused, Withheld};
use crate::ops::view::View;
use crate::site_files::catalogue::Catalogue;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::writer::Site;
use crate::writer::unreferenced::{self, FileKind, Unreferenced};

#[derive(Debug)]
pub struct PruneOptions {
    pub site: PathBuf,
    /// How long content must have been unused before it is deleted.
    pub grace: Duration,
    /// Also remove manifests from the catalogue that no tag and no remaining manifest leads to.
    pub untagged: bool,
    /// The tags to remove first.
    pub retention: Retention,
    pub dry_run: bool,
}

/// The result of a prune, or of its dry run.
#[derive(Debug, Default, Serialize)]
pub struct Pruned {
    /// Tags removed by their age, with what only they led to.
    pub expired: Vec<Expired>,
    /// Manifests removed from the catalogue that no tag led to.
    pub removed: Vec<Named>,
    /// Stale tags and lists, which are deleted without a grace period: paths relative to the site.
    pub names: Vec<String>,
    /// Unused content that was deleted: paths relative to the site.
    pub files: Vec<String>,
    /// The bytes freed by deleting `files`. A file with other hard links frees none.
    pub bytes: u64,
    /// The number of unused files still in their grace period.
    pub waiting: u64,
    /// The bytes that deleting these would free.
    pub waiting_bytes: u64,
    /// When the first of these can be deleted, by the clock of this machine (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_until: Option<String>,
    /// The number of untagged manifests still in their grace period.
    pub untagged: u64,
    /// Files under `blobs/`, `v1/` and `v2/` that no build wrote. They are kept.
    pub foreign: Vec<String>,
    pub notes: Vec<Note>,
}

/// Deletes stale tags and lists, and the content whose grace period has ended. `on_contention` is called
/// before waiting for another writer; its error ends the call.
pub fn prune(
    options: &PruneOptions,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Pruned> {
    let (site, mut catalogue) = edit::open(&options.site, options.dry_run, on_contention)?;
    // An interrupted run may have left tags that the catalogue does not have. So may copying a newer site
    // over an older one.
    let mut touched = site.pending.clone();
    if !site.is_own() {
        touched.extend(catalogue.repositories.keys().cloned());
    }
    if !touched.is_empty() {
        edit::rebuild_repositories(&site, &catalogue, &touched)?;
    }
    let mut list = Unused::read(&site)?;
    let machine = Moment::now();
    let clock = machine.clock;
    let now = list.go_on(machine);
    let mut since = Since::new(std::mem::take(&mut list.since), now, options.grace);
    let mut view = View::of(&site.files, catalogue.clone())?;
    view.images.check_readable()?;
    let withheld = Withheld::of(&view.plan()?);
    let names = unreferenced::find(&site.files, &view.plan()?)?;
    let expired = expire(&options.retention, &view.images, &mut catalogue, clock)?;
    let mut before = names.clone();
    if !expired.is_empty() {
        let touched = expired.iter().map(|tag| tag.name.repository.clone());
        edit::rebuild_repositories(&site, &catalogue, &touched.collect())?;
        view = View::of(&site.files, catalogue.clone())?;
        before = unreferenced::find(&site.files, &view.plan()?)?;
    }
    let (removed, untagged) = if options.untagged {
        take_untagged(&view.images, &mut catalogue, &mut since)
    } else {
        Default::default()
    };
    let unused = if removed.is_empty() {
        before.clone()
    } else {
        edit::rebuild_repositories(&site, &catalogue, &removed.keys().cloned().collect())?;
        unreferenced::find(&site.files, &View::of(&site.files, catalogue)?.plan()?)?
    };
    let known: BTreeSet<&Unreferenced> = before.iter().collect();
    let names: Vec<&Unreferenced> = names.iter().filter(|file| file.kind.is_name()).collect();
    // Content that only the manifests just removed referred to has been unused for as long as they were.
    let (due, waiting): (Vec<&Unreferenced>, Vec<&Unreferenced>) = unused
        .iter()
        .filter(|file| file.kind.is_content() && !withheld.has(&site.files, file))
        .partition(|file| !known.contains(file) || since.is_due(&file.path));
    let pruned = Pruned {
        expired,
        removed: removed
            .iter()
            .flat_map(|(name, digests)| {
                digests.iter().map(move |digest| named(name, None, *digest))
            })
            .collect(),
        names: names.iter().map(|file| file.path.clone()).collect(),
        bytes: bytes(&site, &due)?,
        files: due.iter().map(|file| file.path.clone()).collect(),
        waiting: waiting.len() as u64,
        waiting_bytes: bytes(&site, &waiting)?,
        waiting_until: waiting
            .iter()
            .map(|file| since.left(&file.path))
            .min()
            .map(|left| list.in_seconds(left)),
        untagged,
        foreign: before
            .iter()
            .filter(|file| file.kind == FileKind::Foreign)
            .map(|file| file.path.clone())
            .collect(),
        notes: options
            .retention
            .unmatched()
            .into_iter()
            .chain(damage_notes(&view.images))
            .collect(),
    };
    site.delete(&names)?;
    site.set_own()?;
    list.since.clone_from(since.seen());
    list.write(&site)?;
    site.delete(&due)?;
    Ok(pruned)
}

/// Removes tags by their age at a time in seconds since 1970, and the manifests that nothing else leads to.
fn expire(
    retention: &Retention,
    images: &Images,
    catalogue: &mut Catalogue,
    now: u64,
) -> anyhow::Result<Vec<Expired>> {
    let mut all = Vec::new();
    if retention.is_none() {
        return Ok(all);
    }
    for (name, repo) in &mut catalogue.repositories {
        let expired = retention.expired(images, name, repo, now)?;
        let tags = expired.iter().filter_map(|tag| tag.name.tag.clone());
        edit::remove_tags(images, repo, &tags.collect(), None);
        all.extend(expired);
    }
    catalogue
        .repositories
        .retain(|_, repo| !repo.manifests.is_empty());
    Ok(all)
}

/// Removes manifests from the catalogue that have had no tag for the grace period, unless a manifest that
/// stays leads to them. Returns these, and the number of others that stay.
pub(super) fn take_untagged(
    images: &Images,
    catalogue: &mut Catalogue,
    since: &mut Since,
) -> (BTreeMap<Repository, BTreeSet<Digest>>, u64) {
    let (mut removed, mut waiting) = (BTreeMap::new(), 0);
    let known = catalogue.repositories.iter_mut();
    for (name, repo) in known.filter(|(name, _)| !images.has_lost_manifest(name)) {
        let tagged = reachable(images, repo, repo.tags.values().copied());
        let mut due = BTreeSet::new();
        for digest in repo
            .manifests
            .keys()
            .filter(|digest| !tagged.contains(digest))
        {
            if since.is_due(&format!("{name}@{digest}")) {
                due.insert(*digest);
            }
        }
        // A manifest that is not due keeps everything that it leads to.
        let rest = repo.manifests.keys().filter(|digest| !due.contains(digest));
        let rest = reachable(images, repo, rest.copied().collect::<Vec<_>>());
        due.retain(|digest| !rest.contains(digest));
        let untagged = repo
            .manifests
            .keys()
            .filter(|digest| !tagged.contains(digest));
        waiting += untagged.filter(|digest| !due.contains(digest)).count() as u64;
        if !due.is_empty() {
            repo.manifests.retain(|digest, _| !due.contains(digest));
            removed.insert(name.clone(), due);
        }
    }
    catalogue
        .repositories
        .retain(|_, repo| !repo.manifests.is_empty());
    (removed, waiting)
}

/// Notes on damaged references, and what follows.
fn damage_notes(images: &Images) -> BTreeSet<Note> {
    let mut notes = images.damage_notes();
    for name in images.repositories.keys() {
        if images.has_lost_manifest(name) {
            let text = format!(
                "unused content of `{name}` and unused v1 images stay: a manifest is lost, so what it needs is unknown"
            );
            notes.insert(NoteKind::Choice.note(text).about(name.as_str()));
        }
    }
    notes
}

/// The bytes that deletion frees. A file with several names counts only if all of them are deleted.
fn bytes(site: &Site, due: &[&Unreferenced]) -> anyhow::Result<u64> {
    let mut names: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut bytes = 0;
    for file in due {
        if let Some(meta) = fsx::meta(&site.files.path(&file.path))? {
            let seen = names.entry(meta.inode).or_default();
            *seen += 1;
            if *seen == meta.links {
                bytes += meta.len;
            }
        }
    }
    Ok(bytes)
}
