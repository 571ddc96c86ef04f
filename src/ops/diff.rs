//! `diff`: what a site has and another has not, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::export::site::base::Known;
use crate::images::Images;
use crate::ops::base::Base;
use crate::ops::changes::{Changes, MovedTag, Named};
use crate::site::{self, load};
use crate::spec::digest::Digest;

/// How one site differs from another.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// References with a tag that only the site has.
    pub added: Vec<Named>,
    /// Tags that the site gives to another manifest.
    pub moved: Vec<MovedTag>,
    /// References with a tag that only the other has.
    pub removed: Vec<Named>,
    /// Content that the other lacks.
    pub other_lacks: Lacking,
    /// Content that the site lacks; absent if the other is not a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_lacks: Option<Lacking>,
}

/// Content of one site that another lacks.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lacking {
    pub blobs: u64,
    pub bytes: u64,
}

impl Difference {
    /// Whether there is none: neither in references nor in content.
    pub fn is_none(&self) -> bool {
        let none = Lacking::default();
        self.added.is_empty()
            && self.moved.is_empty()
            && self.removed.is_empty()
            && self.other_lacks == none
            && self.site_lacks.as_ref().is_none_or(|lacks| *lacks == none)
    }
}

/// Compares a site with another.
pub fn diff(root: &Path, other: &Base) -> anyhow::Result<Difference> {
    let state = other.read();
    let (files, catalogue) = site::read(root)?;
    let state = state?;
    let other = &state.catalogue;
    let Changes {
        added,
        moved,
        removed,
        ..
    } = Changes::of_tags(&other.repositories, &catalogue.repositories);
    let images = load::all(&files, &catalogue);
    let others = state.images();
    let known = state.known(others.as_ref(), &files, &images);
    Ok(Difference {
        added,
        moved,
        removed,
        other_lacks: lacking(&images, &known),
        site_lacks: others
            .map(|others| lacking(&others, &Known::at(&images, &catalogue, &files, &images))),
    })
}

/// The content of images that is not known.
fn lacking(images: &Images, known: &Known) -> Lacking {
    let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
    for repo in images.repositories.values() {
        let manifests = repo.manifests.iter();
        sizes.extend(manifests.map(|(digest, entry)| (*digest, entry.size)));
    }
    let blobs = images.blobs.iter();
    sizes.extend(blobs.map(|(digest, stored)| (*digest, stored.size)));
    let unknown: BTreeSet<_> = sizes
        .iter()
        .filter(|(digest, _)| !known.blobs.contains(*digest))
        .collect();
    Lacking {
        blobs: unknown.len() as u64,
        bytes: unknown.iter().map(|(_, size)| **size).sum(),
    }
}
