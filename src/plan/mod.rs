//! From images to the files of a site. They are planned part by part, so that the plan of a big site is never
//! in memory as a whole.
//!
//! Each area of the site is planned by one file. A new area is one file here and one line in `AREAS`.
//! ```text
//! index.json, oci-layout, blobs/   layout.rs
//! v1/                              v1.rs
//! v2/                              v2.rs
//! lookaside/                       lookaside.rs
//! index.html, _pages/              pages.rs
//! .htaccess, _answers/             htaccess.rs, if the site is for Apache
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::images::Images;
use crate::images::v1_images::V1Images;
use crate::pages::{Page, Pages, Shown};
use crate::plan::tree::{File, Tree};
use crate::site_files::catalogue::Catalogue;
use crate::spec::digest::Digest;
use crate::spec::name::Repository;
use crate::spec::v1::V1Id;

pub mod htaccess;
pub(crate) mod layout;
pub(crate) mod lookaside;
pub mod objects;
mod pages;
pub mod pointers;
pub mod tree;
pub(crate) mod v1;
pub(crate) mod v2;

impl File {
    /// The content of a digest, unless the site has lost it.
    fn content(images: &Images, digest: &Digest) -> Self {
        if images.damage.has(digest) {
            Self::Kept(*digest)
        } else {
            Self::Blob(*digest)
        }
    }
}

/// The input of planning: all repositories of a site, or some of them.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Everything that the site serves, not only the planned repositories.
    pub catalogue: &'a Catalogue,
    /// The planned repositories, with all their content.
    pub images: &'a Images,
    /// The v1 images of these repositories.
    pub v1: &'a V1Images,
    /// What pages say of these and of the other repositories.
    pub pages: &'a Pages,
}

#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A blob or manifest.
    Blob(Digest),
    V1Image(V1Id),
    Repository(&'a Repository),
    /// What lists all repositories. Always the last part.
    Lists,
}

struct Area {
    /// Whether a site has this area.
    is_in: fn(&Catalogue) -> bool,
    /// Plans the files of one repository.
    repository: fn(&mut Tree, &Plan<'_>, &Repository) -> anyhow::Result<()>,
    /// Plans the files that list all repositories, or are the same in every site.
    lists: fn(&mut Tree, &Plan<'_>) -> anyhow::Result<()>,
}

const AREAS: &[Area] = &[
    layout::AREA,
    v1::AREA,
    v2::AREA,
    lookaside::AREA,
    pages::AREA,
    htaccess::AREA,
];

impl<'a> Plan<'a> {
    pub fn parts(&self) -> Vec<Part<'a>> {
        // A set, since a manifest may also be a blob of another one (an artifact that packs an image).
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

    /// The bytes of a file that the plan makes; `None` if they are those of some content, or derived from it.
    ///
    /// # Errors
    /// Only for a bug: a page of what is not loaded.
    pub fn bytes(&self, file: &File) -> anyhow::Result<Option<Arc<[u8]>>> {
        Ok(match file {
            File::Bytes(bytes) => Some(bytes.clone()),
            File::Page(page) => Some(self.page(page)?),
            _ => None,
        })
    }

    /// The bytes of a page.
    ///
    /// # Errors
    /// Only for a bug: a page of what is not loaded.
    pub fn page(&self, page: &Page) -> anyhow::Result<Arc<[u8]>> {
        let shown = Shown {
            catalogue: self.catalogue,
            images: self.images,
            v1: self.v1,
            pages: self.pages,
        };
        Ok(shown.render(page)?.into())
    }

    /// The files of one part.
    ///
    /// # Errors
    /// Only for a bug: two files with the same path.
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
                    (area.lists)(&mut tree, self)?;
                }
            }
        }
        Ok(tree)
    }
}
