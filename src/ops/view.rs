//! Loads a whole site for reading.

use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use crate::images::Images;
use crate::images::v1_claims;
use crate::images::v1_images::V1Images;
use crate::pages::Pages;
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

    /// # Errors
    /// When a file of pages cannot be read.
    pub(super) fn plan(&self) -> anyhow::Result<Plan<'_>> {
        let pages = if let Some(known) = self.pages.get() {
            known
        } else {
            let found = Pages::of_site(&self.catalogue, &self.images, &self.files)?;
            self.pages.get_or_init(|| found)
        };
        Ok(Plan {
            pages,
            ..self.plan_without_pages()
        })
    }

    pub(super) fn plan_without_pages(&self) -> Plan<'_> {
        static NONE: LazyLock<Pages> = LazyLock::new(Pages::default);
        Plan {
            catalogue: &self.catalogue,
            images: &self.images,
            v1: &self.v1,
            pages: &NONE,
        }
    }
}
