//! `publish`: merges a site into a bucket.
//!
//! The bucket is a site. Its catalogue says what it lists, content goes up before what names it, and pointers are
//! written under the condition that nobody else has changed them. Where somebody has, everything is merged again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::bucket::{Bucket, Destination, Endpoint};
use crate::fsx;
use crate::import::selection::{Glob, Selection};
use crate::note::Note;
use crate::ops::changes::Changes;
use crate::ops::publish::operation::Report;
use crate::ops::publish::remote::Remote;
use crate::ops::publish::run::Run;
use crate::ops::publish::upload::{Mode, Upload};
use crate::ops::view::View;
use crate::progress::Progress;

mod headers;
mod merge;
pub mod operation;
mod prune;
mod remote;
mod run;
mod select;
mod send;
mod unused;
mod upload;

pub use prune::{PruneOptions, Pruned};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command"
)]
pub struct PublishOptions {
    pub site: PathBuf,
    /// `None` to plan for an empty bucket.
    pub destination: Option<Destination>,
    /// The address of a store other than that of AWS.
    pub endpoint: Option<Endpoint>,
    pub region: String,
    pub selection: Selection,
    pub no_move: Option<Glob>,
    /// List only what the site has.
    pub mirror: bool,
    /// Store each blob once, for an edge that rewrites addresses.
    pub blobs_once: bool,
    /// Store an empty object with the digest of a blob for each v1 layer that is one.
    pub layers_once: bool,
    /// Look at the headers of each object.
    pub check_headers: bool,
    pub prune: Option<PruneOptions>,
    /// Drop references and content although the store has no conditional writes.
    pub force: bool,
    pub dry_run: bool,
}

/// The result of a publish.
#[derive(Debug, Default, Serialize)]
pub struct Published {
    /// Its files are objects, its links objects that the store copied.
    pub changes: Changes,
    /// The bytes that the store copied: content that the bucket has more than once.
    pub copied_bytes: u64,
    /// The number of objects that had other headers.
    pub mended_headers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
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
    let upload = upload(options, &remote, Mode::Report(report));
    upload.content(&local.plan_without_pages())?;
    upload.pointers(&merged.plan())?;
    upload.delete(&merged.dropped, &mut |_| Ok(()))?;
    headers::plan(&remote, report)
}

/// Publishes a site. `on_wait` is called where another run deletes what this one needs. What was done is in `published`,
/// also after an error.
///
/// # Errors
/// When the site is damaged or the store fails. What the bucket listed before can still be pulled.
pub fn publish(
    options: &PublishOptions,
    progress: &Arc<Progress>,
    on_wait: &mut dyn FnMut(),
    published: &mut Published,
) -> anyhow::Result<()> {
    let bucket = bucket(options).context("a destination is needed")?;
    published.notes = options.selection.unmatched().collect();
    let run = Run {
        options,
        bucket: &bucket,
        local: local(options)?,
        progress,
        on_wait,
        abilities: None,
        published,
    };
    run.publish()
}

fn local(options: &PublishOptions) -> anyhow::Result<View> {
    let mut local = View::load(&options.site)?;
    let site = fsx::escaped_path(&options.site);
    let (whole, images) = (local.images.check_whole(&site), &local.images);
    let names = images.repositories.keys().cloned();
    // A lost manifest may be attached to what is selected.
    let lost: Vec<_> = names
        .filter(|name| images.has_lost_manifest(name))
        .collect();
    select::select(&mut local, &options.selection)?;
    let listed = &local.catalogue.repositories;
    if lost.iter().any(|name| listed.contains_key(name)) {
        whole?;
    }
    local.images.check_whole(&site)?;
    Ok(local)
}

fn bucket(options: &PublishOptions) -> Option<Bucket> {
    let destination = options.destination.as_ref()?;
    Some(Bucket::new(
        destination,
        options.endpoint.as_ref(),
        &options.region,
    ))
}

fn upload<'a>(options: &'a PublishOptions, remote: &'a Remote<'a>, mode: Mode<'a>) -> Upload<'a> {
    Upload {
        blobs_once: options.blobs_once,
        layers_once: options.layers_once,
        ..Upload::new(&options.site, remote, mode)
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
