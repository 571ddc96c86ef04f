//! `verify`: compares a site with the plan that follows from its catalogue.
//! ```text
//! mod.rs     every planned file: there, of the right length and content
//! v1.rs      the files of v1 images
//! extra.rs   files that are not planned
//! deep.rs    diff IDs
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use serde::Serialize;

use crate::content::Content;
use crate::fsx::{self, Meta};
use crate::images::Images;
use crate::images::v1_images::V1Images;
use crate::layer;
use crate::note::Severity;
use crate::plan::tree::File;
use crate::plan::{Part, Plan};
use crate::progress::Progress;
use crate::site::{self, load};
use crate::site_files::catalogue::Catalogue;
use crate::site_files::{SiteFiles, blob_path};
use crate::spec::digest::Digest;
use crate::writer::unreferenced;

mod deep;
mod extra;
mod v1;

/// How thorough a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Which files there are, and their lengths.
    Fast,
    /// Their content too.
    Normal,
    /// What is in the layers too: the diff IDs that the configs name.
    Deep,
}

/// What a check found.
#[derive(Debug)]
pub struct Verified {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Files with content that nothing names any more, which `prune` deletes.
    pub unused: u64,
}

/// Something wrong with a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What it is about: a path relative to the root, or a reference.
    pub path: String,
    /// What kind of problem it is, which says what mends it.
    pub kind: Kind,
    /// How bad it is: always an error.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    fn new(path: impl Into<String>, (kind, message): Problem) -> Self {
        Self {
            path: path.into(),
            kind,
            severity: Severity::Error,
            message,
        }
    }
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file that the catalogue demands is missing. A build from the sources writes it.
    Missing,
    /// A file has other content. A build from the sources writes it once it has been deleted: of content that
    /// is known by its digest a build looks at name and length alone.
    Damaged,
    /// A file is left of a reference that the catalogue does not have. `prune` deletes it.
    Stale,
    /// A file is not the site's. Nothing but its owner deletes it.
    Foreign,
}

/// What is wrong with a file.
type Problem = (Kind, String);

fn damaged(text: impl Into<String>) -> Problem {
    (Kind::Damaged, text.into())
}

fn missing() -> Problem {
    (Kind::Missing, "it is missing".into())
}

/// Where a file cannot be checked at all, that is the problem.
fn or_error(checked: anyhow::Result<Option<Problem>>) -> Option<Problem> {
    checked.unwrap_or_else(|error| Some(damaged(format!("{error:#}"))))
}

/// Checks a site: digests, lengths, lists, links and v1 ancestries; `progress` counts what is read.
///
/// # Errors
/// When there is no site or it cannot be read at all; what is wrong in it is a finding.
pub fn verify(root: &Path, depth: Depth, progress: &Arc<Progress>) -> anyhow::Result<Verified> {
    let (files, catalogue) = site::read(root)?;
    let mut findings = Vec::new();
    let mut images = load::load(
        &files,
        &catalogue,
        catalogue.repositories.keys(),
        None,
        &mut |path, error| {
            let is_there = files.path(&path).exists();
            let kind = if is_there {
                Kind::Damaged
            } else {
                Kind::Missing
            };
            findings.push(Finding::new(path, (kind, format!("{error:#}"))));
            Ok(())
        },
    )?;
    let v1 = if catalogue.apis.v1 {
        v1_images(&mut images, &catalogue, &mut findings)
    } else {
        V1Images::default()
    };
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
    };
    let verifier = Verifier {
        files: &files,
        plan: &plan,
        depth,
        progress,
        hashed: Mutex::default(),
    };
    if depth > Depth::Fast {
        let blobs = images.blobs.values();
        progress.expect(blobs.len() as u64, blobs.map(|blob| blob.size).sum());
        verifier.hash_blobs();
    }
    // Where the catalogue cannot be followed, it is not known what it does not ask for.
    let unreferenced = if findings.is_empty() {
        unreferenced::find(&files, &plan)?
    } else {
        Vec::new()
    };
    let parts = plan.parts();
    let of_parts = parts.par_iter().flat_map_iter(|part| verifier.part(*part));
    findings.par_extend(of_parts);
    findings.par_extend(
        unreferenced
            .par_iter()
            .filter_map(|file| verifier.extra(file)),
    );
    let unused = unreferenced
        .iter()
        .filter(|file| file.kind.is_content())
        .count();
    if depth == Depth::Deep {
        findings.extend(deep::diff_ids(&mut images, progress));
    }
    findings.sort();
    findings.dedup();
    Ok(Verified {
        findings,
        unused: unused as u64,
    })
}

fn v1_images(images: &mut Images, catalogue: &Catalogue, findings: &mut Vec<Finding>) -> V1Images {
    V1Images::find(
        images,
        None,
        catalogue.v1_platform.as_ref(),
        &|_, stored| Ok(stored.clone()),
    )
    .unwrap_or_else(|error| {
        // The error names the image.
        let problem = (Kind::Missing, format!("{error:#}"));
        findings.push(Finding::new("v1/images", problem));
        V1Images::default()
    })
}

struct Verifier<'a> {
    files: &'a SiteFiles,
    plan: &'a Plan<'a>,
    depth: Depth,
    progress: &'a Progress,
    /// Digests by device and inode: links are read once.
    hashed: Mutex<BTreeMap<(u64, u64), Digest>>,
}

impl Verifier<'_> {
    /// Hashes the blobs, the longest first: else a thread would have them to itself in the end. What goes wrong
    /// is found again with the files that need it.
    fn hash_blobs(&self) {
        let mut blobs: Vec<(u64, &Digest)> = self
            .plan
            .images
            .blobs
            .iter()
            .map(|(digest, blob)| (blob.size, digest))
            .collect();
        blobs.sort_by_key(|(size, _)| Reverse(*size));
        blobs.into_iter().par_bridge().for_each(|(_, digest)| {
            let path = self.files.path(&blob_path(digest));
            if let Ok(Some(meta)) = fsx::meta(&path)
                && meta.is_file
            {
                let _ = self.hash(path, meta);
            }
        });
    }

    fn part(&self, part: Part<'_>) -> Vec<Finding> {
        if let Part::V1Image(id) = part {
            return self.v1_image(id);
        }
        match self.plan.tree(part) {
            Ok(tree) => tree
                .files()
                .filter_map(|(path, _, file)| {
                    Some(Finding::new(path, or_error(self.file(path, file))?))
                })
                .collect(),
            Err(error) => vec![Finding::new(
                format!("{part:?}"),
                damaged(format!("{error:#}")),
            )],
        }
    }

    fn file(&self, path: &str, file: &File) -> anyhow::Result<Option<Problem>> {
        let absolute = self.files.path(path);
        let Some(meta) = fsx::meta(&absolute)? else {
            return Ok(Some(missing()));
        };
        if !meta.is_file {
            return Ok(Some(damaged("it is not a regular file")));
        }
        let is = |expected: &[u8]| -> anyhow::Result<bool> {
            Ok(meta.len == expected.len() as u64
                && (self.depth == Depth::Fast
                    || fsx::read(&absolute, meta.len)?.as_deref() == Some(expected)))
        };
        match file {
            File::Bytes(bytes) | File::TagLines { new: bytes, .. } => {
                let same = is(bytes)?;
                Ok((!same).then(|| damaged("it is not what the catalogue says")))
            }
            // A signed schema 1 manifest is not known by the digest of its bytes.
            File::Blob(digest) if self.plan.images.manifests.contains_key(digest) => {
                let same = is(&self.plan.images.manifests[digest].bytes)?;
                Ok((!same).then(|| damaged(format!("it is not the manifest {digest}"))))
            }
            // See v1.rs.
            File::V1(..) => Ok(None),
            File::Blob(digest) | File::Own(digest) if self.depth == Depth::Fast => {
                let expected = self.plan.images.blobs.get(digest).map(|blob| blob.size);
                let other = expected.filter(|expected| *expected != meta.len);
                Ok(other
                    .map(|expected| damaged(format!("it has {} bytes, not {expected}", meta.len))))
            }
            File::Blob(digest) | File::Own(digest) => {
                let actual = self.hash(absolute, meta)?;
                Ok((actual != *digest)
                    .then(|| damaged(format!("it has the digest {actual}, not {digest}"))))
            }
        }
    }

    fn hash(&self, path: PathBuf, meta: Meta) -> anyhow::Result<Digest> {
        if let Some(digest) = self
            .hashed
            .lock()
            .ok()
            .and_then(|hashed| hashed.get(&meta.inode).copied())
        {
            return Ok(digest);
        }
        let digest = layer::keep(
            &Content::file_of_len(path, meta.len),
            &mut self.progress.counting(std::io::sink(), true),
            false,
        )?
        .digest;
        self.progress.blob_done();
        if let Ok(mut hashed) = self.hashed.lock() {
            hashed.insert(meta.inode, digest);
        }
        Ok(digest)
    }
}
