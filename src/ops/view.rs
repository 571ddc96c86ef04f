//! Loads a whole site for reading.

use std::path::Path;
use std::sync::OnceLock;

use crate::images::Images;
use crate::images::v1_claims;
use crate::images::v1_images::V1Images;
use crate::pages::{Before, Pages};
use crate::plan::Plan;
use crate::site::{self, load};
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::Catalogue;

pub(super) struct View {
    pub(super) catalogue: Catalogue,
    pub(super) images: Images,
    pub(super) v1: V1Images,
    files: SiteFiles,
    pages: OnceLock<Pages>,
}

impl View {
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let (files, catalogue) = site::read(root)?;
        Self::of(&files, catalogue)
    }

    /// Loads everything that `catalogue` lists.
    pub(super) fn of(files: &SiteFiles, catalogue: Catalogue) -> anyhow::Result<Self> {
        let all = catalogue.repositories.keys();
        let mut images = load::load(files, &catalogue, all, None);
        let v1 = if catalogue.apis.v1 {
            let platform = catalogue.v1_platform.as_ref();
            V1Images::find(&mut images, Some(files), false, platform, &v1_claims::leave)?
        } else {
            V1Images::default()
        };
        Ok(Self {
            catalogue,
            images,
            v1,
            files: files.clone(),
            pages: OnceLock::new(),
        })
    }

    pub(super) fn plan(&self) -> Plan<'_> {
        Plan {
            catalogue: &self.catalogue,
            images: &self.images,
            v1: &self.v1,
            pages: self.pages.get_or_init(|| {
                let before = Before::of_site(&self.files);
                Pages::new(&self.catalogue, &self.images, before)
            }),
        }
    }
}
