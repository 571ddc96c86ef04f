//! `build`: sources in, a site out.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;

use crate::catalogue::{Apis, Catalogue};
use crate::content::Content;
use crate::draft::{Draft, JobId, Rules, naming};
use crate::error::WithHint as _;
use crate::images::{Images, Taken};
use crate::ingest::{self, Job, Staging, Stored, Work};
use crate::plan::Plan;
use crate::plan::v1_images::V1Images;
use crate::site::write::Changes;
use crate::site::{Site, load};
use crate::source::Source;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::name::{self, Repository, Tag};
use crate::spec::v1::V1Id;
use crate::{fsx, layer};

/// What to build.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// Where the images come from.
    pub sources: Vec<Source>,
    /// The folder of the site.
    pub output: PathBuf,
    /// The APIs that it offers.
    pub apis: Apis,
    /// How the sources are to be taken.
    pub rules: Rules,
    /// Which repositories are taken.
    pub selection: Selection,
    /// Where several sources give one tag, the last one has it.
    pub last_wins: bool,
    /// The site lists exactly what the sources say.
    pub mirror: bool,
    /// The platform whose image v1 clients get of an index.
    pub v1_platform: Option<Platform>,
    /// Files of sources may be linked into the site rather than copied.
    pub link: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// Which repositories are taken, by globs: `*` stays within a part of a name, `**` does not.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    only: Option<GlobSet>,
    exclude: GlobSet,
}

impl Selection {
    /// Compiles the globs; without any `only` all are wanted.
    ///
    /// # Errors
    /// When one is no glob.
    pub fn new(only: &[String], exclude: &[String]) -> anyhow::Result<Self> {
        let compile = |globs: &[String]| -> anyhow::Result<GlobSet> {
            let mut set = GlobSetBuilder::new();
            for glob in globs {
                set.add(GlobBuilder::new(glob).literal_separator(true).build()?);
            }
            Ok(set.build()?)
        };
        let only = if only.is_empty() {
            None
        } else {
            Some(compile(only)?)
        };
        Ok(Self {
            only,
            exclude: compile(exclude)?,
        })
    }

    fn wants(&self, repository: &Repository) -> bool {
        let is = |set: &GlobSet| repository.published().iter().any(|name| set.is_match(name));
        self.only.as_ref().is_none_or(is) && !is(&self.exclude)
    }
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
    let drafts = load_sources(options, &site, &rules)?;
    let (new, taken) = take_in(&drafts, &site, &rules)?;
    let given: Vec<(Repository, Tag, Digest)> = new
        .repositories
        .iter()
        .flat_map(|(name, repo)| {
            repo.tags
                .iter()
                .map(|(tag, digest)| (name.clone(), tag.clone(), *digest))
        })
        .collect();

    let mut merged = merge(options, &site, catalogue, apis, new)?;
    let mut notes = std::mem::take(&mut merged.images.notes);
    notes.extend(check_case(&merged.images, &site)?);
    let v1 = if apis.v1 {
        let platform = merged.catalogue.v1_platform.as_ref();
        V1Images::find(
            &mut merged.images,
            Some(&site.files),
            platform,
            &|below, stored| encode(below, stored, &site.staging),
        )?
    } else {
        V1Images::default()
    };
    notes.extend(v1.notes.iter().cloned());

    let Merged {
        images,
        catalogue,
        dropped,
    } = &merged;
    let changes = site.apply(&Plan {
        catalogue,
        images,
        v1: &v1,
        dropped,
    })?;
    if !options.dry_run {
        site.remember(taken.iter().flat_map(Taken::values))?;
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

fn load_sources(options: &Options, site: &Site, rules: &Rules) -> anyhow::Result<Vec<Draft>> {
    // One after the other: a compressed archive passes by with all cores at work on it.
    let load = |source: &Source| source.load(&site.staging, rules, &options.output);
    let drafts: Vec<Vec<Draft>> = options
        .sources
        .iter()
        .map(load)
        .collect::<anyhow::Result<_>>()?;
    let mut drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
    naming::select(&mut drafts, &|repository| {
        options.selection.wants(repository)
    });
    if options.last_wins {
        naming::last_wins(&mut drafts);
    }
    Ok(drafts)
}

/// What the site will serve.
struct Merged {
    /// The repositories that are looked at.
    images: Images,
    /// All repositories.
    catalogue: Catalogue,
    /// Repositories that it no longer serves.
    dropped: BTreeSet<Repository>,
}

/// Puts the new images over what the site has; a mirror has nothing else.
fn merge(
    options: &Options,
    site: &Site,
    mut catalogue: Catalogue,
    apis: Apis,
    new: Images,
) -> anyhow::Result<Merged> {
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
    if options.mirror || catalogue.apis != apis || catalogue.v1_platform != platform {
        touched.extend(catalogue.repositories.keys().cloned());
    }
    let had_v1 = std::mem::replace(&mut catalogue.apis, apis).v1;
    catalogue.v1_platform = platform;
    let images = if options.mirror {
        catalogue.repositories.clear();
        new
    } else {
        let mut images = load::load(&site.files, &catalogue, touched.iter(), &mut |error| {
            Err(error).hint(format!(
                "`stillage verify {}` finds all that is damaged",
                fsx::shown_path(&options.output)
            ))
        })?;
        if apis.v1 && !had_v1 {
            measure(&mut images, site)?;
        }
        images.overlay(new);
        images
    };
    catalogue.repositories.extend(
        images
            .repositories
            .iter()
            .map(|(name, repo)| (name.clone(), repo.clone())),
    );
    name::check_shadowing(catalogue.repositories.keys())?;
    let dropped = touched
        .into_iter()
        .filter(|repository| !catalogue.repositories.contains_key(repository))
        .collect();
    Ok(Merged {
        images,
        catalogue,
        dropped,
    })
}

fn built(v1: &V1Images, repository: &Repository, tag: &Tag, digest: Digest) -> Built {
    let top: Option<&V1Id> = v1.tags.get(repository).and_then(|tags| tags.get(tag));
    Built {
        name: format!("{repository}:{tag}"),
        digest,
        v1_id: top.map(ToString::to_string),
    }
}

/// Measures the layers of images that were taken in without v1, before v1 ids derive from them.
fn measure(images: &mut Images, site: &Site) -> anyhow::Result<()> {
    let is_layer = |blob: &crate::spec::manifest::Blob| blob.kind.is_some();
    let layers: BTreeSet<Digest> = images
        .manifests
        .values()
        .filter(|manifest| manifest.is_image())
        .flat_map(|manifest| {
            manifest
                .blobs()
                .into_iter()
                .filter(is_layer)
                .map(|blob| blob.digest)
                .collect::<Vec<_>>()
        })
        .collect();
    let jobs: Vec<Job> = layers
        .iter()
        .map(|digest| Job {
            content: images.blobs[digest].content.clone(),
            work: Work::Keep { diff_id: true },
            digest: Some(*digest),
            size: None,
            ready: None,
        })
        .collect();
    for stored in ingest::run(&jobs.iter().collect::<Vec<_>>(), &site.staging, site)? {
        images.blobs.insert(stored.digest, stored);
    }
    images.check_diff_ids()
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
fn take_in(drafts: &[Draft], site: &Site, rules: &Rules) -> anyhow::Result<(Images, Vec<Taken>)> {
    let needed: Vec<(usize, JobId)> = drafts
        .iter()
        .enumerate()
        .flat_map(|(index, draft)| draft.needed().into_iter().map(move |job| (index, job)))
        .collect();
    let jobs: Vec<&Job> = needed
        .iter()
        .map(|(draft, job)| &drafts[*draft].jobs[*job])
        .collect();
    let stored = ingest::run(&jobs, &site.staging, site)?;
    let mut taken = vec![Taken::new(); drafts.len()];
    for ((draft, job), stored) in needed.into_iter().zip(stored) {
        taken[draft].insert(job, stored);
    }
    let mut images = Images::default();
    for (draft, taken) in drafts.iter().zip(&taken) {
        images.add(draft, taken, rules.v1)?;
    }
    images.settle_entries();
    Ok((images, taken))
}

/// Makes a layer anew for v1: with what old clients miss in it, packed as they can read it.
fn encode(below: &[Stored], stored: &Stored, staging: &Staging) -> anyhow::Result<Stored> {
    let below: Vec<Content> = below.iter().map(|stored| stored.content.clone()).collect();
    let make = |sink: &mut (dyn Write + Send)| {
        if stored.tar.is_some_and(|tar| tar.lacking) {
            layer::complete(&below, &stored.content, sink)
        } else {
            layer::compress(&stored.content, sink)
        }
    };
    let (measured, content) = if let Staging::Folder { .. } = staging {
        let path = staging.path()?;
        let measured = make(&mut fsx::create(&path)?)?;
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
