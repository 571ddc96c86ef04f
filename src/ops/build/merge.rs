//! Merges new images into what the site has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::WithHint as _;
use crate::fsx;
use crate::images::Images;
use crate::import::draft::ImportOptions;
use crate::import::ingest::{self, Job, Work};
use crate::note::{Note, NoteKind};
use crate::ops::build::{BuildOptions, mirror};
use crate::pages;
use crate::site::load;
use crate::site_files::catalogue::{Apis, Catalogue, Format, Repo};
use crate::spec::manifest::{MAX_JSON, Manifest, ManifestKind};
use crate::spec::name::{self, Repository};
use crate::spec::source_name::Hosts;
use crate::writer::Site;

pub(super) struct Merged {
    /// The images of the `touched` repositories.
    pub(super) images: Images,
    /// The catalogue of the whole site.
    pub(super) catalogue: Catalogue,
    /// The repositories to compare with the disk, including those that the site no longer serves.
    pub(super) touched: BTreeSet<Repository>,
    /// Whether `touched` has all repositories, so that names missing from the catalogue can be found.
    pub(super) is_whole: bool,
}

/// How new images are merged into a site.
pub(super) struct Merging<'a> {
    pub(super) options: &'a BuildOptions,
    pub(super) apis: Apis,
    pub(super) rules: &'a ImportOptions,
    pub(super) site: &'a Site,
    /// What sources list, and the site has just so.
    pub(super) listed: BTreeMap<Repository, Repo>,
    /// Whether all sources are exports.
    pub(super) are_exports: bool,
}

impl Merging<'_> {
    /// Merges new images into what the site has, or with `--mirror` into what it keeps.
    pub(super) fn merge(self, mut catalogue: Catalogue, mut new: Images) -> anyhow::Result<Merged> {
        let Self {
            options,
            apis,
            rules,
            site,
            listed,
            are_exports,
        } = self;
        let is_old = std::mem::take(&mut catalogue.format) != Format::default();
        catalogue.full_names = rules.hosts == Hosts::Full;
        let origins = new.origins();
        let mut touched: BTreeSet<Repository> = new
            .repositories
            .keys()
            .cloned()
            .chain(site.pending.iter().cloned())
            .collect();
        let platform = options
            .v1_platform
            .clone()
            .or_else(|| catalogue.v1_platform.clone());
        let other_platform = catalogue.v1_platform != platform;
        let more_servers = !options.servers.is_subset(&catalogue.servers);
        catalogue.servers.extend(&options.servers);
        let is_among_sources = is_among_sources(options);
        let had_pages = catalogue.has_pages();
        let other_pages = pages::settle(&mut catalogue, options.pages);
        if let Some(title) = &options.title {
            catalogue.title = (!title.is_empty()).then(|| title.clone());
        }
        if is_among_sources
            || is_old
            || catalogue.apis != apis
            || other_platform
            || more_servers
            || other_pages
            || mends(site, &new)?
        {
            touched.extend(catalogue.repositories.keys().cloned());
        }
        let had_v1 = std::mem::replace(&mut catalogue.apis, apis).v1;
        catalogue.v1_platform = platform;
        if options.mirror {
            let kept = mirror::kept(options, site, &catalogue, &mut new, listed, are_exports)?;
            let before = std::mem::replace(&mut catalogue.repositories, kept);
            let kept = &catalogue.repositories;
            let changed = before
                .into_iter()
                .filter(|(name, repo)| kept.get(name) != Some(repo));
            touched.extend(changed.map(|(name, _)| name));
        }
        // Stale names are found by loading the whole site.
        let is_whole = is_among_sources || !site.is_own() || (had_pages && !catalogue.has_pages());
        if is_whole {
            touched.extend(catalogue.repositories.keys().cloned());
        }
        let mut images = load::load(&site.files, &catalogue, touched.iter(), Some(&new));
        images.check_readable()?;
        if !options.mirror {
            keep_schema1(&mut images, &new, site)?;
        }
        if apis.v1 && (!had_v1 || other_platform || is_old) {
            measure(&mut images, site)?;
        }
        images.overlay(new);
        let notes = images.damage_notes();
        if is_among_sources {
            // It says the same of what it lacks.
            let same: BTreeSet<_> = notes.iter().map(|note| &note.reference).collect();
            let is_said =
                |note: &Note| note.kind == NoteKind::Fault && same.contains(&note.reference);
            images.notes.retain(|note| !is_said(note));
        }
        images.notes.extend(notes);
        catalogue.repositories.extend(
            images
                .repositories
                .iter()
                .map(|(name, repo)| (name.clone(), repo.clone())),
        );
        name::check_shadowing(catalogue.repositories.keys(), |repository| {
            let origin = origins.get(repository);
            origin.map_or_else(|| " in the site".into(), |origin| format!(" in {origin}"))
        })?;
        Ok(Merged {
            images,
            catalogue,
            touched,
            is_whole,
        })
    }
}

/// Whether the site is one of its own sources, to repair it.
fn is_among_sources(options: &BuildOptions) -> bool {
    let site = fsx::canonical(&options.output);
    let mut sources = options.sources.iter();
    sources.any(|source| fsx::canonical(&source.path) == site)
}

/// Whether the new images repair a blob of the site. Then every repository may need it.
fn mends(site: &Site, new: &Images) -> anyhow::Result<bool> {
    for (digest, stored) in &new.blobs {
        let there = site.files.blob(digest)?;
        if there.is_some_and(|there| there.len() != stored.size) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps the bytes of schema 1 manifests that the site has: signed or not, a manifest has the same digest.
fn keep_schema1(images: &mut Images, new: &Images, site: &Site) -> anyhow::Result<()> {
    for (digest, manifest) in &new.manifests {
        if matches!(manifest.kind, ManifestKind::Schema1(_))
            && let Some(content) = site.files.blob(digest)?
            && let Ok(kept) = Manifest::parse(content.read(MAX_JSON)?, None)
            && kept.digest == *digest
        {
            images.manifests.insert(*digest, Arc::new(kept));
        }
    }
    Ok(())
}

/// Checks that the site keeps the APIs that it offers. A build may add one.
pub(super) fn merged_apis(catalogue: &Catalogue, asked: Apis) -> anyhow::Result<Apis> {
    let has = catalogue.apis;
    for (api, has, asked) in [("v1", has.v1, asked.v1), ("v2", has.v2, asked.v2)] {
        if has && !asked {
            return Err(anyhow::anyhow!(
                "the site offers the {api} API, so `--no-{api}` cannot be honoured"
            ))
            .hint("build a new site to leave it out");
        }
    }
    Ok(asked)
}

/// What becomes of hosts in names. A site whose names have hosts keeps them.
pub(super) fn merged_hosts(catalogue: &Catalogue, options: &BuildOptions) -> anyhow::Result<Hosts> {
    let asked = options.rules.hosts;
    let is_new = catalogue.repositories.is_empty() || options.mirror;
    match (catalogue.full_names, asked) {
        (true, Hosts::Keep) => Err(anyhow::anyhow!(
            "the site has full names, so `--keep-host` cannot be honoured"
        ))
        .hint("leave it out: full names keep their hosts"),
        (true, _) => Ok(Hosts::Full),
        (false, Hosts::Full) if !is_new => Err(anyhow::anyhow!(
            "the site has names that are not full, so `--full-names` cannot be honoured"
        ))
        .hint("build a new site, or replace all names with `--mirror`"),
        (false, asked) => Ok(asked),
    }
}

/// Finds the diff IDs of layers imported without v1, since v1 ids derive from them.
fn measure(images: &mut Images, site: &Site) -> anyhow::Result<()> {
    let layers = images.layers();
    let jobs: Vec<Job> = layers
        .iter()
        .map(|digest| {
            let content = images.blobs[digest].content.clone();
            Job {
                digest: Some(*digest),
                ..Job::new(content, Work::Verbatim { diff_id: true })
            }
        })
        .collect();
    for stored in ingest::run(&jobs.iter().collect::<Vec<_>>(), &site.disk.staging, site)? {
        images.blobs.insert(stored.digest, stored);
    }
    images.check_diff_ids()
}
