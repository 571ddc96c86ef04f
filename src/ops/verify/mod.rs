//! `verify`: compares a site with the plan made from its catalogue.
//! ```text
//! mod.rs         planned files: existence, length, content
//! v1.rs          the files of v1 images
//! hash.rs        digests, for which each file is read once
//! access.rs      what a web server cannot read
//! extra.rs       files that are not planned
//! unfinished.rs  what an interrupted run has left
//! deep.rs        diff IDs
//! export.rs      exports, not sites
//! finding.rs     problems; those that one lost file causes become one
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::fsx;
use crate::images::Images;
use crate::images::v1_claims;
use crate::images::v1_images::V1Images;
use crate::ops::unused::Withheld;
use crate::pages::{Pages, VERSION};
use crate::plan::tree::File;
use crate::plan::{Part, Plan};
use crate::progress::Progress;
use crate::site::{self, load};
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::Catalogue;
use crate::spec::name::Repository;
use crate::writer::{self, unreferenced};

mod access;
mod deep;
mod export;
mod extra;
mod finding;
mod hash;
mod unfinished;
mod v1;

pub use export::{exports, verify_exports};
pub use finding::{Finding, Kind};
use finding::{Problem, damaged, missing, or_error};
use hash::Hashes;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only the existence and lengths of files.
    Fast,
    /// Also their content.
    Normal,
    /// Also the diff IDs of layers, which are unpacked for this.
    Deep,
}

#[derive(Debug)]
pub struct Verified {
    pub findings: Vec<Finding>,
    /// The number of files with content that the catalogue does not refer to. `prune` deletes them.
    pub unused: u64,
    /// The number of tags and lists that an interrupted run has changed already, or not yet. They are whole, and the
    /// next run completes them.
    pub unfinished: u64,
}

/// Checks the files of a site: lengths, digests, lists and v1 ancestries. `progress` counts the bytes that
/// are read.
///
/// # Errors
/// When there is no site or it cannot be read at all. Anything wrong in it is a finding.
pub fn verify(root: &Path, depth: Depth, progress: &Arc<Progress>) -> anyhow::Result<Verified> {
    let (files, catalogue) = site::read(root)?;
    let mut images = load::all(&files, &catalogue);
    let mut findings = finding::lost(&images);
    let v1 = if catalogue.apis.v1 {
        v1_images(&mut images, &catalogue, &mut findings)
    } else {
        V1Images::default()
    };
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
        pages: &Pages::of_site(&catalogue, &images, &files)?,
    };
    let verifier = Verifier {
        files: &files,
        plan: &plan,
        depth,
        progress,
        hashes: Hashes::default(),
        root: fsx::canonical(files.root()),
        folders: Mutex::default(),
        pending: writer::pending(&files).unwrap_or_default(),
        unfinished: AtomicU64::default(),
    };
    if depth > Depth::Fast {
        verifier.hash_all();
    }
    let unreferenced = unreferenced::find(&files, &plan)?;
    let parts = plan.parts();
    let of_parts = parts.par_iter().flat_map_iter(|part| verifier.part(*part));
    findings.par_extend(of_parts);
    findings.extend(verifier.folders());
    findings.par_extend(
        unreferenced
            .par_iter()
            .filter_map(|file| verifier.extra(file)),
    );
    let withheld = Withheld::of(&plan);
    let unused = unreferenced
        .iter()
        .filter(|file| file.kind.is_content() && !withheld.has(&files, file))
        .count();
    let unfinished = verifier.unfinished.into_inner();
    if depth == Depth::Deep {
        findings.extend(deep::diff_ids(&mut images, progress));
    }
    Ok(Verified {
        findings: finding::merged(findings),
        unused: unused as u64,
        unfinished,
    })
}

fn v1_images(images: &mut Images, catalogue: &Catalogue, findings: &mut Vec<Finding>) -> V1Images {
    V1Images::find(
        images,
        None,
        false,
        catalogue.v1_platform.as_ref(),
        &v1_claims::leave,
    )
    .unwrap_or_else(|error| {
        // The error names the image.
        let problem = damaged(format!("{error:#}"));
        findings.push(Finding::new("v1/images", problem));
        V1Images::default()
    })
}

/// Checks a symbolic link.
fn symlink(path: &Path, target: &str) -> anyhow::Result<Option<Problem>> {
    Ok(match fsx::link_target(path)? {
        Some(found) if found == Path::new(target) => None,
        Some(found) => Some(damaged(format!(
            "it is a link to `{}`, not to `{target}`",
            fsx::escaped_path(&found)
        ))),
        None if fsx::meta(path)?.is_some() => {
            Some(damaged(format!("it is not a link to `{target}`")))
        }
        None => Some(missing()),
    })
}

struct Verifier<'a> {
    files: &'a SiteFiles,
    plan: &'a Plan<'a>,
    depth: Depth,
    progress: &'a Progress,
    hashes: Hashes,
    /// The site, without links on the way to it.
    root: PathBuf,
    /// The folders of planned files, relative to the site.
    folders: Mutex<BTreeSet<PathBuf>>,
    /// The repositories that an interrupted run was about to change.
    pending: BTreeSet<Repository>,
    unfinished: AtomicU64,
}

impl Verifier<'_> {
    fn part(&self, part: Part<'_>) -> Vec<Finding> {
        if let Part::V1Image(id) = part {
            return self.v1_image(id);
        }
        match self.plan.tree(part) {
            Ok(tree) => tree
                .files()
                .filter(|(_, _, file)| !matches!(file, File::OldPage))
                .filter_map(|(path, stage, file)| {
                    let problem = or_error(self.file(path, file))
                        .filter(|_| !self.is_judged_elsewhere(part, path, stage));
                    let is_link = matches!(file, File::Link(_));
                    let problem = problem.or_else(|| or_error(self.access(path, is_link)));
                    let content = match file {
                        File::Blob(digest) | File::Own(digest) | File::Kept(digest) => {
                            Some(*digest)
                        }
                        _ => None,
                    };
                    Some(Finding::new(path, problem?).of(content))
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
        if let File::Link(target) = file {
            return symlink(&absolute, target);
        }
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
        let made = match file {
            // Those of another version look otherwise; the next build makes them anew.
            File::Page(_) if self.plan.catalogue.pages.as_deref() != Some(VERSION) => None,
            File::TagLines { new, .. } => Some(new.clone()),
            file => self.plan.bytes(file)?,
        };
        if let Some(bytes) = made {
            let same = is(&bytes)?;
            return Ok((!same).then(|| damaged("it does not match the catalogue")));
        }
        match file {
            // The digest of a signed schema 1 manifest is not that of its bytes.
            File::Blob(digest) if self.plan.images.manifests.contains_key(digest) => {
                let same = is(&self.plan.images.manifests[digest].bytes)?;
                Ok((!same).then(|| damaged(format!("it is not the manifest {digest}"))))
            }
            // Its length is unknown, and that of a manifest of schema 1 with signatures is not of its digest.
            File::Kept(_) if self.depth == Depth::Fast => Ok(None),
            File::Kept(digest) => {
                let matches = self.matches(&absolute, meta, *digest)?;
                Ok((!matches).then(|| damaged(format!("it does not have the digest {digest}"))))
            }
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
            // Checked in v1.rs and above.
            _ => Ok(None),
        }
    }
}
