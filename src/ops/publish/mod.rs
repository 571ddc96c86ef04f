//! `publish`: merges a site into a bucket.
//!
//! The bucket is a site. Its catalogue says what it lists, content goes up before what names it, and pointers are
//! written under the condition that nobody else has changed them. Where somebody has, everything is merged again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use serde::Serialize;

use crate::bucket::{Bucket, Destination, Slash};
use crate::error::WithHint as _;
use crate::import::selection::{Glob, Selection};
use crate::note::{Note, NoteKind};
use crate::ops::changes::Changes;
use crate::ops::publish::operation::Report;
use crate::ops::publish::remote::Remote;
use crate::ops::publish::upload::{Upload, locked};
use crate::ops::view::View;
use crate::writer::write::FileChanges;

mod merge;
pub mod operation;
mod remote;
mod upload;

/// How often a publish begins again because others publish too.
const ATTEMPTS: u32 = 50;

pub struct PublishOptions {
    pub site: PathBuf,
    /// `None` to plan for an empty bucket.
    pub destination: Option<Destination>,
    /// The address of a store other than that of AWS.
    pub endpoint: Option<String>,
    pub region: String,
    pub selection: Selection,
    pub no_move: Option<Glob>,
    /// List only what the site has.
    pub mirror: bool,
    /// Drop references although the store has no conditional writes.
    pub force: bool,
    pub dry_run: bool,
}

/// The result of a publish.
#[derive(Debug, Serialize)]
pub struct Published {
    /// Its files are objects, its links objects that the store copied.
    pub changes: Changes,
    pub notes: Vec<Note>,
    /// The URL paths of the pointers that were stored or deleted.
    #[serde(skip)]
    pub changed: BTreeSet<String>,
}

/// Calls `report` with all that a publish would do, in order.
///
/// # Errors
/// When the site is damaged, the store fails, or `report` does.
pub fn plan(options: &PublishOptions, report: &Report<'_>) -> anyhow::Result<()> {
    let local = local(options)?;
    let bucket = bucket(options);
    let remote = bucket
        .as_ref()
        .map_or_else(|| Ok(Remote::none()), Remote::read)?;
    let merged = merge::merge(&local, &remote, options.mirror)?;
    changes(options, &remote, &merged)?;
    let upload = Upload {
        report: Some(report),
        ..upload(options, &remote)
    };
    upload.content(&local.plan())?;
    upload.pointers(&merged.plan())?;
    upload.delete(&merged.dropped)
}

/// Publishes a site.
///
/// # Errors
/// When the site is damaged or the store fails. What the bucket listed before can still be pulled.
pub fn publish(options: &PublishOptions) -> anyhow::Result<Published> {
    let local = local(options)?;
    let bucket = bucket(options).context("a destination is needed")?;
    let mut published = Published {
        changes: Changes::default(),
        notes: options.selection.unmatched().collect(),
        changed: BTreeSet::new(),
    };
    let (mut abilities, mut stored) = (None, FileChanges::default());
    for attempt in 1..=ATTEMPTS {
        let remote = Remote::read(&bucket)?;
        let merged = merge::merge(&local, &remote, options.mirror)?;
        let changes = changes(options, &remote, &merged)?;
        if attempt == 1 {
            published.changes = changes;
            if remote.catalogue.is_none() && !remote.is_empty() {
                let note = NoteKind::Choice.note("the bucket had objects, but no site");
                published.notes.push(note);
            }
        }
        // A run without any change asks the store nothing more.
        let trial = upload(options, &remote);
        trial.content(&local.plan())?;
        trial.pointers(&merged.plan())?;
        let would = trial.stored();
        if options.dry_run || (would.is_nothing() && merged.dropped.is_empty()) {
            published.changes.files = if options.dry_run { would } else { stored };
            return Ok(published);
        }
        let can = if let Some(can) = abilities {
            can
        } else {
            let can = *abilities.insert(bucket.probe()?);
            published.notes.extend(limits(can));
            can
        };
        if !can.conditions && options.mirror && !options.force {
            return Err(anyhow::anyhow!(
                "the store has no conditional writes, so `--mirror` might drop what another publisher adds"
            ))
            .hint("where nobody else publishes meanwhile, use `--force`");
        }
        let mut upload = Upload {
            abilities: Some(can),
            ..upload(options, &remote)
        };
        upload.content(&local.plan())?;
        upload.pointers(&merged.plan())?;
        let is_done = !*upload.conflict.get_mut();
        if is_done {
            upload.delete(&merged.dropped)?;
        }
        stored.add(&upload.stored());
        published.changed.append(&mut locked(&upload.changed));
        if is_done {
            published.changes.files = stored;
            return Ok(published);
        }
        std::thread::sleep(crate::bucket::pause());
    }
    Err(anyhow::anyhow!("others publish to the bucket all the time"))
        .hint("what was sent stays; try again")
}

fn local(options: &PublishOptions) -> anyhow::Result<View> {
    let mut local = View::load(&options.site)?;
    merge::select(&mut local, &options.selection)?;
    Ok(local)
}

fn bucket(options: &PublishOptions) -> Option<Bucket> {
    let destination = options.destination.as_ref()?;
    Some(Bucket::new(
        destination,
        options.endpoint.as_deref(),
        &options.region,
    ))
}

/// An upload that sends nothing.
fn upload<'a>(options: &'a PublishOptions, remote: &'a Remote<'a>) -> Upload<'a> {
    Upload {
        site: &options.site,
        remote,
        abilities: None,
        report: None,
        stored: Mutex::default(),
        at_root: Mutex::default(),
        changed: Mutex::default(),
        conflict: AtomicBool::new(false),
    }
}

fn changes(
    options: &PublishOptions,
    remote: &Remote<'_>,
    merged: &merge::Merged,
) -> anyhow::Result<Changes> {
    let changes = Changes::of_tags(remote.repositories(), &merged.catalogue.repositories);
    changes.check_moves(options.no_move.as_ref())?;
    Ok(changes)
}

/// What a store cannot do.
fn limits(can: crate::bucket::Abilities) -> Vec<Note> {
    let mut notes = Vec::new();
    if !can.conditions {
        notes.push(NoteKind::Choice.note(
            "the store has no conditional writes: two publishers at once could drop each other's tags from the lists",
        ));
    }
    if !can.keys_beside_folders {
        notes.push(NoteKind::Choice.note(
            "the store keeps no object beside a folder of its name: v1 has lists of tags, but no single ones, for which Docker 1.7 to 1.9 ask",
        ));
    }
    notes.extend(match can.slash {
        Slash::Bytes => None,
        Slash::Empty => Some(NoteKind::Choice.note(
            "the store keeps no bytes at `v2/`: it is empty, which is enough for clients",
        )),
        Slash::Nothing => Some(NoteKind::Choice.note(
            "the store has no object at `v2/`: the server in front of it must answer `/v2/` with 200, or no client pulls over v2",
        )),
    });
    if !can.deletes {
        notes.push(NoteKind::Choice.note(
            "the store does not let these credentials delete: what was written to try it stays below `_probe/`",
        ));
    }
    notes
}
