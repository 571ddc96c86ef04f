//! The formats in which images leave a site: the mirror image of [`crate::source`].
//! ```text
//! mod.rs        what is exported, and the table of formats
//! out.rs        where it goes: a tar or a folder
//! blobs.rs      the content of images, each once
//! json.rs       the JSON files of archives
//! hybrid.rs, docker.rs, docker_1.rs, oci.rs, dir.rs    the formats
//! site/         all of a site, or what another one lacks, for `stillage export`
//! ```
//! A new format is one file here and one line in [`FORMATS`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::content::Content;
use crate::error::invalid_input;
use crate::export::out::Out;
use crate::images::Images;
use crate::images::v1_images::V1Images;
use crate::site_files::SiteFiles;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Manifest, ManifestKind};
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::{Config, V1Id};

mod blobs;
mod dir;
mod docker;
mod docker_1;
mod hybrid;
mod json;
pub mod name;
mod oci;
pub mod out;
pub mod site;

pub use name::TargetName;

/// A format that images are exported in.
pub struct ExportFormat {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for the help: what it is, and who reads it.
    pub about: &'static str,
    /// Whether it is a tar, rather than a folder.
    pub is_archive: bool,
    /// Writes it. Fails if the site lacks something or has other bytes than it says, or if the format cannot hold an
    /// image.
    pub write: fn(&Export, &mut dyn Out) -> anyhow::Result<()>,
}

pub const FORMATS: &[ExportFormat] = &[
    hybrid::FORMAT,
    docker::FORMAT,
    docker_1::FORMAT,
    oci::ARCHIVE,
    oci::FOLDER,
    dir::FORMAT,
];

/// Images to export.
pub struct Export {
    pub files: SiteFiles,
    pub images: Images,
    pub v1: V1Images,
    /// In the order of the request.
    pub picked: Vec<Picked>,
}

/// A reference to export.
#[derive(Clone, Debug)]
pub struct Picked {
    /// What messages call it.
    pub called: String,
    pub repository: Repository,
    /// The name in the archive.
    pub name: TargetName,
    /// The manifest that the site serves: an image, an index or an artifact.
    pub root: Digest,
    /// The image of the wanted platform; `None` for an artifact.
    pub image: Option<Digest>,
    /// Whether the other images of an index stay behind.
    pub is_one_platform: bool,
    /// The v1 image, if there is one.
    pub v1: Option<V1Id>,
}

impl Picked {
    /// Its name as `docker save` writes it, if that is a tag.
    fn repo_tags(&self) -> Vec<String> {
        let tag = self.name.tag.is_some().then(|| self.name.familiar());
        tag.into_iter().collect()
    }
}

/// The image of a reference, for formats without manifests.
struct Image {
    /// Whether a layer is elsewhere, at its URL.
    lacks_foreign: bool,
    config: (Digest, Arc<[u8]>),
    layers: Vec<Descriptor>,
    diff_ids: Vec<Digest>,
}

impl Export {
    fn manifest(&self, digest: &Digest) -> anyhow::Result<&Arc<Manifest>> {
        let found = self.images.manifests.get(digest);
        let found = found.filter(|_| !self.images.damage.has(digest));
        found.ok_or_else(|| self.lost(digest))
    }

    fn lost(&self, digest: &Digest) -> anyhow::Error {
        invalid_input(format!("{digest} is missing in {}", self.files.origin()))
    }

    /// A blob. Its bytes are not checked yet.
    fn blob(&self, digest: &Digest) -> anyhow::Result<Content> {
        let held = self.images.held(digest).ok_or_else(|| self.lost(digest))?;
        Ok(held.content.clone())
    }

    /// The layers that clients may get from a URL, where the site has them.
    fn foreign<'a>(&'a self, manifest: &'a Manifest) -> impl Iterator<Item = Digest> + 'a {
        let digests = manifest.optional().map(|layer| layer.digest);
        digests.filter(|digest| self.images.held(digest).is_some())
    }

    /// The image of a reference, with the diff IDs of its layers.
    fn image(&self, picked: &Picked) -> anyhow::Result<Image> {
        let not_one = || invalid_input(format!("{} is not an image", picked.called));
        let digest = picked.image.ok_or_else(not_one)?;
        let ManifestKind::Image {
            config: Some(config),
            layers,
        } = &self.manifest(&digest)?.kind
        else {
            return Err(not_one());
        };
        let blob = self.blob(&config.digest)?;
        let json = blob.read(crate::spec::manifest::MAX_JSON)?;
        out::expect(&blob, Digest::of(&json), &config.digest)?;
        let without = || invalid_input(format!("the config of {} has no diff IDs", picked.called));
        let diff_ids = Config::parse(&json)?.diff_ids.ok_or_else(without)?;
        if diff_ids.len() != layers.len() {
            return Err(invalid_input(format!(
                "{} has {} layers and {} diff IDs",
                picked.called,
                layers.len(),
                diff_ids.len()
            )));
        }
        Ok(Image {
            lacks_foreign: layers
                .iter()
                .any(|layer| self.images.held(&layer.digest).is_none()),
            config: (config.digest, json),
            layers: layers.clone(),
            diff_ids,
        })
    }

    /// The manifests of a reference, parents first: with `--platform`, an index without its other images.
    fn manifests(&self, picked: &Picked) -> anyhow::Result<Vec<Arc<Manifest>>> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        self.collect(picked, &picked.root, &mut seen, &mut found)?;
        Ok(found)
    }

    fn collect(
        &self,
        picked: &Picked,
        digest: &Digest,
        seen: &mut BTreeSet<Digest>,
        found: &mut Vec<Arc<Manifest>>,
    ) -> anyhow::Result<()> {
        if !seen.insert(*digest) {
            return Ok(());
        }
        let manifest = self.manifest(digest)?.clone();
        found.push(manifest.clone());
        for child in manifest.children() {
            // A sparse index lists children that the site does not have.
            let Some(held) = self.images.manifests.get(&child.digest) else {
                continue;
            };
            let is_other = picked.is_one_platform
                && held.children().is_empty()
                && Some(child.digest) != picked.image;
            if !is_other {
                self.collect(picked, &child.digest, seen, found)?;
            }
        }
        Ok(())
    }

    /// What is attached to manifests in their repository, and to that, with the tags that attach it: by `subject`, or by
    /// the tags of cosign.
    fn attached(
        &self,
        picked: &Picked,
        to: &[Arc<Manifest>],
    ) -> anyhow::Result<BTreeMap<Digest, Option<Tag>>> {
        let Some(repo) = self.images.repositories.get(&picked.repository) else {
            return Ok(BTreeMap::new());
        };
        let mut subjects: BTreeSet<Digest> = to.iter().map(|manifest| manifest.digest).collect();
        let mut found = BTreeMap::new();
        loop {
            let mut new = BTreeMap::new();
            for (tag, digest) in &repo.tags {
                if tag.attached_to().is_some_and(|to| subjects.contains(&to)) {
                    new.insert(*digest, Some(tag.clone()));
                }
            }
            for digest in repo.manifests.keys() {
                // What is lost is attached to nothing that is known.
                let subject = self.images.manifests.get(digest);
                let subject = subject.and_then(|manifest| manifest.subject);
                if subject.is_some_and(|subject| subjects.contains(&subject)) {
                    new.entry(*digest).or_insert(None);
                }
            }
            new.retain(|digest, _| !found.contains_key(digest));
            if new.is_empty() {
                return Ok(found);
            }
            subjects.extend(new.keys());
            found.extend(new);
        }
    }
}
