//! The site that an export adds to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Hint, invalid_input, is_bad};
use crate::import::draft::{Blobs as _, peek};
use crate::site_files::catalogue::{Catalogue, Entry};
use crate::site_files::places::Places;
use crate::site_files::{SiteFiles, blob_path};
use crate::source::archive::Archive;
use crate::spec::digest::Digest;
use crate::spec::name::Reference;
use crate::spec::site_export::Description;

/// The most missing blobs that a message names.
const NAMED: usize = 10;

/// The site that an export adds to.
pub(in crate::source) struct There {
    files: SiteFiles,
    catalogue: Option<Catalogue>,
    /// The digest of its catalogue.
    state: Option<Digest>,
    /// What the export needs and neither has, each with a reference that needs it.
    lacking: RefCell<BTreeMap<Digest, String>>,
    /// The manifests that were looked at.
    seen: RefCell<BTreeSet<Digest>>,
}

impl There {
    /// Whether the export needs anything that neither has.
    pub(super) fn is_lacking(&self) -> bool {
        !self.lacking.borrow().is_empty()
    }

    pub(super) fn at(root: &Path) -> anyhow::Result<Self> {
        let files = SiteFiles::new(root);
        let index = files.index()?;
        let index = index.as_ref();
        Ok(Self {
            catalogue: index.map(|bytes| Catalogue::parse(bytes)).transpose()?,
            state: index.map(|bytes| Digest::of(bytes)),
            files,
            lacking: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// Whether v1 forms are of use. A site with images and without v1 does not get it by an export.
    pub(super) fn takes_v1(&self) -> bool {
        let catalogue = self.catalogue.as_ref();
        catalogue.is_none_or(|catalogue| catalogue.apis.v1 || catalogue.repositories.is_empty())
    }

    /// Whether the site lists a reference just so, and the export does not carry it: then it stays as it is.
    pub(in crate::source) fn lists(
        &self,
        reference: &Reference,
        entry: &Entry,
        export: &SiteFiles,
    ) -> bool {
        let Reference {
            repository,
            tag,
            digest: Some(digest),
        } = reference
        else {
            return false;
        };
        let catalogue = self.catalogue.as_ref();
        let repo = catalogue.and_then(|catalogue| catalogue.repositories.get(repository));
        let has_v1 = catalogue.is_some_and(|catalogue| catalogue.apis.v1);
        repo.is_some_and(|repo| {
            let has_tag = |tag| repo.tags.get(tag) == Some(digest);
            let known = repo.manifests.get(digest);
            known.is_some_and(|known| known.is_same(entry, has_v1))
                && tag.as_ref().is_none_or(has_tag)
        }) && !export.carries(&blob_path(digest))
    }

    /// Whether neither the export nor the site has a manifest, or something that it needs: notes what.
    pub(in crate::source) fn lacks(
        &self,
        name: &str,
        digest: &Digest,
        blobs: &Places<'_>,
        export: &SiteFiles,
    ) -> anyhow::Result<bool> {
        let mut missing = Vec::new();
        let mut next = vec![*digest];
        while let Some(digest) = next.pop() {
            if !self.seen.borrow_mut().insert(digest) {
                continue;
            }
            let entry = blobs.repo.manifests.get(&digest);
            for blob in entry.into_iter().flat_map(Entry::others) {
                if !has(blobs, export, blob, None)? {
                    missing.push(*blob);
                }
            }
            if !has(blobs, export, &digest, None)? {
                missing.push(digest);
                continue;
            }
            let Some(manifest) = peek(blobs, &digest)? else {
                continue; // damaged: reading it says why
            };
            for blob in manifest.blobs() {
                if !has(blobs, export, &blob.digest, blob.size)? {
                    missing.push(blob.digest);
                }
            }
            let children = manifest.children().iter().map(|child| child.digest);
            next.extend(children.filter(|child| blobs.repo.manifests.contains_key(child)));
        }
        let is_lacking = !missing.is_empty();
        let mut lacking = self.lacking.borrow_mut();
        for digest in missing {
            lacking.entry(digest).or_insert_with(|| name.to_owned());
        }
        Ok(is_lacking)
    }

    pub(super) fn refused(&self, archive: &Archive, description: &Description) -> anyhow::Error {
        let lacking = self.lacking.borrow();
        let mut names: Vec<String> = lacking
            .iter()
            .take(NAMED)
            .map(|(digest, name)| format!("{digest} of `{name}`"))
            .collect();
        let more = lacking.len().saturating_sub(NAMED);
        names.extend((more > 0).then(|| format!("{more} more")));
        let (origin, site) = (archive.origin(), self.files.origin());
        let error = invalid_input(format!(
            "{origin} does not carry, and {site} does not have: {}",
            names.join(", ")
        ));
        let Some(base) = description.base else {
            return error;
        };
        let state = self.state.map_or("there is none".into(), |state| {
            format!("its `index.json` has the digest {state}")
        });
        let hint = format!(
            "it adds to the site whose `index.json` has the digest {base}; here {state}: apply the exports between first, each \
             with a `build` of its own, or export again with `--since` of this site's `index.json`"
        );
        error.context(Hint(hint))
    }
}

/// Whether the export or the site has content, with this length in bytes if it is given.
fn has(
    blobs: &Places<'_>,
    export: &SiteFiles,
    digest: &Digest,
    size: Option<u64>,
) -> anyhow::Result<bool> {
    if export.carries(&blob_path(digest)) {
        return Ok(true);
    }
    let found = match blobs.blob(digest) {
        Err(error) if is_bad(&error) => None,
        found => found?,
    };
    Ok(found.is_some_and(|content| size.is_none_or(|size| content.len() == size)))
}
