//! From images to files: what a site must hold, part by part, so that the plan of a big site never
//! lies in memory as a whole.
//!
//! One file for each area of the site; together they are the site's layout:
//! ```text
//! index.html, index.json, oci-layout, blobs/   layout.rs, pages.rs
//! v1/                                          v1.rs
//! v2/                                          v2.rs
//! .htaccess, _answers/                         htaccess.rs, where Apache is to serve the site
//! ```

use std::collections::BTreeSet;

use crate::images::Images;
use crate::images::v1_images::V1Images;
use crate::plan::tree::Tree;
use crate::site_files::catalogue::{Catalogue, ServedBy};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

pub mod htaccess;
mod layout;
pub mod objects;
mod pages;
pub mod tree;
pub mod turn;
mod v1;
mod v2;

/// What a site must hold, or as much of it as is to be looked at.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Everything that the site serves.
    pub catalogue: &'a Catalogue,
    /// The repositories that are looked at, with all their content.
    pub images: &'a Images,
    /// Their v1 images.
    pub v1: &'a V1Images,
}

/// A part of the plan.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A blob or manifest by digest.
    Blob(Digest),
    /// A v1 image.
    V1Image(V1Id),
    /// The files of one repository.
    Repository(&'a Repository),
    /// What lists all repositories; comes last.
    Lists,
}

impl<'a> Plan<'a> {
    /// The parts, in order.
    pub fn parts(&self) -> Vec<Part<'a>> {
        // A manifest may be listed as a blob of another one (an artifact that packs an image).
        let digests: BTreeSet<Digest> = self
            .images
            .registry_blobs()
            .into_iter()
            .chain(self.images.manifests.keys().copied())
            .collect();
        let mut parts: Vec<Part<'a>> = digests.into_iter().map(Part::Blob).collect();
        if self.catalogue.apis.v1 {
            parts.extend(self.v1.images.keys().copied().map(Part::V1Image));
        }
        parts.extend(self.images.repositories.keys().map(Part::Repository));
        parts.push(Part::Lists);
        parts
    }

    /// The files of one part.
    ///
    /// # Errors
    /// When two of them have one path, which is a mistake in the planning.
    pub fn tree(&self, part: Part<'_>) -> anyhow::Result<Tree> {
        let mut tree = Tree::default();
        match part {
            Part::Blob(digest) => layout::blob(&mut tree, self.images, &digest)?,
            Part::V1Image(id) => v1::image(&mut tree, self, id)?,
            Part::Repository(repository) => {
                if self.catalogue.apis.v2 {
                    v2::repository(&mut tree, self.images, repository)?;
                    if self.has_htaccess() {
                        htaccess::repository(&mut tree, self.images, repository)?;
                    }
                }
                if self.catalogue.apis.v1 {
                    v1::repository(&mut tree, self, repository)?;
                }
            }
            Part::Lists => {
                if self.catalogue.apis.v1 {
                    v1::lists(&mut tree, self.catalogue)?;
                }
                if self.catalogue.apis.v2 {
                    v2::lists(&mut tree, self.catalogue)?;
                }
                if self.has_htaccess() {
                    htaccess::answers(&mut tree)?;
                    htaccess::rules(&mut tree)?;
                }
                pages::index(&mut tree, self.catalogue)?;
                layout::lists(&mut tree, self.catalogue)?;
            }
        }
        Ok(tree)
    }

    fn has_htaccess(&self) -> bool {
        self.catalogue.servers.contains(&ServedBy::Apache)
    }

    /// The folders and files of a repository that are pointers: what is in them and not planned has
    /// to go. Names that are digests are content and stay until `prune`.
    pub fn pointers(&self, repository: &Repository) -> (Vec<String>, Vec<String>) {
        let folders = [
            "v1/repositories/NAME/tags",
            "v2/NAME/manifests",
            "v2/NAME/_types",
            "v2/NAME/referrers",
        ];
        let files = ["v1/repositories/NAME/images", "v2/NAME/tags/list"];
        (named(repository, &folders), named(repository, &files))
    }

    /// The folders that a repository has to itself, from the inside out.
    pub fn folders(&self, repository: &Repository) -> Vec<String> {
        let folders = [
            "v1/repositories/NAME/tags",
            "v1/repositories/NAME",
            "v2/NAME/tags",
            "v2/NAME/referrers",
            "v2/NAME/manifests",
            "v2/NAME/_types",
            "v2/NAME",
        ];
        named(repository, &folders)
    }
}

/// Paths under each of a repository's names.
fn named(repository: &Repository, paths: &[&str]) -> Vec<String> {
    let names = repository.published();
    let each = |name: &String| {
        paths
            .iter()
            .map(|path| path.replace("NAME", name))
            .collect::<Vec<_>>()
    };
    names.iter().flat_map(each).collect()
}
