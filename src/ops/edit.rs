//! `tag` and `remove`: edit the catalogue of a site. The v1 reference server did this by PUT and DELETE of
//! tags and repositories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use serde::Serialize;

use crate::error::WithHint as _;
use crate::fsx;
use crate::images::Images;
use crate::images::damage::is_lost;
use crate::import::selection::Glob;
use crate::note::Note;
use crate::ops::changes::Changes;
use crate::ops::commit::{Commit, check_case};
use crate::ops::missing::{self, Alone};
use crate::pages;
use crate::progress::Progress;
use crate::site::{self, load};
use crate::site_files::catalogue::{Catalogue, Entry, Repo};
use crate::spec::digest::Digest;
use crate::spec::media_type::is_index;
use crate::spec::name::{Reference, Repository, Tag};
use crate::writer::Site;
use crate::writer::counts::FileChanges;

#[derive(Debug)]
pub struct EditOptions {
    pub site: PathBuf,
    pub dry_run: bool,
    /// Tags that must not move to another manifest.
    pub no_move: Option<Glob>,
    /// Gets the steps of the edit.
    pub progress: Arc<Progress>,
}

/// The result of an edit, or of its dry run.
#[derive(Debug, Serialize)]
pub struct Edited {
    pub changes: Changes,
    pub notes: Vec<Note>,
}

/// Adds tags to the manifest of a reference, in its repository. A tag that another manifest has moves.
/// `on_contention` is called before waiting for another writer; its error ends the call.
pub fn tag(
    options: &EditOptions,
    from: &Reference,
    tags: &[Tag],
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Edited> {
    edit(
        options,
        std::slice::from_ref(from),
        on_contention,
        |images, named, catalogue| {
            missing::check(catalogue, &options.site, named.iter(), Alone::Latest)?;
            let from = &named[0];
            let name = &from.repository;
            let digest = find(&catalogue.repositories[name], from)?;
            if let Some(lost) = images.damage_of(name, &digest).first() {
                let site = fsx::quoted_path(&options.site);
                return Err(lost.error(&from.to_string())).hint(format!(
                "restore it with a build from its sources, or with `stillage build {site} -o {site}` from what is left"
            ));
            }
            let repo = images.repositories.entry(name.clone()).or_default();
            repo.tags
                .extend(tags.iter().map(|tag| (tag.clone(), digest)));
            Ok(())
        },
    )
}

/// Removes references from a site: a tag, a manifest by digest with all its tags, or a whole repository. A
/// manifest goes with its referrers and with the children that nothing else refers to. Their content stays
/// until `prune`. With `ignore_missing`, references that the site does not have are skipped.
/// `on_contention` is called before waiting for another writer; its error ends the call.
pub fn remove(
    options: &EditOptions,
    references: &[Reference],
    ignore_missing: bool,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Edited> {
    edit(
        options,
        references,
        on_contention,
        |images, named, catalogue| {
            if !ignore_missing {
                missing::check(catalogue, &options.site, named.iter(), Alone::Whole)?;
            }
            for reference in named {
                let name = &reference.repository;
                let is_whole = reference.tag.is_none() && reference.digest.is_none();
                // What is missing may have gone with an earlier reference.
                let Some(mut repo) = images.repositories.remove(name) else {
                    continue;
                };
                if !is_whole {
                    if find(&repo, reference).is_ok() {
                        remove_reference(images, &mut repo, reference)?;
                    }
                    if !repo.manifests.is_empty() {
                        images.repositories.insert(name.clone(), repo);
                    }
                }
            }
            Ok(())
        },
    )
}

pub(super) fn unknown(reference: &str) -> anyhow::Error {
    anyhow::anyhow!("the site has no `{reference}`")
}

pub(super) fn find(repo: &Repo, reference: &Reference) -> anyhow::Result<Digest> {
    let found = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => Some(*digest).filter(|digest| repo.manifests.contains_key(digest)),
        (None, Some(tag)) => repo.tags.get(tag).copied(),
        (None, None) => repo.tags.get(&Tag::latest()).copied(),
    };
    found.ok_or_else(|| unknown(&reference.to_string()))
}

/// Removes a tag or a manifest from a repository.
fn remove_reference(images: &Images, repo: &mut Repo, reference: &Reference) -> anyhow::Result<()> {
    let digest = find(repo, reference)?;
    let is_whole = reference.digest.is_some();
    let tags = match &reference.tag {
        Some(tag) if !is_whole => BTreeSet::from([tag.clone()]),
        _ => {
            let of_it = repo.tags.iter().filter(|(_, other)| **other == digest);
            of_it.map(|(tag, _)| tag.clone()).collect()
        }
    };
    remove_tags(images, repo, &tags, Some(digest));
    if is_whole && repo.manifests.contains_key(&digest) {
        bail!(
            "`{}@{digest}` is part of an index that stays",
            reference.repository
        );
    }
    Ok(())
}

/// Removes tags, and what nothing else leads to then: their manifests and `digest`, with all that belongs to these.
pub(super) fn remove_tags(
    images: &Images,
    repo: &mut Repo,
    tags: &BTreeSet<Tag>,
    digest: Option<Digest>,
) {
    let before: BTreeSet<Digest> = repo.tags.values().copied().collect();
    let of_tags = repo.tags.iter().filter(|(tag, _)| tags.contains(*tag));
    let removed: BTreeSet<Digest> = of_tags.map(|(_, to)| *to).chain(digest).collect();
    // Nobody knows what a lost index needs.
    let is_lost_index = |(digest, entry): (&Digest, &Entry)| {
        is_index(&entry.media_type)
            && is_lost(&images.manifests[digest])
            && !removed.contains(digest)
    };
    let has_lost_index = repo.manifests.iter().any(is_lost_index);
    // Manifests that no tag leads to are listed by digest. They stay, unless reached from the one removed.
    let mut kept: BTreeSet<Digest> = repo.manifests.keys().copied().collect();
    let reached = reachable(images, repo, before.into_iter().chain(digest));
    let gone = if has_lost_index { &removed } else { &reached };
    kept.retain(|digest| !gone.contains(digest));
    repo.tags.retain(|tag, _| !tags.contains(tag));
    loop {
        let roots = repo.tags.values().copied().chain(kept.iter().copied());
        let keep = reachable(images, repo, roots);
        // Fallback tags that attach something to a removed manifest go with it.
        let count = repo.tags.len();
        repo.tags.retain(|tag, _| {
            let to = tag.attached_to();
            to.is_none_or(|to| !repo.manifests.contains_key(&to) || keep.contains(&to))
        });
        if repo.tags.len() == count {
            repo.manifests.retain(|digest, _| keep.contains(digest));
            return;
        }
    }
}

/// The manifests of a repository reached from `roots`: children and referrers of any of them.
pub(super) fn reachable(
    images: &Images,
    repo: &Repo,
    roots: impl IntoIterator<Item = Digest>,
) -> BTreeSet<Digest> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<Digest> = roots.into_iter().collect();
    loop {
        while let Some(digest) = next.pop() {
            if repo.manifests.contains_key(&digest) && reached.insert(digest) {
                let children = images.manifests[&digest].children();
                next.extend(children.iter().map(|child| child.digest));
            }
        }
        next.extend(repo.manifests.keys().filter(|digest| {
            let subject = images.manifests[*digest].subject;
            !reached.contains(*digest) && subject.is_some_and(|subject| reached.contains(&subject))
        }));
        if next.is_empty() {
            return reached;
        }
    }
}

/// Applies a change to the repositories of references. `change` gets these as the site calls them.
fn edit(
    options: &EditOptions,
    references: &[Reference],
    on_contention: impl FnOnce() -> anyhow::Result<()>,
    change: impl FnOnce(&mut Images, &[Reference], &Catalogue) -> anyhow::Result<()>,
) -> anyhow::Result<Edited> {
    let (site, before) = open(&options.site, options.dry_run, on_contention)?;
    let named = references.iter();
    let named: Vec<Reference> = named.map(|reference| before.in_site(reference)).collect();
    let repositories = named.iter().map(|reference| &reference.repository);
    let touched = repositories.chain(&site.pending);
    let touched: BTreeSet<Repository> = touched.cloned().collect();
    let mut images = load::load(&site.files, &before, touched.iter(), None);
    images.check_readable()?;
    change(&mut images, &named, &before)?;
    let mut catalogue = before.clone();
    for name in &touched {
        match images.repositories.get(name) {
            Some(repo) => catalogue.repositories.insert(name.clone(), repo.clone()),
            None => catalogue.repositories.remove(name),
        };
    }
    let notes = check_case(&images, &site)?;
    let (before, after) = (&before.repositories, &catalogue.repositories);
    let changes = Changes::of_tags(before, after).with_manifests(before, after);
    changes.check_moves(options.no_move.as_ref())?;
    let files = apply(&site, &catalogue, &mut images, &touched, &options.progress)?;
    Ok(Edited {
        changes: Changes { files, ..changes },
        notes,
    })
}

/// Opens an existing site for writing.
pub(super) fn open(
    root: &Path,
    dry_run: bool,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(Site, Catalogue)> {
    site::recognise(root)?;
    let (mut site, mut catalogue) = Site::open(root, None, dry_run, false, on_contention)?;
    // Pages of another version are made anew, so that none of them stays behind.
    if pages::settle(&mut catalogue, None) {
        site.pending.extend(catalogue.repositories.keys().cloned());
    }
    Ok((site, catalogue))
}

/// Writes the files of the `touched` repositories as `catalogue` has them.
pub(super) fn rebuild_repositories(
    site: &Site,
    catalogue: &Catalogue,
    touched: &BTreeSet<Repository>,
) -> anyhow::Result<()> {
    let mut images = load::load(&site.files, catalogue, touched.iter(), None);
    images.check_readable()?;
    apply(site, catalogue, &mut images, touched, &Arc::default())?;
    Ok(())
}

/// Writes a catalogue to a site. `images` are its `touched` repositories.
fn apply(
    site: &Site,
    catalogue: &Catalogue,
    images: &mut Images,
    touched: &BTreeSet<Repository>,
    progress: &Arc<Progress>,
) -> anyhow::Result<FileChanges> {
    let commit = Commit {
        site,
        catalogue,
        touched,
        is_whole: false,
        is_upgrade: false,
    };
    Ok(commit.apply(images, progress)?.1)
}
