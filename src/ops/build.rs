//! `build`: sources in, a site out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use rayon::prelude::*;
use serde::Serialize;

use crate::catalogue::{Apis, Catalogue};
use crate::draft::{Draft, Rules};
use crate::error::WithHint as _;
use crate::images::Images;
use crate::ingest::{self, Staging, Stored};
use crate::plan::Plan;
use crate::plan::v1_images::V1Images;
use crate::site::write::Changes;
use crate::site::{Site, load};
use crate::source::Source;
use crate::spec::digest::Digest;
use crate::spec::name::{self, Repository};
use crate::spec::v1::V1Id;
use crate::{fsx, layer};

/// What to build.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the images come from.
    pub sources: Vec<Source>,
    /// The folder of the site.
    pub output: PathBuf,
    /// The APIs that it offers.
    pub apis: Apis,
    /// Write nothing.
    pub dry_run: bool,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The references that the sources gave.
    pub references: Vec<Built>,
    /// What changed in the site.
    pub changes: Changes,
    /// What was decided or left out, and why.
    pub notes: Vec<String>,
}

/// A reference in the site.
#[derive(Debug, Serialize)]
pub struct Built {
    /// `repository:tag`.
    pub name: String,
    /// The manifest.
    pub digest: Digest,
    /// The top v1 id, if it has a v1 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v1_id: Option<String>,
}

/// Builds a site, or adds to one. `busy` is called before waiting for another writer.
///
/// # Errors
/// When a source is bad, or the site cannot be written. The site is as it was then.
pub fn build(options: &Options, busy: impl FnOnce()) -> anyhow::Result<Summary> {
    let (mut site, mut catalogue) =
        Site::open(&options.output, options.apis, options.dry_run, busy)?;
    let apis = merged_apis(&catalogue, options.apis)?;
    let rules = Rules {
        v1: apis.v1,
        compress: false,
    };
    let drafts: Vec<Draft> = options
        .sources
        .par_iter()
        .map(|source| source.load(&site.staging, rules))
        .collect::<anyhow::Result<_>>()?;
    let (new, stored) = take_in(&drafts, &site, rules)?;

    let mut touched: BTreeSet<Repository> = new
        .repositories
        .keys()
        .cloned()
        .chain(site.pending.iter().cloned())
        .collect();
    if catalogue.apis != apis {
        touched.extend(catalogue.repositories.keys().cloned());
        catalogue.apis = apis;
    }
    let known = catalogue
        .repositories
        .keys()
        .chain(&touched)
        .collect::<BTreeSet<_>>();
    name::check_shadowing(known.iter().copied())?;

    let mut images = load::load(&site.files, &catalogue, touched.iter(), &mut |error| {
        Err(error).hint(format!(
            "`stillage verify {}` finds all that is damaged",
            fsx::shown_path(&options.output)
        ))
    })?;
    let given: Vec<(Repository, name::Tag, Digest)> = new
        .repositories
        .iter()
        .flat_map(|(name, repo)| {
            repo.tags
                .iter()
                .map(|(tag, digest)| (name.clone(), tag.clone(), *digest))
        })
        .collect();
    images.overlay(new);
    catalogue.repositories.extend(
        images
            .repositories
            .iter()
            .map(|(name, repo)| (name.clone(), repo.clone())),
    );
    let mut notes = std::mem::take(&mut images.notes);
    notes.extend(check_case(&images, &site)?);
    let v1 = if apis.v1 {
        V1Images::find(&mut images, Some(&site.files), &|stored| {
            encode(stored, &site.staging)
        })?
    } else {
        V1Images::default()
    };
    notes.extend(v1.notes.iter().cloned());

    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
    };
    let changes = site.apply(&plan)?;
    if !options.dry_run {
        site.remember(stored.iter().flatten())?;
    }
    let references = given
        .into_iter()
        .map(|(repository, tag, digest)| built(&v1, &repository, &tag, digest))
        .collect();
    Ok(Summary {
        references,
        changes,
        notes: notes.into_iter().collect(),
    })
}

fn built(v1: &V1Images, repository: &Repository, tag: &name::Tag, digest: Digest) -> Built {
    let top: Option<&V1Id> = v1.tags.get(repository).and_then(|tags| tags.get(tag));
    Built {
        name: format!("{repository}:{tag}"),
        digest,
        v1_id: top.map(ToString::to_string),
    }
}

/// A site keeps the APIs that it has and may get another one.
fn merged_apis(catalogue: &Catalogue, asked: Apis) -> anyhow::Result<Apis> {
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

/// Takes in the content of all drafts and makes their manifests.
fn take_in(
    drafts: &[Draft],
    site: &Site,
    rules: Rules,
) -> anyhow::Result<(Images, Vec<Vec<Stored>>)> {
    let jobs: Vec<_> = drafts
        .iter()
        .flat_map(|draft| draft.jobs.iter().cloned())
        .collect();
    let mut done = ingest::run(&jobs, &site.staging, site)?.into_iter();
    let mut images = Images::default();
    let mut all = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let stored: Vec<Stored> = done.by_ref().take(draft.jobs.len()).collect();
        images.add(draft, &stored, rules.v1)?;
        all.push(stored);
    }
    Ok((images, all))
}

/// Encodes a layer that v1 clients cannot read as one that they can.
fn encode(stored: &Stored, staging: &Staging) -> anyhow::Result<Stored> {
    let measured;
    let content;
    if let Staging::Folder { .. } = staging {
        let path = staging.path()?;
        let mut file = fsx::create(&path)?;
        measured = layer::compress(&stored.content, &mut file)?;
        content = crate::content::Content::file_of_len(path, measured.size);
    } else {
        measured = layer::compress(&stored.content, &mut std::io::sink())?;
        content = stored.content.clone();
    }
    let packing = layer::Packing::Gzip;
    Ok(Stored {
        digest: measured.digest,
        size: measured.size,
        diff_id: measured.diff_id,
        packing,
        made: true,
        content,
    })
}

/// Tags that differ only by case: one file where the site's file system folds case, and a surprise
/// on the next disk elsewhere.
fn check_case(images: &Images, site: &Site) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    for (repository, repo) in &images.repositories {
        let mut seen = std::collections::BTreeMap::new();
        for tag in repo.tags.keys() {
            if let Some(other) = seen.insert(tag.as_str().to_lowercase(), tag) {
                notes.push(format!(
                    "{repository}: the tags {other} and {tag} differ only by case"
                ));
            }
        }
    }
    if let (Some(note), Staging::Folder { path, .. }) = (notes.first(), &site.staging)
        && fsx::folds_case(path).context("cannot tell whether the file system folds case")?
    {
        return Err(crate::error::bad(format!(
            "{note}, and the file system of the site does not tell them apart"
        )))
        .hint("give one of them another tag");
    }
    Ok(notes)
}
