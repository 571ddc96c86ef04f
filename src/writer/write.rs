//! Writes a plan so that no reader ever sees a partly written site.
//!
//! Files are written in the order of [`Stage`]. The new files of a stage go to staging and are made durable,
//! then renamed; the next stage makes the names durable too ([`FsyncBatch`]), since on some file systems each
//! folder becomes durable by itself. Names are deleted in reverse. A file that is already right keeps its
//! inode: pointers are compared byte by byte, content by name and length.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::content::Content;
use crate::fsx;
use crate::images::damage::is_lost;
use crate::plan::tree::{Derived, File, Stage};
use crate::plan::{Part, Plan};
use crate::progress::Progress;
use crate::site_files::{LINK_FROM, blob_path};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

use crate::writer::counts::{Counts, FileChanges};
use crate::writer::fsync_batch::FsyncBatch;
use crate::writer::{PENDING, Site};

/// The maximum length of a file of lines about tags, in bytes.
const MAX_LINES: u64 = 64 << 20;

impl Site {
    /// Writes the plan to the site, and deletes the names of repositories that were `dropped`. With
    /// `is_whole` the plan has all repositories, and names that it does not have are deleted too: copying a
    /// newer site over an older one leaves them.
    ///
    /// # Errors
    /// When a file cannot be read or written. Everything listed before remains complete.
    pub(crate) fn apply(
        &self,
        plan: &Plan<'_>,
        dropped: &BTreeSet<&Repository>,
        is_whole: bool,
        progress: &Progress,
    ) -> anyhow::Result<FileChanges> {
        let writer = Writer {
            site: self,
            plan,
            counts: Counts::default(),
            progress,
        };
        let parts = plan.parts();
        progress.expect_parts(parts.len() as u64);
        let repositories: BTreeSet<&Repository> = plan
            .images
            .repositories
            .keys()
            .chain(dropped.iter().copied())
            .collect();
        let mut batch = FsyncBatch::new(&self.disk);
        let staged = Mutex::default();
        parts
            .par_iter()
            .try_for_each(|part| writer.part(*part, &staged))?;
        let staged = staged.into_inner().map_err(|_| failed())?;
        let changed = !staged.is_empty();
        writer.place_all(staged, &repositories, &mut batch)?;
        batch.sync()?;
        let is_swept = writer.sweep(&repositories, dropped)?;
        // If an interrupted run did all the work, only its `pending` file is left.
        if changed || is_swept || !self.pending.is_empty() {
            // What that run has written may not be durable either.
            if is_swept || !self.pending.is_empty() {
                self.disk.sync_all()?;
            }
            self.clear_pending()?;
            if self.is_own() {
                self.set_own()?;
            }
        }
        if is_whole {
            writer.remove_names()?;
        }
        Ok(writer.counts.into_changes())
    }
}

/// A thread has ended in the middle of its work: it has panicked.
fn failed() -> anyhow::Error {
    anyhow::anyhow!("cannot write the site: another thread has failed")
}

pub(super) struct Writer<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a Plan<'a>,
    pub(super) counts: Counts,
    pub(super) progress: &'a Progress,
}

/// The files of one stage that do not have their names yet.
#[derive(Debug, Default)]
struct Staged {
    /// Paths in staging, and final paths.
    renames: Vec<(PathBuf, PathBuf)>,
    /// Content that an earlier stage has written, and the path of a link to it.
    links: Vec<(Digest, PathBuf)>,
    /// Symbolic links: paths in staging, and final paths.
    symlinks: Vec<(PathBuf, PathBuf)>,
}

impl Writer<'_> {
    /// Gives all staged files their names, group by group.
    fn place_all(
        &self,
        mut staged: BTreeMap<Stage, Staged>,
        repositories: &BTreeSet<&Repository>,
        batch: &mut FsyncBatch<'_>,
    ) -> anyhow::Result<()> {
        for stages in Stage::GROUPS {
            let group = stages.iter().filter_map(|stage| staged.remove(stage));
            let group: Vec<Staged> = group.collect();
            if group.is_empty() {
                continue;
            }
            if stages.contains(&Stage::Pointer) {
                self.site.set_pending(repositories)?;
                batch.named(&self.site.private(PENDING));
            }
            self.place(&group, batch)?;
        }
        Ok(())
    }

    /// Makes the staged files of a group durable and gives them their names, each stage once the one before is
    /// durable.
    fn place(&self, group: &[Staged], batch: &mut FsyncBatch<'_>) -> anyhow::Result<()> {
        let staged = group.iter().flat_map(|stage| &stage.renames);
        self.progress.expect_parts(staged.clone().count() as u64);
        staged.for_each(|(from, _)| batch.file(from));
        batch.sync()?;
        for (number, stage) in group.iter().enumerate() {
            let Staged {
                renames,
                links,
                symlinks,
            } = stage;
            if number > 0 {
                batch.sync()?;
            }
            renames.par_iter().try_for_each(|(from, to)| {
                self.progress.part_done();
                self.site.disk.rename(from, to)
            })?;
            for (_, path) in renames {
                self.wrote(path);
                batch.name(path);
            }
            self.link(links)?;
            for (_, path) in links {
                self.wrote(path);
                batch.named(path);
            }
            for (from, to) in symlinks {
                self.site.disk.place_symlink(from, to)?;
                self.wrote(to);
                batch.named(to);
            }
        }
        Ok(())
    }

    fn wrote(&self, path: &Path) {
        self.progress.step(|| {
            let is_dry = self.site.disk.staging.path().is_none();
            let wrote = if is_dry { "would write" } else { "wrote" };
            let path = path.strip_prefix(self.site.files.root()).unwrap_or(path);
            format!("{wrote} {}", fsx::escaped_path(path))
        });
    }

    fn part(&self, part: Part<'_>, staged: &Mutex<BTreeMap<Stage, Staged>>) -> anyhow::Result<()> {
        self.progress.part_done();
        let push = |stage: Stage, push: &dyn Fn(&mut Staged)| {
            let mut staged = staged.lock().map_err(|_| failed())?;
            push(staged.entry(stage).or_default());
            anyhow::Ok(())
        };
        if let Part::V1Image(id) = part {
            self.open_v1_image(id)?;
        }
        let tree = self.plan.tree(part)?;
        // Where the part has small content that is the same for ever: its other names are links to this.
        let mut small: BTreeMap<Digest, PathBuf> = BTreeMap::new();
        let mut open = BTreeSet::new();
        for (relative, stage, file) in tree.files() {
            let path = self.site.files.path(relative);
            self.open_folders(relative, &mut open)?;
            let temporary = match file {
                File::TagLines { new, join } => {
                    let old = fsx::read(&path, MAX_LINES)?.unwrap_or_default();
                    self.bytes(&path, &join(new, &old))?
                }
                File::Bytes(_) | File::Page(_) => {
                    let bytes = self.plan.bytes(file)?.unwrap_or_default();
                    self.bytes(&path, &bytes)?
                }
                File::V1(id, derived) => self.bytes(&path, &self.derived(*id, *derived)?)?,
                File::Own(digest) => self.content(&path, digest)?,
                File::Kept(_) | File::OldPage => continue,
                File::Link(target) => {
                    if let Some(temporary) = self.symlink(&path, target)? {
                        push(stage, &|staged| {
                            staged.symlinks.push((temporary.clone(), path.clone()));
                        })?;
                    }
                    continue;
                }
                File::Blob(digest) if relative == blob_path(digest) => {
                    self.content(&path, digest)?
                }
                File::Blob(digest) => {
                    let (_, size) = self.content_of(digest)?;
                    if size < LINK_FROM {
                        let other = small.get(digest).map(PathBuf::as_path);
                        let temporary = self.content_or_link(&path, digest, other)?;
                        let held = temporary.as_ref().unwrap_or(&path);
                        small.entry(*digest).or_insert_with(|| held.clone());
                        temporary
                    } else {
                        if self.has_length(&path, size)? {
                            continue;
                        }
                        self.counts.link();
                        push(stage, &|staged| staged.links.push((*digest, path.clone())))?;
                        continue;
                    }
                }
            };
            if let Some(temporary) = temporary {
                self.site.disk.make_folder_of(&path)?;
                push(stage, &|staged| {
                    staged.renames.push((temporary.clone(), path.clone()));
                })?;
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

    /// Stages a file of these bytes, unless `path` has them already.
    pub(super) fn bytes(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<Option<PathBuf>> {
        if self.has_length(path, bytes.len() as u64)?
            && fsx::read(path, bytes.len() as u64)?.as_deref() == Some(bytes)
        {
            return Ok(None);
        }
        self.counts.file(bytes.len() as u64);
        self.stage(|path| fsx::write(path, bytes))
    }

    /// Stages a file with content named by its digest, unless `path` has a file of that length already.
    fn content(&self, path: &Path, digest: &Digest) -> anyhow::Result<Option<PathBuf>> {
        self.content_or_link(path, digest, None)
    }

    /// Like [`Self::content`], but links to another file with the content if that is possible.
    fn content_or_link(
        &self,
        path: &Path,
        digest: &Digest,
        other: Option<&Path>,
    ) -> anyhow::Result<Option<PathBuf>> {
        let (content, size) = self.content_of(digest)?;
        if self.has_length(path, size)? {
            return Ok(None);
        }
        self.counts.file(size);
        self.stage(|path| match other {
            Some(other) if fsx::link(other, path)? => Ok(()),
            _ => self.copy(&content, path),
        })
    }

    /// Stages a symbolic link, unless `path` is one with this target already.
    fn symlink(&self, path: &Path, target: &str) -> anyhow::Result<Option<PathBuf>> {
        if fsx::link_target(path)?.as_deref() == Some(Path::new(target)) {
            return Ok(None);
        }
        self.counts.file(0);
        self.site.disk.make_folder_of(path)?;
        self.stage(|staged| fsx::symlink(target, staged))
    }

    fn stage(
        &self,
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<PathBuf>> {
        self.site.disk.staging.stage(fill).map(Some)
    }

    /// Copies content to a new file. Content that is already in staging is linked.
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
                fsx::escaped_path(to)
            )
        })?;
        Ok(())
    }

    /// The content and the number of bytes it has in the site. In a dry run, for a layer that would be
    /// compressed, the content is its uncompressed source.
    fn content_of(&self, digest: &Digest) -> anyhow::Result<(Content, u64)> {
        let manifest = self.plan.images.manifests.get(digest);
        if let Some(manifest) = manifest.filter(|manifest| !is_lost(manifest)) {
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
            let disk = &self.site.disk;
            disk.make_folder_of(path)?;
            let blob = self.site.files.path(&blob_path(digest));
            let staged = disk.staging.stage(|staged| {
                // A manifest that is also a blob of another manifest may not have its name yet.
                let linked = fsx::meta(&blob)?.is_some() && fsx::link(&blob, staged)?;
                if linked {
                    return Ok(());
                }
                self.copy(&self.content_of(digest)?.0, staged)
            })?;
            disk.rename(&staged, path)
        })
    }
}
