//! `prune`: deletes content that nothing names any more, once it has been so for a while.
//!
//! `.stillage/unused` says since when, a line for each file or manifest, so that the grace of what is new
//! begins with the run that finds it:
//! ```text
//! <seconds since 1970> <path, or repository@digest of a manifest without a tag>
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::fsx;
use crate::images::Images;
use crate::ops::changes::{Named, named};
use crate::ops::edit::{self, reachable};
use crate::ops::view::View;
use crate::site_files::catalogue::Catalogue;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::writer::Site;
use crate::writer::unreferenced::{self, FileKind, Unreferenced};

/// What to prune.
#[derive(Debug)]
pub struct PruneOptions {
    /// The folder of the site.
    pub site: PathBuf,
    /// How long content must have been unused.
    pub grace: Duration,
    /// Also take manifests out of the catalogue that no tag leads to and nothing that stays refers to.
    pub untagged: bool,
    /// Delete nothing.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Default, Serialize)]
pub struct Pruned {
    /// Manifests that were taken out of the catalogue.
    pub removed: Vec<Named>,
    /// Names of references that the catalogue does not have, which were deleted at once: paths relative
    /// to the root of the site.
    pub names: Vec<String>,
    /// Unused content that was deleted: paths relative to the root of the site.
    pub files: Vec<String>,
    /// The bytes that they took on disk; a file with other names takes none.
    pub bytes: u64,
    /// Files that stay because they have not been unused for long enough.
    pub waiting: u64,
    /// Manifests without a tag that stay because they have not had none for long enough.
    pub untagged: u64,
    /// Files where a registry looks that are not the site's; they stay.
    pub foreign: Vec<String>,
}

/// Deletes what nothing names.
///
/// # Errors
/// When there is no site, or it is damaged or cannot be written.
pub fn prune(
    options: &PruneOptions,
    on_contention: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Pruned> {
    let (site, mut catalogue) = edit::open(&options.site, options.dry_run, on_contention)?;
    // A run that died may have left tags that the catalogue does not know, a copy of another site those of
    // an older one.
    let mut touched = site.pending.clone();
    if !site.is_own() {
        touched.extend(catalogue.repositories.keys().cloned());
    }
    if !touched.is_empty() {
        edit::rebuild_repositories(&site, &catalogue, &touched)?;
    }
    let mut since = Since::read(&site, options.grace)?;
    let view = View::of(&site.files, catalogue.clone())?;
    let before = unreferenced::find(&site.files, &view.plan())?;
    let removed = if options.untagged {
        take_untagged(&view.images, &mut catalogue, &mut since)
    } else {
        BTreeMap::new()
    };
    let unused = if removed.is_empty() {
        before.clone()
    } else {
        edit::rebuild_repositories(&site, &catalogue, &removed.keys().cloned().collect())?;
        unreferenced::find(&site.files, &View::of(&site.files, catalogue)?.plan())?
    };
    let known: BTreeSet<&Unreferenced> = before.iter().collect();
    let names: Vec<&Unreferenced> = before.iter().filter(|file| file.kind.is_name()).collect();
    // What the manifests just taken out had to themselves has been unused for as long as they.
    let (due, waiting): (Vec<&Unreferenced>, Vec<&Unreferenced>) = unused
        .iter()
        .filter(|file| file.kind.is_content())
        .partition(|file| !known.contains(file) || since.is_due(&file.path));
    let pruned = Pruned {
        removed: removed
            .iter()
            .flat_map(|(name, digests)| {
                digests.iter().map(move |digest| named(name, None, *digest))
            })
            .collect(),
        names: names.iter().map(|file| file.path.clone()).collect(),
        bytes: bytes(&site, &due)?,
        files: due.iter().map(|file| file.path.clone()).collect(),
        waiting: waiting.len() as u64,
        untagged: since.untagged,
        foreign: before
            .iter()
            .filter(|file| file.kind == FileKind::Foreign)
            .map(|file| file.path.clone())
            .collect(),
    };
    site.delete(&names)?;
    site.set_own()?;
    since.write(&site)?;
    site.delete(&due)?;
    Ok(pruned)
}

/// Takes manifests out of the catalogue that have had no tag for long enough, and that nothing which
/// stays leads to.
fn take_untagged(
    images: &Images,
    catalogue: &mut Catalogue,
    since: &mut Since,
) -> BTreeMap<Repository, BTreeSet<Digest>> {
    let mut removed = BTreeMap::new();
    for (name, repo) in &mut catalogue.repositories {
        let tagged = reachable(images, repo, repo.tags.values().copied());
        let mut due = BTreeSet::new();
        for digest in repo
            .manifests
            .keys()
            .filter(|digest| !tagged.contains(digest))
        {
            if since.is_due(&format!("{name}@{digest}")) {
                due.insert(*digest);
            }
        }
        // One that is not due keeps what it leads to.
        let rest = repo.manifests.keys().filter(|digest| !due.contains(digest));
        let rest = reachable(images, repo, rest.copied().collect::<Vec<_>>());
        due.retain(|digest| !rest.contains(digest));
        let untagged = repo
            .manifests
            .keys()
            .filter(|digest| !tagged.contains(digest));
        since.untagged += untagged.filter(|digest| !due.contains(digest)).count() as u64;
        if !due.is_empty() {
            repo.manifests.retain(|digest, _| !due.contains(digest));
            removed.insert(name.clone(), due);
        }
    }
    catalogue
        .repositories
        .retain(|_, repo| !repo.manifests.is_empty());
    removed
}

/// The bytes that deletion frees: of a file with several names only if all of them go.
fn bytes(site: &Site, due: &[&Unreferenced]) -> anyhow::Result<u64> {
    let mut names: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut bytes = 0;
    for file in due {
        if let Some(meta) = fsx::meta(&site.files.path(&file.path))? {
            let seen = names.entry(meta.inode).or_default();
            *seen += 1;
            if *seen == meta.links {
                bytes += meta.len;
            }
        }
    }
    Ok(bytes)
}

/// Since when things have been unused.
struct Since {
    grace: Duration,
    now: u64,
    known: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
    /// Manifests that are not due.
    untagged: u64,
}

const FILE: &str = "unused";

impl Since {
    #[expect(
        clippy::disallowed_methods,
        reason = "the private folder may know the time"
    )]
    fn read(site: &Site, grace: Duration) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let known = site.private_lines(FILE, |line| {
            let (time, what) = line.split_once(' ')?;
            Some((what.to_owned(), time.parse().ok()?))
        })?;
        Ok(Self {
            grace,
            now,
            known: known.into_iter().collect(),
            seen: BTreeMap::new(),
            untagged: 0,
        })
    }

    /// Whether something has been unused for long enough; from now on it is known to be unused.
    fn is_due(&mut self, what: &str) -> bool {
        // A clock that was set back makes nobody wait for ever.
        let since = self
            .known
            .get(what)
            .map_or(self.now, |time| *time.min(&self.now));
        self.seen.insert(what.to_owned(), since);
        self.now - since >= self.grace.as_secs()
    }

    fn write(&self, site: &Site) -> anyhow::Result<()> {
        let lines = self
            .seen
            .iter()
            .map(|(what, time)| format!("{time} {what}\n"));
        site.replace_private(FILE, lines.collect::<String>().as_bytes())
    }
}
