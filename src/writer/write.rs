//! Writing a site so that it is never half there.
//!
//! Stage by stage ([`Stage`]): new files go to staging and are made durable, then they get their names; the
//! next stage makes the names durable too ([`Unsynced`]). A file that is there already
//! keeps its inode: pointers are compared, content is known by its name and length.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use rayon::prelude::*;
use serde::Serialize;

use crate::content::Content;
use crate::fsx;
use crate::import::ingest::Staging;
use crate::plan::tree::{Derived, File, Stage};
use crate::plan::turn::Turn;
use crate::plan::{Part, Plan, htaccess};
use crate::site_files::{LINK_FROM, blob_path};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;
use crate::writer::unsynced::Unsynced;
use crate::writer::{PENDING, Site};

/// What writing changed, or would change.
#[derive(Debug, Default, Serialize)]
pub struct Changes {
    /// Files written.
    pub files: u64,
    /// Their bytes, without links.
    pub bytes: u64,
    /// Names given to content that the site has already.
    pub links: u64,
    /// Files deleted: of tags and lists that are gone.
    pub deleted: u64,
}

impl Changes {
    /// Whether everything was there already.
    pub fn is_nothing(&self) -> bool {
        self.files + self.links + self.deleted == 0
    }
}

impl Site {
    /// Brings the site to the plan, and removes the names of repositories that were `dropped`. A dry run
    /// only counts.
    ///
    /// # Errors
    /// When a file cannot be read or written; what was listed before is whole all the same.
    pub fn apply(
        &self,
        plan: &Plan<'_>,
        dropped: &BTreeSet<&Repository>,
    ) -> anyhow::Result<Changes> {
        let writer = Writer {
            site: self,
            plan,
            counts: Counts::default(),
        };
        let parts = plan.parts();
        let repositories: BTreeSet<&Repository> = plan
            .images
            .repositories
            .keys()
            .chain(dropped.iter().copied())
            .collect();
        let mut changed = false;
        let mut unsynced = Unsynced::new(self.files.root());
        let staged = Mutex::default();
        parts
            .par_iter()
            .try_for_each(|part| writer.part(*part, &staged))?;
        let mut staged: BTreeMap<Stage, Staged> = staged.into_inner().unwrap_or_default();
        for stage in Stage::ALL {
            let Staged { renames, links } = staged.remove(&stage).unwrap_or_default();
            if self.is_dry() || (renames.is_empty() && links.is_empty()) {
                continue;
            }
            if stage == Stage::Pointer {
                self.set_pending(&repositories)?;
                unsynced.named(&self.private(PENDING));
            }
            self.place(renames, &mut unsynced)?;
            writer.link(&links)?;
            for (_, path) in &links {
                unsynced.named(path);
            }
            changed = true;
        }
        repositories
            .par_iter()
            .try_for_each(|repository| writer.sweep(repository, dropped.contains(repository)))?;
        let counts = writer.counts.into_changes();
        // A run that died may have left nothing else to do.
        if !self.is_dry() && (changed || counts.deleted > 0 || !self.pending.is_empty()) {
            if counts.deleted > 0 {
                fsx::sync(self.files.root())?;
            } else {
                unsynced.sync()?;
            }
            self.clear_pending()?;
            if self.is_own() {
                self.set_own()?;
            }
        }
        Ok(counts)
    }

    /// Whether nothing is written.
    pub fn is_dry(&self) -> bool {
        matches!(self.staging, Staging::Nowhere)
    }

    /// Makes staged files durable and gives them their names.
    fn place(
        &self,
        renames: Vec<(PathBuf, PathBuf)>,
        unsynced: &mut Unsynced<'_>,
    ) -> anyhow::Result<()> {
        let mut turns: BTreeMap<Turn, Vec<(PathBuf, PathBuf)>> = BTreeMap::new();
        for (from, to) in renames {
            unsynced.file(&from);
            let turn = to.strip_prefix(self.files.root()).map(Turn::of);
            turns
                .entry(turn.unwrap_or(Turn::File))
                .or_default()
                .push((from, to));
        }
        unsynced.sync()?;
        for (turn, renames) in turns {
            if turn == Turn::V1Image {
                unsynced.sync()?;
            }
            renames
                .par_iter()
                .try_for_each(|(from, to)| fsx::rename(from, to))?;
            for (_, to) in &renames {
                unsynced.name(to);
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
    links: AtomicU64,
    pub(super) deleted: AtomicU64,
}

impl Counts {
    fn file(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn into_changes(self) -> Changes {
        Changes {
            files: self.files.into_inner(),
            bytes: self.bytes.into_inner(),
            links: self.links.into_inner(),
            deleted: self.deleted.into_inner(),
        }
    }
}

pub(super) struct Writer<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a Plan<'a>,
    pub(super) counts: Counts,
}

/// What waits for its names, of one stage.
#[derive(Debug, Default)]
struct Staged {
    /// Files in staging, and their names.
    renames: Vec<(PathBuf, PathBuf)>,
    /// Content that the site has by then, and another name for it.
    links: Vec<(Digest, PathBuf)>,
}

impl Writer<'_> {
    fn part(&self, part: Part<'_>, staged: &Mutex<BTreeMap<Stage, Staged>>) -> anyhow::Result<()> {
        let push = |stage: Stage, push: &dyn Fn(&mut Staged)| {
            if let Ok(mut staged) = staged.lock() {
                push(staged.entry(stage).or_default());
            }
        };
        let tree = self.plan.tree(part)?;
        for (relative, stage, file) in tree.files() {
            let path = self.site.files.path(relative);
            let temporary = match file {
                File::Bytes(bytes) if htaccess::is_of_tags(relative) => {
                    self.bytes(&path, &self.rules_with_old(relative, bytes)?)?
                }
                File::Bytes(bytes) => self.bytes(&path, bytes)?,
                File::V1(id, derived) => self.bytes(&path, &self.derived(*id, *derived)?)?,
                File::Own(digest) => self.content(&path, digest)?,
                File::Blob(digest) if relative == blob_path(digest) => {
                    self.content(&path, digest)?
                }
                File::Blob(digest) => {
                    let (_, size) = self.content_of(digest)?;
                    if size < LINK_FROM {
                        self.content(&path, digest)?
                    } else {
                        if has_length(&path, size)? {
                            continue;
                        }
                        self.counts.links.fetch_add(1, Ordering::Relaxed);
                        push(stage, &|staged| staged.links.push((*digest, path.clone())));
                        continue;
                    }
                }
            };
            if let Some(temporary) = temporary {
                self.make_folder(&path)?;
                push(stage, &|staged| {
                    staged.renames.push((temporary.clone(), path.clone()));
                });
            }
        }
        Ok(())
    }

    fn derived(&self, id: V1Id, derived: Derived) -> anyhow::Result<Vec<u8>> {
        let Plan { images, v1, .. } = self.plan;
        match derived {
            Derived::Json => v1.json(images, id),
            Derived::Checksum => Ok(format!("{}\n", v1.checksum(images, id)?).into_bytes()),
        }
    }

    /// Stages a file of these bytes, unless it is there already.
    pub(super) fn bytes(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<Option<PathBuf>> {
        if has_length(path, bytes.len() as u64)?
            && fsx::read(path, bytes.len() as u64)?.as_deref() == Some(bytes)
        {
            return Ok(None);
        }
        self.counts.file(bytes.len() as u64);
        self.stage(|temporary| fsx::write(temporary, bytes))
    }

    /// Stages a file with content that is known by its digest.
    fn content(&self, path: &Path, digest: &Digest) -> anyhow::Result<Option<PathBuf>> {
        let (content, size) = self.content_of(digest)?;
        if has_length(path, size)? {
            return Ok(None);
        }
        self.counts.file(size);
        self.stage(|temporary| self.copy(&content, temporary))
    }

    fn stage(
        &self,
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<PathBuf>> {
        let temporary = if self.site.is_dry() {
            PathBuf::new()
        } else {
            self.site.staging.path()?
        };
        if !self.site.is_dry() {
            fill(&temporary)?;
        }
        Ok(Some(temporary))
    }

    /// Brings content to a new file. What ingest put into staging only gets a second name.
    fn copy(&self, content: &Content, to: &Path) -> anyhow::Result<()> {
        let staged = content
            .path()
            .filter(|path| content.len() >= LINK_FROM && path.starts_with(self.site.files.root()));
        if let Some(from) = staged
            && fsx::link(from, to)?
        {
            return Ok(());
        }
        let mut file = fsx::create(to)?;
        let mut reader = content.open()?;
        let copied = std::io::copy(&mut reader, &mut file);
        copied.with_context(|| {
            format!(
                "cannot copy {} to `{}`",
                content.origin(),
                fsx::shown_path(to)
            )
        })?;
        Ok(())
    }

    /// Where content lies, and the number of bytes that the site gets of it: a dry run has only the
    /// uncompressed source of a layer.
    fn content_of(&self, digest: &Digest) -> anyhow::Result<(Content, u64)> {
        if let Some(manifest) = self.plan.images.manifests.get(digest) {
            let content = Content::memory(manifest.bytes.clone(), format!("the manifest {digest}"));
            return Ok((content, manifest.bytes.len() as u64));
        }
        let stored = self
            .plan
            .images
            .blobs
            .get(digest)
            .with_context(|| format!("the content {digest} is missing"))?;
        Ok((stored.content.clone(), stored.size))
    }

    fn link(&self, links: &[(Digest, PathBuf)]) -> anyhow::Result<()> {
        links.par_iter().try_for_each(|(digest, path)| {
            self.make_folder(path)?;
            let blob = self.site.files.path(&blob_path(digest));
            let temporary = self.site.staging.path()?;
            // A manifest that is a blob of another one gets its own name later.
            let linked = fsx::meta(&blob)?.is_some() && fsx::link(&blob, &temporary)?;
            if !linked {
                self.copy(&self.content_of(digest)?.0, &temporary)?;
            }
            fsx::rename(&temporary, path)
        })
    }

    fn make_folder(&self, path: &Path) -> anyhow::Result<()> {
        match path.parent() {
            Some(folder) if !self.site.is_dry() => fsx::create_dirs(folder),
            _ => Ok(()),
        }
    }
}

fn has_length(path: &Path, length: u64) -> anyhow::Result<bool> {
    Ok(fsx::meta(path)?.is_some_and(|meta| meta.is_file && meta.len == length))
}
