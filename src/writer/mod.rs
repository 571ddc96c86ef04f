//! Opens a site under its lock, and writes a plan to it with [`write`](mod@write).
//! ```text
//! SITE/...            see crate::plan
//! SITE/.stillage/     never served; may be deleted while no run is active
//!   lock              locked with flock by the writer; the file stays
//!   staging/          new files before they get their names; left behind only by a killed run
//!   layers            <blob> <bytes> <diff ID> <made|kept> <fit|unfit>, what is known of layers
//!   sources           <key> <blob>, what each file was found to hold: see source_cache.rs
//!   pending           the repositories whose tags and lists a run was about to change
//!   catalogue         inode, length and time of index.json after the last run: see Site::is_own
//!   unused  clock     what is unused, and since when: see crate::ops::unused
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::content::{Content, Packing};
use crate::error::WithHint as _;
use crate::fsx;
use crate::import::ingest::{BlobCache, Stored};
use crate::layer::Compression;
use crate::layer::Tar;
use crate::site;
use crate::site_files::catalogue::{Apis, Catalogue};
use crate::site_files::{FOLDERS, SiteFiles};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::writer::disk::Disk;

pub(crate) mod counts;
pub(crate) mod disk;
mod fsync_batch;
mod modes;
mod source_cache;
mod stale_pointers;
pub(crate) mod unreferenced;
pub(crate) mod write;

/// A site opened for writing, or for a dry run.
#[derive(Debug)]
pub(crate) struct Site {
    pub files: SiteFiles,
    /// The only way to change `files`.
    pub disk: Disk,
    /// Repositories that an earlier run may have left partly changed.
    pub pending: BTreeSet<Repository>,
    layers: BTreeMap<Digest, Layer>,
    /// Layer digests by the key of the content that they came from; `None` for an archive that holds no image.
    sources: BTreeMap<Digest, Option<Digest>>,
    /// Layers compressed here, by diff ID.
    compressed_here: BTreeMap<Digest, Vec<Digest>>,
    is_own: bool,
}

/// A line of `.stillage/layers`.
#[derive(Clone, Copy, Debug)]
struct Layer {
    size: u64,
    tar: Tar,
    compressed_here: bool,
}

const PRIVATE: &str = ".stillage";
const PENDING: &str = "pending";
const CATALOGUE: &str = "catalogue";
/// The maximum length of a private file, in bytes.
const MAX_PRIVATE: u64 = 1 << 30;

impl Site {
    /// Opens a site, creating it with these APIs if it does not exist, and takes its lock. A dry run changes nothing and
    /// needs no lock. With `link`, source files may be hard-linked into staging. `on_contention` is called
    /// before waiting for another writer; its error ends the call.
    ///
    /// # Errors
    /// When there is something else at the path, or it cannot be written.
    pub(crate) fn open(
        root: &Path,
        apis: Option<Apis>,
        dry_run: bool,
        link: bool,
        on_contention: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<(Self, Catalogue)> {
        let files = SiteFiles::new(root);
        refuse_foreign(&files)?;
        let private = files.path(PRIVATE);
        let disk = if dry_run {
            Disk::unchanging(root)
        } else {
            Disk::open(root, link, on_contention)?
        };
        let catalogue = match files.index()? {
            Some(bytes) => site::parse(&files, &bytes)?,
            None => Catalogue::empty(
                apis.with_context(|| format!("the site {} is gone", files.origin()))?,
            ),
        };
        let known = read_lines(&private.join(CATALOGUE), |line| Some(line.to_owned()))?;
        let is_empty = || FOLDERS.iter().all(|name| !files.path(name).exists());
        let is_own = mark(&files)?.map_or_else(is_empty, |mark| known == [mark]);
        let pending = pending(&files)?;
        let layers = read_layers(&private.join("layers"))?;
        let sources = read_lines(&private.join(source_cache::FILE), source_cache::parse)?;
        let mut compressed_here: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (blob, layer) in layers.iter().filter(|(_, layer)| layer.compressed_here) {
            let blobs = compressed_here.entry(layer.tar.diff_id).or_default();
            blobs.push(*blob);
        }
        Ok((
            Self {
                files,
                disk,
                pending,
                layers,
                sources: sources.into_iter().collect(),
                compressed_here,
                is_own,
            },
            catalogue,
        ))
    }

    /// Records what is known of layers, for the next run.
    pub(crate) fn remember<'a>(
        &mut self,
        stored: impl Iterator<Item = &'a Stored>,
    ) -> anyhow::Result<()> {
        let before = self.layers.len();
        for stored in stored {
            if let Some(tar) = stored.tar {
                let layer = Layer {
                    size: stored.size,
                    tar,
                    compressed_here: stored.compressed_here,
                };
                self.layers
                    .entry(stored.digest)
                    .or_insert(layer)
                    .compressed_here |= stored.compressed_here;
            }
        }
        if self.layers.len() == before {
            return Ok(());
        }
        let line = |(blob, layer): (&Digest, &Layer)| {
            let origin = if layer.compressed_here {
                "made"
            } else {
                "kept"
            };
            let shape = if layer.tar.incomplete_for_v1 {
                "unfit"
            } else {
                "fit"
            };
            format!(
                "{} {} {} {origin} {shape}\n",
                blob.hex(),
                layer.size,
                layer.tar.diff_id.hex()
            )
        };
        let text: String = self.layers.iter().map(line).collect();
        self.replace_private("layers", text.as_bytes())
    }

    /// Whether the catalogue is unchanged since the last run. If not, the site was copied, maybe over an
    /// older one, or lost its catalogue, and may have names that are not in the catalogue.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Records that the site has no names that are not in the catalogue.
    pub(crate) fn set_own(&self) -> anyhow::Result<()> {
        let mark = mark(&self.files)?.unwrap_or_default();
        self.replace_private(CATALOGUE, mark.as_bytes())
    }

    /// Records which repositories are about to change, so that the next run repairs them after a crash.
    fn set_pending(&self, repositories: &BTreeSet<&Repository>) -> anyhow::Result<()> {
        let lines: Vec<&str> = repositories
            .iter()
            .map(|repository| repository.as_str())
            .collect();
        self.replace_private(PENDING, lines.join("\n").as_bytes())
    }

    fn clear_pending(&self) -> anyhow::Result<()> {
        self.disk.remove(&self.private(PENDING))
    }

    /// Replaces a file of the private folder.
    pub(crate) fn replace_private(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let staged = self.disk.staging.stage(|path| fsx::write(path, bytes))?;
        self.disk.rename(&staged, &self.private(name))
    }

    /// Replaces a file of the private folder, and makes it durable.
    pub(crate) fn replace_private_durably(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let staged = self.disk.staging.stage(|path| fsx::write(path, bytes))?;
        self.disk.sync(&staged)?;
        let path = self.private(name);
        self.disk.rename(&staged, &path)?;
        self.disk.sync(&self.files.path(PRIVATE))
    }

    /// The parsed lines of a file of the private folder. Lines that cannot be parsed are skipped; without a
    /// file there are none.
    pub(crate) fn private_lines<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        read_lines(&self.private(name), parse)
    }

    fn private(&self, name: &str) -> PathBuf {
        self.files.path(PRIVATE).join(name)
    }
}

/// The repositories that an interrupted run may have left partly changed.
pub(crate) fn pending(files: &SiteFiles) -> anyhow::Result<BTreeSet<Repository>> {
    let path = files.path(PRIVATE).join(PENDING);
    let lines = read_lines(&path, |line| line.parse().ok())?;
    Ok(lines.into_iter().collect())
}

/// Inode, length and change time of the catalogue, one of which changes whenever the file is replaced.
fn mark(files: &SiteFiles) -> anyhow::Result<Option<String>> {
    let meta = fsx::meta(&files.path("index.json"))?;
    let text = |meta: fsx::Meta| format!("{:?} {} {:?}", meta.inode, meta.len, meta.changed);
    Ok(meta.map(text))
}

impl BlobCache for Site {
    fn blob(&self, digest: &Digest) -> Option<Content> {
        self.files.blob(digest).ok().flatten()
    }

    fn tar(&self, blob: &Digest) -> Option<Tar> {
        self.layers.get(blob).map(|layer| layer.tar)
    }

    fn compressed(&self, diff_id: &Digest, packing: Packing) -> Option<(Digest, Content)> {
        self.compressed_here.get(diff_id)?.iter().find_map(|blob| {
            let content = self.blob(blob)?;
            let layer = self.layers.get(blob)?;
            let is_whole = layer.size == content.len();
            let is_it = is_whole && Compression::of(&content).ok()? == packing.into();
            is_it.then_some((*blob, content))
        })
    }
}

/// Fails for a folder that has files and is not a site. A folder with only a private folder is a site whose
/// first build did not finish.
fn refuse_foreign(files: &SiteFiles) -> anyhow::Result<()> {
    let root = files.root();
    if fsx::meta(root)?.is_some_and(|meta| !meta.is_dir) {
        return Err(anyhow::anyhow!("{} is not a folder", files.origin()))
            .hint("name the folder of the site");
    }
    if fsx::meta(root)?.is_none()
        && let Some(site) = site::enclosing(&fsx::absolute(root)?)
    {
        return Err(anyhow::anyhow!(
            "{} would become part of the site `{}`",
            files.origin(),
            fsx::escaped_path(&site)
        ))
        .hint("build into that site, or into a folder outside it");
    }
    let is_begun = || Ok::<_, anyhow::Error>(fsx::meta(&files.path(PRIVATE))?.is_some());
    if has_lost_catalogue(files)? {
        return Err(anyhow::anyhow!(
            "{} has the content of a site, but no `index.json`",
            files.origin()
        ))
        .hint("restore `index.json` from a copy of the site, or build into a new folder");
    }
    // If there is a private folder, `open` checks the catalogue next.
    let is_ours = is_begun()?
        || match files.index()? {
            Some(index) => Catalogue::is_one(&index),
            // In this order: another first build may start meanwhile, and makes its private folder first.
            None => fsx::names(root)?.is_empty() || is_begun()?,
        };
    if is_ours {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "{} is not empty and is not a stillage site",
        files.origin()
    ))
    .hint("name a site, or a new or empty folder")
}

/// Files that get their names with the tags, after the images.
const LATE: [&str; 2] = ["oci-layout", "v2/_catalog"];

/// Whether a site was complete, and has lost its catalogue. A build would take all its names for stale. The first build
/// of a site gives names to these files too before there is a catalogue, but leaves its `pending` until there is one. In
/// this order: such a build may go on meanwhile.
fn has_lost_catalogue(files: &SiteFiles) -> anyhow::Result<bool> {
    let has = |name: &str| Ok::<_, anyhow::Error>(fsx::meta(&files.path(name))?.is_some());
    for name in LATE {
        if has(name)? && !has(&format!("{PRIVATE}/{PENDING}"))? && !has("index.json")? {
            return has(PRIVATE);
        }
    }
    Ok(false)
}

fn read_lines<T>(path: &Path, parse: impl Fn(&str) -> Option<T>) -> anyhow::Result<Vec<T>> {
    let bytes = fsx::read(path, MAX_PRIVATE)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes)
        .lines()
        .filter_map(parse)
        .collect())
}

fn read_layers(path: &Path) -> anyhow::Result<BTreeMap<Digest, Layer>> {
    Ok(read_lines(path, layer_of_line)?.into_iter().collect())
}

fn layer_of_line(line: &str) -> Option<(Digest, Layer)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [blob, size, diff_id, origin, shape] = words.as_slice() else {
        return None;
    };
    // The last line may be truncated after a crash: the file is replaced without a sync.
    let incomplete_for_v1 = match *shape {
        "unfit" => true,
        "fit" => false,
        // Format 1 had other words, for other rules.
        _ => return None,
    };
    let tar = Tar {
        diff_id: Digest::from_hex(diff_id).ok()?,
        incomplete_for_v1,
    };
    let layer = Layer {
        size: size.parse().ok()?,
        tar,
        compressed_here: *origin == "made",
    };
    Some((Digest::from_hex(blob).ok()?, layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A truncated `unfit` must not be read as `fit`: v1 got a layer without the entries that old clients need.
    #[test]
    fn a_line_that_was_cut_is_no_line() {
        let hex = "0".repeat(64);
        let line = format!("{hex} 12 {hex} made unfit");
        assert!(layer_of_line(&line).unwrap().1.tar.incomplete_for_v1);
        for length in 0..line.len() {
            assert!(layer_of_line(&line[..length]).is_none(), "{length}");
        }
    }
}
