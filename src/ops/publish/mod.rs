//! `publish`: merges a site into a bucket.
//!
//! The bucket is a site. Its catalogue says what it lists, content goes up before what names it, and pointers are
//! written under the condition that nobody else has changed them. Where somebody has, everything is merged again.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::bucket::{Bucket, Destination};
use crate::error::WithHint as _;
use crate::import::selection::{Glob, Selection};
use crate::note::{Note, NoteKind};
use crate::ops::changes::Changes;
use crate::ops::publish::remote::Remote;
use crate::ops::publish::upload::Upload;
use crate::ops::view::View;
use crate::writer::write::FileChanges;

mod merge;
mod remote;
mod upload;

/// How often a publish begins again because others publish too.
const ATTEMPTS: u32 = 50;

pub struct PublishOptions {
    pub site: PathBuf,
    pub destination: Destination,
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
}

/// Publishes a site.
///
/// # Errors
/// When the site is damaged or the store fails. What the bucket listed before can still be pulled.
pub fn publish(options: &PublishOptions) -> anyhow::Result<Published> {
    let mut local = View::load(&options.site)?;
    merge::select(&mut local, &options.selection)?;
    let bucket = Bucket::new(
        &options.destination,
        options.endpoint.as_deref(),
        &options.region,
    );
    let mut abilities = None;
    let mut stored = FileChanges::default();
    let mut notes: Vec<Note> = options.selection.unmatched().collect();
    let mut first: Option<Changes> = None;
    for attempt in 1..=ATTEMPTS {
        let remote = Remote::read(&bucket)?;
        if remote.catalogue.is_none() && !remote.is_empty() && attempt == 1 {
            notes.push(NoteKind::Choice.note("the bucket had objects, but no site"));
        }
        let merged = merge::merge(&local, &remote, options.mirror)?;
        let none = std::collections::BTreeMap::new();
        let before = remote
            .catalogue
            .as_ref()
            .map_or(&none, |catalogue| &catalogue.repositories);
        let changes = Changes::of_tags(before, &merged.catalogue.repositories);
        changes.check_moves(options.no_move.as_ref())?;
        let changes = first.get_or_insert(changes);
        let mut upload = Upload {
            site: &options.site,
            remote: &remote,
            abilities: None,
            stored: Mutex::new(FileChanges::default()),
            at_root: Mutex::default(),
            conflict: AtomicBool::new(false),
        };
        // A run without any change asks the store nothing more.
        upload.content(&local.plan())?;
        upload.pointers(&merged.plan())?;
        let would = std::mem::take(
            &mut *upload
                .stored
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        if options.dry_run || (would.is_nothing() && merged.dropped.is_empty()) {
            changes.files = if options.dry_run { would } else { stored };
            return Ok(Published {
                changes: std::mem::take(changes),
                notes,
            });
        }
        let can = match abilities {
            Some(abilities) => abilities,
            None => *abilities.insert(bucket.probe()?),
        };
        if attempt == 1 {
            notes.extend(limits(can));
        }
        if !can.conditions && options.mirror && !options.force {
            return Err(anyhow::anyhow!(
                "the store has no conditional writes, so `--mirror` might drop what another publisher adds"
            ))
            .hint("where nobody else publishes meanwhile, use `--force`");
        }
        upload.abilities = Some(can);
        upload.content(&local.plan())?;
        upload.pointers(&merged.plan())?;
        let is_done = !*upload.conflict.get_mut();
        if is_done {
            upload.delete(&merged.dropped)?;
        }
        let sent = upload
            .stored
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        stored.files += sent.files;
        stored.bytes += sent.bytes;
        stored.links += sent.links;
        stored.deleted += sent.deleted;
        if is_done {
            changes.files = stored;
            return Ok(Published {
                changes: std::mem::take(changes),
                notes,
            });
        }
        std::thread::sleep(crate::bucket::pause());
    }
    Err(anyhow::anyhow!("others publish to the bucket all the time"))
        .hint("what was sent stays; try again")
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
            "the store keeps no object beside a folder of its name: `/v2/` is empty, and v1 has lists of tags, but no single ones",
        ));
    }
    notes
}
