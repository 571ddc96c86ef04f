//! `verify`: compares a site with the plan that follows from its catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;
use serde::Serialize;

use crate::catalogue::Catalogue;
use crate::content::Content;
use crate::fsx::{self, Meta};
use crate::images::Images;
use crate::layer;
use crate::plan::v1_claims::Form;
use crate::plan::v1_images::V1Images;
use crate::plan::{Part, Plan};
use crate::site::{self, load};
use crate::site_files::{SiteFiles, checksum};
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::v1::{self, V1Id};
use crate::tree::{File, Stage};

/// Something wrong with a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What it is about: a path relative to the root, or a reference.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

/// Checks a site: digests, lengths, lists, links and v1 ancestries.
///
/// # Errors
/// When there is no site or it cannot be read at all; what is wrong in it is a finding.
pub fn verify(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let (files, catalogue) = site::read(root)?;
    let mut findings = Vec::new();
    let mut images = load::load(
        &files,
        &catalogue,
        catalogue.repositories.keys(),
        None,
        &mut |error| {
            findings.push(Finding {
                path: "index.json".into(),
                problem: format!("{error:#}"),
            });
            Ok(())
        },
    )?;
    let v1 = if catalogue.apis.v1 {
        v1_images(&mut images, &catalogue, &mut findings)
    } else {
        V1Images::default()
    };
    let dropped = BTreeSet::new();
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
        dropped: &dropped,
    };
    let verifier = Verifier {
        files: &files,
        plan: &plan,
        hashed: Mutex::default(),
    };
    let mut more: Vec<Finding> = plan
        .parts()
        .par_iter()
        .flat_map_iter(|part| verifier.part(*part))
        .collect();
    findings.append(&mut more);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn v1_images(images: &mut Images, catalogue: &Catalogue, findings: &mut Vec<Finding>) -> V1Images {
    V1Images::find(
        images,
        None,
        catalogue.v1_platform.as_ref(),
        &|_, stored| Ok(stored.clone()),
    )
    .unwrap_or_else(|error| {
        findings.push(Finding {
            path: "v1/images".into(),
            problem: format!("{error:#}"),
        });
        V1Images::default()
    })
}

struct Verifier<'a> {
    files: &'a SiteFiles,
    plan: &'a Plan<'a>,
    /// Digests by device and inode: links are read once.
    hashed: Mutex<BTreeMap<(u64, u64), Digest>>,
}

impl Verifier<'_> {
    fn part(&self, part: Part<'_>) -> Vec<Finding> {
        if let Part::V1Image(id) = part {
            return self.v1_image(id);
        }
        let mut findings = Vec::new();
        for stage in Stage::ALL {
            match self.plan.tree(part, stage) {
                Ok(tree) => findings.extend(tree.files().filter_map(|(path, file)| {
                    let problem = self
                        .file(path, file)
                        .unwrap_or_else(|error| Some(format!("{error:#}")))?;
                    Some(Finding {
                        path: path.into(),
                        problem,
                    })
                })),
                Err(error) => findings.push(Finding {
                    path: format!("{part:?}"),
                    problem: format!("{error:#}"),
                }),
            }
        }
        findings
    }

    fn file(&self, path: &str, file: &File) -> anyhow::Result<Option<String>> {
        let absolute = self.files.path(path);
        let Some(meta) = fsx::meta(&absolute)? else {
            return Ok(Some("it is missing".into()));
        };
        if !meta.is_file {
            return Ok(Some("it is no regular file".into()));
        }
        match file {
            File::Bytes(bytes) => {
                let same = meta.len == bytes.len() as u64
                    && fsx::read(&absolute, meta.len)?.as_deref() == Some(&**bytes);
                Ok((!same).then(|| "it is not what the catalogue says".into()))
            }
            // A signed schema 1 manifest is not known by the digest of its bytes.
            File::Blob(digest) if self.plan.images.manifests.contains_key(digest) => {
                let expected = &self.plan.images.manifests[digest].bytes;
                let same = meta.len == expected.len() as u64
                    && fsx::read(&absolute, meta.len)?.as_deref() == Some(&**expected);
                Ok((!same).then(|| format!("it is not the manifest {digest}")))
            }
            File::Blob(digest) | File::Own(digest) => {
                let actual = self.hash(absolute, meta)?;
                Ok(
                    (actual != *digest)
                        .then(|| format!("it has the digest {actual}, not {digest}")),
                )
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
            &mut std::io::sink(),
            false,
        )?
        .digest;
        if let Ok(mut hashed) = self.hashed.lock() {
            hashed.insert(meta.inode, digest);
        }
        Ok(digest)
    }

    fn v1_image(&self, id: V1Id) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |name: &str, problem: anyhow::Result<Option<String>>| {
            if let Some(problem) = problem.unwrap_or_else(|error| Some(format!("{error:#}"))) {
                findings.push(Finding {
                    path: format!("v1/images/{id}/{name}"),
                    problem,
                });
            }
        };
        find("json", self.v1_json(id));
        find("layer", self.v1_layer(id));
        find("ancestry", self.v1_ancestry(id));
        findings
    }

    fn v1_json(&self, id: V1Id) -> anyhow::Result<Option<String>> {
        let Some(json) = self.files.v1_json(id)? else {
            return Ok(Some("it is missing".into()));
        };
        let image = &self.plan.v1.images[&id];
        let expected = match &image.form {
            Form::Dependency => v1::dependency_json(id, image.parent),
            Form::Top(config) => {
                v1::top_json(&self.plan.images.config(config)?.0, id, image.parent)?
            }
            Form::Stored(stored) => stored.to_vec(),
            Form::InSite => return Ok(None),
        };
        // A form that came with a source and was there first stays; its checksum vouches for it.
        let same = *json == *expected || self.has_good_checksum(id)?;
        Ok((!same).then(|| "it is not what the image's config gives".into()))
    }

    fn v1_layer(&self, id: V1Id) -> anyhow::Result<Option<String>> {
        let path = self.files.path(&format!("v1/images/{id}/layer"));
        let Some(meta) = fsx::meta(&path)? else {
            return Ok(Some("it is missing".into()));
        };
        if self.plan.v1.images[&id]
            .candidates
            .contains(&self.hash(path, meta)?)
            || self.has_good_checksum(id)?
        {
            return Ok(None);
        }
        Ok(Some(
            "it is neither a layer of the image nor what its checksum says".into(),
        ))
    }

    fn has_good_checksum(&self, id: V1Id) -> anyhow::Result<bool> {
        match (
            self.files.v1_checksum(id)?,
            self.files.v1_json(id)?,
            self.files.v1_layer(id)?,
        ) {
            (Some(expected), Some(json), Some(layer)) => Ok(expected == checksum(&json, &layer)?),
            _ => Ok(false),
        }
    }

    fn v1_ancestry(&self, id: V1Id) -> anyhow::Result<Option<String>> {
        let expected = v1::ancestry_json(&self.plan.v1.ancestry(id)?);
        let actual = fsx::read(
            &self.files.path(&format!("v1/images/{id}/ancestry")),
            MAX_JSON,
        )?;
        Ok(match actual {
            None => Some("it is missing".into()),
            Some(actual) => (actual != expected).then(|| "it does not match the parents".into()),
        })
    }
}
