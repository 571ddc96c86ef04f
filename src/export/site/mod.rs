//! A site for another place: all that it lists, or what the site there lacks of it. The format is in
//! [`crate::spec::site_export`].
//! ```text
//! mod.rs    what is carried, and what must be there
//! base.rs   what the site there has
//! layers.rs the blobs that are layers of v1 images
//! split.rs  how files are divided into volumes
//! write.rs  the members of an archive
//! ```

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::content::Content;
use crate::error::{WithHint as _, invalid_input};
use crate::export::site::base::Known;
use crate::export::site::layers::LayerBlobs;
use crate::images::Images;
use crate::site_files::catalogue::{Catalogue, Entry, Repo};
use crate::site_files::{SiteFiles, blob_path};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::manifest::Blob;
use crate::spec::name::Repository;
use crate::spec::site_export::Description;
use crate::spec::v1::V1Id;

pub mod base;
mod layers;
mod split;
mod write;

pub use write::Volume;

/// The part of a site that is carried.
pub struct SiteExport {
    /// `index.json` of the site.
    catalogue: Vec<u8>,
    description: Description,
    /// The manifests that are carried, by name.
    entries: Vec<Descriptor>,
    /// In the order of the archive.
    files: Vec<Carried>,
}

/// A file of the site.
struct Carried {
    path: String,
    content: Content,
    digest: Digest,
    /// A reference that needs it.
    of: Arc<str>,
}

/// The site that an export adds to.
pub struct Base<'a> {
    pub catalogue: &'a Catalogue,
    /// Of its `index.json`.
    pub digest: Digest,
    pub known: Known,
}

impl SiteExport {
    /// Plans what to carry of what `catalogue` lists, to a place with `base`.
    ///
    /// # Errors
    /// If the site has lost something that is to be carried.
    pub fn plan(
        files: &SiteFiles,
        catalogue: &Catalogue,
        images: &Images,
        base: Option<Base<'_>>,
    ) -> anyhow::Result<Self> {
        let json = catalogue.to_json()?;
        let digest = base.as_ref().map(|base| base.digest);
        let (there, known) = base.map(|base| (base.catalogue, base.known)).unzip();
        let mut planning = Planning {
            files,
            images,
            has_v1: catalogue.apis.v1 && there.is_none_or(|there| there.apis.v1),
            known: known.unwrap_or_default(),
            blobs: OnceCell::new(),
            seen: BTreeSet::new(),
            description: Description::new(Digest::of(&json), digest),
            entries: Vec::new(),
            manifests: Vec::new(),
            small: Vec::new(),
            layers: Vec::new(),
        };
        for (repository, repo) in &catalogue.repositories {
            let there = there.and_then(|there: &Catalogue| there.repositories.get(repository));
            planning.repository(repository, repo, there)?;
        }
        let mut carried = planning.manifests;
        carried.extend(planning.small);
        carried.extend(planning.layers);
        Ok(Self {
            catalogue: json,
            description: planning.description,
            entries: planning.entries,
            files: carried,
        })
    }
}

struct Planning<'a> {
    files: &'a SiteFiles,
    images: &'a Images,
    /// Whether both sites have v1.
    has_v1: bool,
    known: Known,
    blobs: OnceCell<LayerBlobs>,
    /// The paths of what is carried so far.
    seen: BTreeSet<String>,
    description: Description,
    entries: Vec<Descriptor>,
    manifests: Vec<Carried>,
    /// Configs, signatures, and the JSON of v1 images.
    small: Vec<Carried>,
    layers: Vec<Carried>,
}

impl Planning<'_> {
    /// Adds what is new in a repository; `there` is what it lists there.
    fn repository(
        &mut self,
        repository: &Repository,
        repo: &Repo,
        there: Option<&Repo>,
    ) -> anyhow::Result<()> {
        let names = repo.names(repository);
        for (name, digest) in &names {
            let entry = &repo.manifests[digest];
            let listed = there.and_then(|there| there.manifests.get(digest));
            if listed.is_some_and(|listed| listed.is_same(entry, self.has_v1)) {
                if self
                    .known
                    .has(digest, &self.images.manifests[digest], entry, self.has_v1)
                {
                    continue;
                }
                // Carried again, it says that what it needs is to be restored.
                self.known.blobs.remove(digest);
            }
            self.entry(repository, &name.as_str().into(), digest, entry)?;
            if !self.known.blobs.contains(digest) {
                self.entries.push(repo.descriptor(name.clone(), *digest));
            }
        }
        Ok(())
    }

    /// Adds a manifest that a repository does not list there yet.
    fn entry(
        &mut self,
        repository: &Repository,
        name: &Arc<str>,
        digest: &Digest,
        entry: &Entry,
    ) -> anyhow::Result<()> {
        let lost = self.images.damage_of(repository, digest);
        if let Some(lost) = lost.first() {
            return Err(lost.error(name)).hint(
                "`stillage verify` shows all damage; `--only` and `--exclude` leave images out",
            );
        }
        let manifest = self.images.manifests[digest].clone();
        let origin = format!("the manifest {digest}");
        let content = Content::memory(manifest.bytes.clone(), origin);
        if self.carry(digest, content.len()) {
            self.manifests.push(Carried {
                path: blob_path(digest),
                content,
                digest: *digest,
                of: name.clone(),
            });
        }
        let blobs = manifest.blobs();
        let is_config = |blob: &&Blob| blob.kind.is_none();
        let (configs, layers): (Vec<&Blob>, Vec<&Blob>) = blobs.iter().partition(is_config);
        let configs = configs.into_iter().map(|blob| blob.digest);
        for digest in configs.chain(entry.signatures.iter().copied()) {
            let blob = self.blob(digest, name)?;
            self.small.extend(blob);
        }
        let layers = layers.into_iter().map(|blob| blob.digest);
        for digest in layers.chain(entry.foreign.iter().copied()) {
            let blob = self.blob(digest, name)?;
            self.layers.extend(blob);
        }
        if let Some(top) = entry.v1.filter(|_| self.has_v1) {
            self.v1(top, name)?;
        }
        Ok(())
    }

    /// Whether content is to be carried. What is there already is noted as required.
    fn carry(&mut self, digest: &Digest, len: u64) -> bool {
        if self.known.blobs.contains(digest) {
            self.description.requires.insert(*digest, len);
            return false;
        }
        self.seen.insert(blob_path(digest))
    }

    fn blob(&mut self, digest: Digest, name: &Arc<str>) -> anyhow::Result<Option<Carried>> {
        let lost = || {
            let site = self.files.origin();
            invalid_input(format!("{digest} of `{name}` is missing in {site}"))
        };
        let content = self.images.held(&digest).ok_or_else(lost)?.content.clone();
        let is_carried = self.carry(&digest, content.len());
        Ok(is_carried.then(|| Carried {
            path: blob_path(&digest),
            content,
            digest,
            of: name.clone(),
        }))
    }

    /// Adds a chain of v1 images that came with a source. Those whose layers are blobs need no layer of their own.
    fn v1(&mut self, top: V1Id, name: &Arc<str>) -> anyhow::Result<()> {
        for (id, image) in self.files.v1_chain(top)? {
            let path = |file: &str| format!("v1/images/{id}/{file}");
            // What is there may be another form, with another layer.
            if self.known.v1.contains(&id) || !self.seen.insert(path("json")) {
                continue;
            }
            let images = self.images;
            let blobs = self.blobs.get_or_init(|| LayerBlobs::of(images));
            if let Some(blob) = blobs.same(images, &image.layer)? {
                self.description.v1_layers.insert(id.to_string(), blob);
                let blob = self.blob(blob, name)?;
                self.layers.extend(blob);
            } else {
                self.layers.push(Carried {
                    path: path("layer"),
                    digest: image.layer.hash(Hasher::default())?,
                    content: image.layer,
                    of: name.clone(),
                });
            }
            for file in ["json", "checksum"] {
                if let Some(content) = self.files.content(&path(file))? {
                    self.small.push(Carried {
                        path: path(file),
                        digest: content.hash(Hasher::default())?,
                        content,
                        of: name.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}
