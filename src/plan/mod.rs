//! From images to files: what a site must hold, part by part, so that the plan of a big site never
//! lies in memory as a whole.
//!
//! One file for each area of the site; together they are the site's layout. A new area, for people or for a
//! server that reads files of its own, is one file here and one line in [`AREAS`].
//! ```text
//! index.json, oci-layout, blobs/   layout.rs
//! v1/                              v1.rs
//! v2/                              v2.rs
//! index.html                       pages.rs
//! .htaccess, _answers/             htaccess.rs, where Apache is to serve the site
//! ```

use std::collections::BTreeSet;

use crate::images::Images;
use crate::images::v1_images::V1Images;
use crate::plan::tree::Tree;
use crate::site_files::catalogue::Catalogue;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

pub mod htaccess;
mod layout;
pub mod objects;
mod pages;
pub mod pointers;
pub mod tree;
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

/// Part of a site's layout.
struct Area {
    /// Whether a site has it.
    is_in: fn(&Catalogue) -> bool,
    /// Plans what one repository has of it.
    repository: fn(&mut Tree, &Plan<'_>, &Repository) -> anyhow::Result<()>,
    /// Plans what lists all repositories, or is the same in every site.
    lists: fn(&mut Tree, &Catalogue) -> anyhow::Result<()>,
}

/// Every area.
const AREAS: &[Area] = &[
    layout::AREA,
    v1::AREA,
    v2::AREA,
    pages::AREA,
    htaccess::AREA,
];

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
        let areas = AREAS.iter().filter(|area| (area.is_in)(self.catalogue));
        match part {
            Part::Blob(digest) => layout::blob(&mut tree, self.images, &digest)?,
            Part::V1Image(id) => v1::image(&mut tree, self, id)?,
            Part::Repository(repository) => {
                for area in areas {
                    (area.repository)(&mut tree, self, repository)?;
                }
            }
            Part::Lists => {
                for area in areas {
                    (area.lists)(&mut tree, self.catalogue)?;
                }
            }
        }
        Ok(tree)
    }
}
