//! The last step of `build`, `tag`, `remove` and `prune`: writes the files of the site.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;

use crate::error::WithHint as _;
use crate::fsx;
use crate::images::Images;
use crate::images::v1_images::V1Images;
use crate::note::{Note, NoteKind};
use crate::ops::{unused, v1_layers};
use crate::pages::Pages;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::site_files::catalogue::Catalogue;
use crate::spec::name::Repository;
use crate::writer::Site;
use crate::writer::counts::FileChanges;

/// The new state of a site.
pub(super) struct Commit<'a> {
    pub(super) site: &'a Site,
    /// Everything that the site is to list.
    pub(super) catalogue: &'a Catalogue,
    /// The repositories to compare with the disk, including those that the catalogue no longer has.
    pub(super) touched: &'a BTreeSet<Repository>,
    /// Whether `touched` has all repositories, so that names missing from the catalogue can be found.
    pub(super) is_whole: bool,
    /// Whether the site had format 1 until now.
    pub(super) is_upgrade: bool,
}

impl Commit<'_> {
    /// Finds the v1 images of the `touched` repositories and writes the files of these repositories.
    /// `progress` counts the bytes that are read.
    ///
    /// # Errors
    /// When a layer cannot be read or a file cannot be written. Everything listed before remains complete.
    pub(super) fn apply(
        &self,
        images: &mut Images,
        progress: &Arc<Progress>,
    ) -> anyhow::Result<(V1Images, FileChanges)> {
        let (site, catalogue) = (self.site, self.catalogue);
        let v1 = if catalogue.apis.v1 {
            let platform = catalogue.v1_platform.as_ref();
            let files = Some(&site.files);
            V1Images::find(
                images,
                files,
                self.is_upgrade,
                platform,
                &|images, unfit| v1_layers::make(images, unfit, &site.disk.staging, progress),
            )?
        } else {
            V1Images::default()
        };
        let plan = Plan {
            catalogue,
            images,
            v1: &v1,
            pages: &Pages::of_site(catalogue, images, &site.files)?,
        };
        let is_dropped = |name: &&Repository| !catalogue.repositories.contains_key(*name);
        let dropped = self.touched.iter().filter(is_dropped).collect();
        unused::take_off(site, &plan)?;
        let files = site.apply(&plan, &dropped, self.is_whole, progress)?;
        Ok((v1, files))
    }
}

/// Finds tags that differ only by case. They are an error if the file system of the site folds case,
/// otherwise a note: the site may be copied to a file system that does.
pub(super) fn check_case(images: &Images, site: &Site) -> anyhow::Result<Vec<Note>> {
    let mut notes = Vec::new();
    for (repository, repo) in &images.repositories {
        let mut seen = std::collections::BTreeMap::new();
        for tag in repo.tags.keys() {
            if let Some(other) = seen.insert(tag.as_str().to_lowercase(), tag) {
                let note = NoteKind::Client.note(format!(
                    "{repository}: the tags {other} and {tag} differ only by case"
                ));
                notes.push(note.about(format!("{repository}:{tag}")));
            }
        }
    }
    if let (Some(note), Some(folder)) = (notes.first(), site.disk.staging.path())
        && fsx::folds_case(folder).context("cannot tell whether the file system folds case")?
    {
        return Err(crate::error::invalid_input(format!(
            "{}, and the file system of the site does not tell them apart",
            note.message
        )))
        .hint("give one of them another tag");
    }
    Ok(notes)
}
