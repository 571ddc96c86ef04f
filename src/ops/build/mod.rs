//! `build`: imports sources into a site.

use std::sync::Arc;

use crate::error::{WithHint as _, invalid_input};
use crate::images::v1_images::V1Images;
use crate::images::{Images, Imported};
use crate::import::draft::{Draft, ImportOptions, JobId, naming};
use crate::import::ingest::{self, Job, Stored};
use crate::note::NoteKind;
use crate::ops::build::merge::{Merging, merged_apis, merged_hosts};
use crate::ops::changes::{Changes, Named, named};
use crate::ops::commit::{Commit, check_case};
use crate::pages;
use crate::progress::Progress;
use crate::source::export::volumes::Exports;
use crate::source::{Run, Source};
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};
use crate::text::bytes;
use crate::writer::Site;

mod exported;
mod merge;
mod mirror;
mod options;
mod platforms;
mod room;

pub use options::{BuildOptions, Summary};

/// Builds a site, or adds to one. `progress` counts the bytes that are read. `on_contention` is called before
/// waiting for another writer; its error ends the build.
///
/// # Errors
/// When a source is bad or the site cannot be written. Everything listed before remains complete.
pub fn build(
    options: &BuildOptions,
    progress: &Arc<Progress>,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let mut sources = options.sources.iter();
    sources.try_for_each(|source| source.check_outside(&options.output))?;
    let (mut site, mut catalogue) = Site::open(
        &options.output,
        Some(options.apis),
        options.dry_run,
        options.link,
        on_contention,
    )?;
    let mut apis = merged_apis(&catalogue, options.apis)?;
    let mut rules = ImportOptions {
        v1: apis.v1,
        hosts: merged_hosts(&catalogue, options)?,
        ..options.rules.clone()
    };
    if !rules.v1 {
        site.disk.staging.forget_outlines();
    }
    let exports = Exports::default();
    let mut drafts = load_sources(options, &site, &rules, &exports, progress)?;
    let are_exports = exported::are_all(&drafts);
    if let Some(of) = exports.settings().filter(|_| are_exports) {
        exported::adopt(of, &mut catalogue, &mut apis, &mut rules);
        exported::forget_v1(&mut drafts, &rules);
    }
    if options.strict {
        check_faults(&drafts)?;
    }
    let Intake {
        images: new,
        imported,
        read,
    } = take_in(&drafts, &site, &rules, options.cache, progress)?;
    let given = tags(&new);
    let other_platforms = platforms::notes(&new, &rules.platforms);
    let (before, format) = (catalogue.repositories.clone(), catalogue.format);
    let had_pages = if catalogue.pages.is_none() {
        let front = site.files.content("index.html")?;
        front.as_ref().is_some_and(pages::is_old_front_page)
    } else {
        catalogue.has_pages()
    };
    let merging = Merging {
        options,
        apis,
        rules: &rules,
        site: &site,
        listed: exported::listed(&drafts, &before),
        are_exports,
    };
    let mut merged = merging.merge(catalogue, new)?;
    let changes = Changes::of_tags(&before, &merged.catalogue.repositories);
    changes.check_moves(options.no_move.as_ref())?;
    let mut notes = std::mem::take(&mut merged.images.notes);
    notes.extend(other_platforms);
    notes.extend(check_case(&merged.images, &site)?);
    let commit = Commit {
        site: &site,
        catalogue: &merged.catalogue,
        touched: &merged.touched,
        is_whole: merged.is_whole,
        is_upgrade: format < merged.catalogue.format,
    };
    // Before the catalogue says that the site has none: another one may be the user's.
    if had_pages && !merged.catalogue.has_pages() {
        site.disk.remove(&site.files.path("index.html"))?;
    }
    let (v1, files) = commit.apply(&mut merged.images, progress)?;
    notes.extend(v1.notes.iter().cloned());
    notes.extend(options.selection.unmatched());
    site.remember(imported.iter().flat_map(Imported::values))?;
    let no_images = drafts.into_iter().flat_map(|draft| draft.no_images);
    site.remember_sources(&read, &no_images.collect::<Vec<_>>())?;
    let repositories = &merged.catalogue.repositories;
    let is_listed = |(repository, tag, digest): &(Repository, Tag, Digest)| {
        let repo = repositories.get(repository);
        repo.and_then(|repo| repo.tags.get(tag)) == Some(digest)
    };
    let listed = given.into_iter().filter(is_listed);
    Ok(Summary {
        references: listed
            .map(|(repository, tag, digest)| built(&v1, &repository, &tag, digest))
            .collect(),
        changes: Changes { files, ..changes },
        notes: notes.into_iter().collect(),
    })
}

/// All tags of images, with their manifests.
fn tags(images: &Images) -> Vec<(Repository, Tag, Digest)> {
    let repositories = images.repositories.iter();
    let tags = repositories.flat_map(|(name, repo)| {
        let tags = repo.tags.iter();
        tags.map(|(tag, digest)| (name.clone(), tag.clone(), *digest))
    });
    tags.collect()
}

/// Fails if any source has a fault.
fn check_faults(drafts: &[Draft]) -> anyhow::Result<()> {
    let notes = drafts.iter().flat_map(|draft| &draft.notes);
    let faults: Vec<&str> = notes
        .filter(|note| note.kind == NoteKind::Fault)
        .map(|note| note.message.as_str())
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(invalid_input(faults.join("; ")))
        .hint("leave out `--strict` to skip it with a note and import the rest")
}

fn load_sources(
    options: &BuildOptions,
    site: &Site,
    rules: &ImportOptions,
    exports: &Exports,
    progress: &Progress,
) -> anyhow::Result<Vec<Draft>> {
    // One after the other: reading a compressed archive already uses all cores.
    let run = Run {
        staging: &site.disk.staging,
        output: &options.output,
        progress,
        rules,
        exports,
        holds_no_image: &|archive| options.cache && site.holds_no_image(archive),
    };
    let load = |source: &Source| source.load(&run, &options.selection);
    let drafts: Vec<Vec<Draft>> = options
        .sources
        .iter()
        .map(load)
        .collect::<anyhow::Result<_>>()?;
    exports.check()?;
    if options.exports_only && exports.settings().is_none() {
        return Err(invalid_input("with `--mirror`, only an export can be put"))
            .hint("make it with `stillage export`, or leave out `--mirror` to add images");
    }
    let mut drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
    if naming::repositories(&drafts).is_empty() {
        return Err(anyhow::anyhow!(
            "`--only` and `--exclude` leave no repository"
        ))
        .hint(options.selection.left_out("the sources have"));
    }
    if options.last_wins {
        naming::last_wins(&mut drafts, options.mirror);
    }
    Ok(drafts)
}

fn built(v1: &V1Images, repository: &Repository, tag: &Tag, digest: Digest) -> Named {
    let top = v1.tags.get(repository).and_then(|tags| tags.get(tag));
    Named {
        v1_id: top.map(ToString::to_string),
        ..named(repository, Some(tag), digest)
    }
}

struct Intake {
    images: Images,
    imported: Vec<Imported>,
    /// The jobs that were read.
    read: Vec<(Job, Stored)>,
}

/// Ingests the content of all drafts and makes their manifests.
fn take_in(
    drafts: &[Draft],
    site: &Site,
    rules: &ImportOptions,
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
    for job in &mut jobs {
        job.identity = job.content.identity()?;
        if cache && job.ready.is_none() {
            job.ready = site.recall(job);
        }
        let origin = || job.content.origin().to_string();
        if job.ready.is_some() {
            progress.step(|| format!("unchanged: {}", origin()));
        } else {
            progress.step(|| format!("reading {} ({})", origin(), bytes(job.content.len())));
            job.content = job.content.counted(progress);
        }
    }
    let all: Vec<&Job> = jobs.iter().collect();
    all.iter().try_for_each(|job| job.check_size())?;
    room::check(&all, site)?;
    let stored = ingest::run(&all, &site.disk.staging, site)?;
    let mut imported = vec![Imported::new(); drafts.len()];
    let mut read = Vec::new();
    for (((draft, id), stored), job) in needed.into_iter().zip(stored).zip(jobs) {
        read.push((job, stored.clone()));
        imported[draft].insert(id, stored);
    }
    let mut images = Images::default();
    for (draft, imported) in drafts.iter().zip(&imported) {
        images.add(draft, imported, rules.v1)?;
    }
    images.check_conflicts()?;
    images.settle_entries();
    Ok(Intake {
        images,
        imported,
        read,
    })
}
