//! `build`: sources in, a site out.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;

use crate::content::{Content, Identity};
use crate::error::WithHint as _;
use crate::images::v1_images::V1Images;
use crate::images::{Images, Taken};
use crate::import::draft::{Draft, JobId, Rules, naming};
use crate::import::ingest::{self, Job, Staging, Stored};
use crate::layer::Completion;
use crate::note::{Kind, Note};
pub(super) use crate::ops::build::merge::tags_changed;
use crate::ops::build::merge::{Merged, merge, merged_apis};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::source::Source;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;
use crate::writer::{Site, unplanned};
use crate::{fsx, layer};

mod merge;
mod mirror;
mod options;
mod room;

pub use options::{Built, Moved, Options, Summary};

/// Builds a site, or adds to one; `progress` counts what is read. Before waiting for another writer `busy` is
/// called, which may refuse to.
///
/// # Errors
/// When a source is bad, or the site cannot be written. The site is as it was then.
pub fn build(
    options: &Options,
    progress: &Arc<Progress>,
    busy: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let (mut site, catalogue) = Site::open(
        &options.output,
        options.apis,
        options.dry_run,
        options.link,
        busy,
    )?;
    let apis = merged_apis(&catalogue, options.apis)?;
    let rules = Rules {
        v1: apis.v1,
        ..options.rules.clone()
    };
    let drafts = load_sources(options, &site, &rules, progress)?;
    let Intake {
        images: new,
        taken,
        read,
    } = take_in(&drafts, &site, &rules, options.cache, progress)?;
    let given: Vec<(Repository, Tag, Digest)> = new
        .repositories
        .iter()
        .flat_map(|(name, repo)| {
            repo.tags
                .iter()
                .map(|(tag, digest)| (name.clone(), tag.clone(), *digest))
        })
        .collect();

    let before = catalogue.repositories.clone();
    let mut merged = merge(options, &site, catalogue, apis, new)?;
    let mut notes = std::mem::take(&mut merged.images.notes);
    notes.extend(check_case(&merged.images, &site)?);
    let v1 = if apis.v1 {
        let platform = merged.catalogue.v1_platform.as_ref();
        V1Images::find(
            &mut merged.images,
            Some(&site.files),
            platform,
            &|below, stored| {
                let content = stored.content.counted(progress);
                let stored = Stored {
                    content,
                    ..stored.clone()
                };
                let made = encode(below, &stored, &site.staging)?;
                stored.content.done();
                Ok(made)
            },
        )?
    } else {
        V1Images::default()
    };
    notes.extend(v1.notes.iter().cloned());
    notes.extend(options.selection.unmatched());

    let Merged {
        images,
        catalogue,
        dropped,
        is_whole,
    } = &merged;
    let plan = Plan {
        catalogue,
        images,
        v1: &v1,
        dropped,
    };
    let mut changes = site.apply(&plan)?;
    if *is_whole {
        let names = remove_names(&site, &plan)?;
        // A dry run has removed none, and finds all that are left.
        changes.removed = if options.dry_run {
            names
        } else {
            changes.removed + names
        };
    }
    if !options.dry_run {
        site.remember(taken.iter().flat_map(Taken::values))?;
        let read = read
            .iter()
            .map(|(job, identity, stored)| (&job.content, identity, stored));
        site.remember_sources(read)?;
    }
    let is_served = |repository: &Repository, tag: &Tag, digest: &Digest| {
        let repo = merged.catalogue.repositories.get(repository);
        repo.and_then(|repo| repo.tags.get(tag)) == Some(digest)
    };
    let references = given
        .into_iter()
        .filter(|(repository, tag, digest)| is_served(repository, tag, digest))
        .map(|(repository, tag, digest)| built(&v1, &repository, &tag, digest))
        .collect();
    let (moved, dropped) = tags_changed(&before, &merged.catalogue.repositories);
    Ok(Summary {
        references,
        moved,
        dropped,
        changes,
        notes: notes.into_iter().collect(),
    })
}

/// Removes names that the catalogue does not have, as a copy of a newer site over an older one leaves them.
/// The plan is that of the whole site.
fn remove_names(site: &Site, plan: &Plan<'_>) -> anyhow::Result<u64> {
    let found = unplanned::find(&site.files, plan)?;
    let names: Vec<_> = found.iter().filter(|file| file.kind.is_name()).collect();
    if let Staging::Folder { .. } = site.staging {
        unplanned::delete(&site.files, &names)?;
        site.set_own()?;
    }
    Ok(names.len() as u64)
}

fn load_sources(
    options: &Options,
    site: &Site,
    rules: &Rules,
    progress: &Progress,
) -> anyhow::Result<Vec<Draft>> {
    // One after the other: a compressed archive passes by with all cores at work on it.
    let (selection, output) = (&options.selection, &options.output);
    let load = |source: &Source| source.load(&site.staging, rules, selection, output, progress);
    let drafts: Vec<Vec<Draft>> = options
        .sources
        .iter()
        .map(load)
        .collect::<anyhow::Result<_>>()?;
    let mut drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
    if naming::repositories(&drafts).is_empty() {
        return Err(anyhow::anyhow!(
            "`--only` and `--exclude` leave no repository"
        ))
        .hint(format!("the sources have {}", selection.some_seen()));
    }
    if options.last_wins {
        naming::last_wins(&mut drafts);
    }
    Ok(drafts)
}

fn built(v1: &V1Images, repository: &Repository, tag: &Tag, digest: Digest) -> Built {
    let top: Option<&V1Id> = v1.tags.get(repository).and_then(|tags| tags.get(tag));
    Built {
        name: format!("{repository}:{tag}"),
        digest,
        v1_id: top.map(ToString::to_string),
    }
}

/// What the drafts have become.
struct Intake {
    images: Images,
    taken: Vec<Taken>,
    /// What was read, with what it was before.
    read: Vec<(Job, Identity, Stored)>,
}

/// Takes in the content of all drafts and makes their manifests.
fn take_in(
    drafts: &[Draft],
    site: &Site,
    rules: &Rules,
    cache: bool,
    progress: &Arc<Progress>,
) -> anyhow::Result<Intake> {
    let needed: Vec<(usize, JobId)> = drafts
        .iter()
        .enumerate()
        .flat_map(|(index, draft)| draft.needed().into_iter().map(move |job| (index, job)))
        .collect();
    let mut jobs: Vec<Job> = needed
        .iter()
        .map(|(draft, job)| drafts[*draft].jobs[*job].clone())
        .collect();
    let mut identities = Vec::new();
    for job in &mut jobs {
        let identity = job.content.identity()?;
        if let (true, None, Some(identity)) = (cache, &job.ready, &identity) {
            job.ready = site.recall(identity);
        }
        if job.ready.is_none() {
            job.content = job.content.counted(progress);
        }
        identities.push(identity);
    }
    let all: Vec<&Job> = jobs.iter().collect();
    room::check(&all, site)?;
    let stored = ingest::run(&all, &site.staging, site)?;
    let mut taken = vec![Taken::new(); drafts.len()];
    let mut read = Vec::new();
    for (((draft, id), stored), (job, identity)) in needed
        .into_iter()
        .zip(stored)
        .zip(jobs.into_iter().zip(identities))
    {
        read.extend(identity.map(|identity| (job, identity, stored.clone())));
        taken[draft].insert(id, stored);
    }
    let mut images = Images::default();
    for (draft, taken) in drafts.iter().zip(&taken) {
        images.add(draft, taken, rules.v1)?;
    }
    images.settle_entries();
    Ok(Intake {
        images,
        taken,
        read,
    })
}

/// Makes a layer anew for v1: with what old clients miss in it, packed as they can read it.
pub(super) fn encode(
    below: &[Stored],
    stored: &Stored,
    staging: &Staging,
) -> anyhow::Result<Stored> {
    let below: Vec<Content> = below.iter().map(|stored| stored.content.clone()).collect();
    // A tar that cannot be taken apart is left as it is: v2 serves it all the same.
    let completion = match stored.tar {
        Some(tar) if tar.lacking => Completion::of(&below, &stored.content)?,
        _ => None,
    };
    let make = |sink: &mut (dyn Write + Send)| match &completion {
        Some(completion) => completion.compress(sink),
        None => layer::compress(&stored.content, sink),
    };
    let (measured, content) = if let Staging::Folder { .. } = staging {
        let (path, mut file) = staging.create()?;
        let measured = make(&mut file)?;
        (measured, Content::file_of_len(path, measured.size))
    } else {
        (make(&mut std::io::sink())?, stored.content.clone())
    };
    let (digest, size) = (measured.digest, measured.size);
    Ok(Stored {
        digest,
        size,
        tar: None,
        packing: layer::Packing::Gzip,
        made: false,
        content,
    })
}

/// Tags that differ only by case: one file where the site's file system folds case, and a surprise
/// on the next disk elsewhere.
pub(super) fn check_case(images: &Images, site: &Site) -> anyhow::Result<Vec<Note>> {
    let mut notes = Vec::new();
    for (repository, repo) in &images.repositories {
        let mut seen = std::collections::BTreeMap::new();
        for tag in repo.tags.keys() {
            if let Some(other) = seen.insert(tag.as_str().to_lowercase(), tag) {
                let note = Kind::Client.note(format!(
                    "{repository}: the tags {other} and {tag} differ only by case"
                ));
                notes.push(note.about(format!("{repository}:{tag}")));
            }
        }
    }
    if let (Some(note), Staging::Folder { path, .. }) = (notes.first(), &site.staging)
        && fsx::folds_case(path).context("cannot tell whether the file system folds case")?
    {
        return Err(crate::error::bad(format!(
            "{}, and the file system of the site does not tell them apart",
            note.message
        )))
        .hint("give one of them another tag");
    }
    Ok(notes)
}
