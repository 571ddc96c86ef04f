//! Putting new images over what the site has.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::WithHint as _;
use crate::fsx;
use crate::images::Images;
use crate::import::ingest::{self, Job, Work};
use crate::note::NoteKind;
use crate::ops::build::{BuildOptions, mirror};
use crate::site::load;
use crate::site_files::catalogue::{Apis, Catalogue};
use crate::spec::manifest::{MAX_JSON, Manifest, ManifestKind};
use crate::spec::name::{self, Repository};
use crate::writer::Site;

/// What the site will serve.
pub(super) struct Merged {
    /// The repositories that are looked at.
    pub(super) images: Images,
    /// All repositories.
    pub(super) catalogue: Catalogue,
    /// The repositories that are looked at, and those that it no longer serves.
    pub(super) touched: BTreeSet<Repository>,
    /// All repositories are looked at, since there may be names that the catalogue does not have.
    pub(super) is_whole: bool,
}

/// Puts the new images over what the site has, or over what a mirror keeps of it.
pub(super) fn merge(
    options: &BuildOptions,
    site: &Site,
    mut catalogue: Catalogue,
    apis: Apis,
    mut new: Images,
) -> anyhow::Result<Merged> {
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
    if is_among_sources
        || options.mirror
        || catalogue.apis != apis
        || other_platform
        || more_servers
        || mends(site, &new)?
    {
        touched.extend(catalogue.repositories.keys().cloned());
    }
    let had_v1 = std::mem::replace(&mut catalogue.apis, apis).v1;
    catalogue.v1_platform = platform;
    if options.mirror {
        catalogue.repositories = mirror::kept(options, site, &catalogue, &mut new)?;
    }
    let load = |touched: &BTreeSet<Repository>| {
        let mut damaged = |_: String, error: anyhow::Error| {
            Err(error).hint(format!(
                "`stillage verify {}` finds all that is damaged",
                fsx::escaped_path(&options.output)
            ))
        };
        load::load(
            &site.files,
            &catalogue,
            touched.iter(),
            Some(&new),
            &mut damaged,
        )
    };
    let mut notes = Vec::new();
    // Names of an older site are found by looking at all of it, but what is damaged elsewhere stops no build.
    let mut whole = None;
    if is_among_sources || !site.is_own() {
        let repositories = touched.iter().chain(catalogue.repositories.keys());
        let all: BTreeSet<Repository> = repositories.cloned().collect();
        match load(&all) {
            Ok(images) => whole = Some((images, all)),
            Err(error) => notes.push(NoteKind::Fault.note(format!(
                "stale files in the site are not looked for, since it is damaged: {}",
                error.root_cause()
            ))),
        }
    }
    let is_whole = whole.is_some();
    let mut images = match whole {
        Some((images, all)) => {
            touched = all;
            images
        }
        None => load(&touched)?,
    };
    if !options.mirror {
        keep_schema1(&mut images, &new, site)?;
    }
    if apis.v1 && (!had_v1 || other_platform) {
        measure(&mut images, site)?;
    }
    images.overlay(new);
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

/// Whether the site is built from itself, to mend it.
fn is_among_sources(options: &BuildOptions) -> bool {
    let site = fsx::canonical(&options.output);
    let mut sources = options.sources.iter();
    sources.any(|source| fsx::canonical(&source.path) == site)
}

/// Whether a blob of the site is damaged, so that every repository needs the new one.
fn mends(site: &Site, new: &Images) -> anyhow::Result<bool> {
    for (digest, stored) in &new.blobs {
        let there = site.files.blob(digest)?;
        if there.is_some_and(|there| there.len() != stored.size) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps the form of schema 1 manifests that the site has: signed and not, they have one digest.
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

/// A site keeps the APIs that it has and may get another one.
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

/// Measures the layers of images that were imported without v1, before v1 ids derive from them.
fn measure(images: &mut Images, site: &Site) -> anyhow::Result<()> {
    let layers = images.layers();
    let jobs: Vec<Job> = layers
        .iter()
        .map(|digest| Job {
            content: images.blobs[digest].content.clone(),
            work: Work::Verbatim { diff_id: true },
            digest: Some(*digest),
            size: None,
            ready: None,
        })
        .collect();
    for stored in ingest::run(&jobs.iter().collect::<Vec<_>>(), &site.disk.staging, site)? {
        images.blobs.insert(stored.digest, stored);
    }
    images.check_diff_ids()
}
