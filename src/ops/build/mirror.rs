//! `--mirror`: lists what the sources have, and keeps what they lack only because they are damaged.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{WithHint as _, invalid_input};
use crate::images::Images;
use crate::note::NoteKind;
use crate::ops::build::BuildOptions;
use crate::ops::edit::reachable;
use crate::site::load;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};
use crate::writer::Site;

/// What the site keeps in addition to what the sources have:
/// - the manifest of a reference that a source names but cannot provide;
/// - the child of an index that a source has lost, unless the user chose platforms, or all sources are exports;
/// - everything, if a source may have lost references whose names are unknown;
/// - what sources list just as the site has it, `listed`.
///
/// # Errors
/// When the sources have no tag at all.
pub(super) fn kept(
    options: &BuildOptions,
    site: &Site,
    catalogue: &Catalogue,
    new: &mut Images,
    listed: BTreeMap<Repository, Repo>,
    are_exports: bool,
) -> anyhow::Result<BTreeMap<Repository, Repo>> {
    let mut all = new.repositories.values().chain(listed.values());
    if all.all(|repo| repo.tags.is_empty()) {
        return Err(invalid_input(
            "the sources have no image with a tag, so `--mirror` would drop every tag",
        ))
        .hint(
            "name the images with `SOURCE=NAME:TAG`, or use `stillage remove` for single references",
        );
    }
    let faults = new.notes.iter().filter(|note| note.kind == NoteKind::Fault);
    let lost: Vec<Option<&str>> = faults.map(|note| note.reference.as_deref()).collect();
    if lost.contains(&None) {
        let note = NoteKind::Choice.note("a source is damaged, so `--mirror` drops nothing");
        new.notes.insert(note);
        return Ok(selected(options, catalogue));
    }
    let mut wanted: BTreeMap<Repository, BTreeSet<Tag>> = BTreeMap::new();
    let mut by_digest: BTreeMap<Repository, BTreeSet<Digest>> = BTreeMap::new();
    let mut notes = Vec::new();
    for (name, reference) in lost
        .into_iter()
        .flatten()
        .filter_map(|name| Some((name, name.parse::<Reference>().ok()?)))
    {
        if let Some(repo) = catalogue.repositories.get(&reference.repository) {
            if let Some(digest) = reference.digest {
                let digests = by_digest.entry(reference.repository).or_default();
                digests.extend(repo.manifests.get(&digest).map(|_| digest));
                continue;
            }
            let newer = new.repositories.get(&reference.repository);
            let is_meant = |tag: &&Tag| {
                reference.tag.as_ref().is_none_or(|meant| *tag == meant)
                    && newer.is_none_or(|newer| !newer.tags.contains_key(*tag))
                    && is_wanted(options, &reference.repository, tag)
            };
            let tags: BTreeSet<Tag> = repo.tags.keys().filter(is_meant).cloned().collect();
            if !tags.is_empty() {
                notes.push(NoteKind::Choice.note(format!("{name} stays as it is in the site")));
                wanted.entry(reference.repository).or_default().extend(tags);
            }
        }
    }
    new.notes.extend(notes);
    let mut kept = listed;
    for (name, repo) in &catalogue.repositories {
        let tags = wanted.remove(name).unwrap_or_default();
        let children = match new.repositories.get(name) {
            Some(newer) if options.rules.platforms.is_empty() && !are_exports => {
                lost_children(new, newer, repo)
            }
            _ => BTreeSet::new(),
        };
        let digests = by_digest.remove(name).unwrap_or_default();
        if tags.is_empty() && children.is_empty() && digests.is_empty() {
            continue;
        }
        let mut repo = repo.clone();
        repo.tags.retain(|tag, _| tags.contains(tag));
        let images = load::load(&site.files, catalogue, [name].into_iter(), None);
        let roots = repo.tags.values().copied().chain(children).chain(digests);
        let reached = reachable(&images, &repo, roots.collect::<Vec<_>>());
        repo.manifests.retain(|digest, _| reached.contains(digest));
        let kept = kept.entry(name.clone()).or_default();
        kept.tags.extend(repo.tags);
        kept.manifests.extend(repo.manifests);
    }
    Ok(kept)
}

/// Whether a tag is selected. A tag that attaches something to an image may come along with it.
fn is_wanted(options: &BuildOptions, repository: &Repository, tag: &Tag) -> bool {
    let selection = &options.selection;
    selection.wants(repository, Some(tag))
        || (tag.attached_to().is_some()
            && selection.may_want(repository)
            && !selection.excludes(repository, Some(tag)))
}

/// The repositories of the site, limited to the selected images.
fn selected(options: &BuildOptions, catalogue: &Catalogue) -> BTreeMap<Repository, Repo> {
    let mut repositories = catalogue.repositories.clone();
    for (name, repo) in &mut repositories {
        repo.tags.retain(|tag, _| is_wanted(options, name, tag));
    }
    repositories.retain(|name, repo| !repo.tags.is_empty() || options.selection.wants(name, None));
    repositories
}

/// The children of new indexes that the sources lack and the site has.
fn lost_children(new: &Images, newer: &Repo, repo: &Repo) -> BTreeSet<Digest> {
    newer
        .manifests
        .keys()
        .flat_map(|digest| new.manifests[digest].children())
        .map(|child| child.digest)
        .filter(|child| !newer.manifests.contains_key(child) && repo.manifests.contains_key(child))
        .collect()
}
