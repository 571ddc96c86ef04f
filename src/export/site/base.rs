//! What the site has that an export adds to.

use std::collections::BTreeSet;

use crate::images::Images;
use crate::images::damage::is_lost;
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::{Catalogue, Entry};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::v1::V1Id;

/// Content that a catalogue promises.
#[derive(Debug, Default)]
pub struct Known {
    pub blobs: BTreeSet<Digest>,
    pub v1: BTreeSet<V1Id>,
}

impl Known {
    /// What a site in a folder has: what it lists but has lost is not known.
    pub fn at(there: &Images, base: &Catalogue, files: &SiteFiles, images: &Images) -> Self {
        let mut known = Self::of(base, files, images);
        for digest in there.damage.content.keys() {
            known.blobs.remove(digest);
        }
        for top in there.damage.chains.keys() {
            for id in files.v1_ids(*top) {
                known.v1.remove(&id);
            }
        }
        known
    }

    /// Whether it has a manifest, and all that its entry needs; with `v1` also the v1 form.
    pub fn has(&self, digest: &Digest, manifest: &Manifest, entry: &Entry, v1: bool) -> bool {
        let blobs = manifest.blobs();
        let blobs = blobs.iter().map(|blob| &blob.digest);
        let others = entry.others();
        let mut all = blobs.chain(others).chain([digest]);
        let form = entry.v1.filter(|_| v1);
        all.all(|digest| self.blobs.contains(digest))
            && form.is_none_or(|top| self.v1.contains(&top))
    }

    /// What a site has that lists `base`, as far as its manifests are known here: in `images`, or unused in `files`.
    pub fn of(base: &Catalogue, files: &SiteFiles, images: &Images) -> Self {
        let mut known = Self::default();
        for (digest, entry) in base.repositories.values().flat_map(|repo| &repo.manifests) {
            if known.blobs.insert(*digest) {
                known.blobs.extend(blobs(digest, files, images));
            }
            known.blobs.extend(entry.others());
            if let Some(top) = entry.v1.filter(|top| !known.v1.contains(top)) {
                known.v1.extend(files.v1_ids(top));
            }
        }
        known
    }
}

/// The blobs of a manifest; none if it is not known.
fn blobs(digest: &Digest, files: &SiteFiles, images: &Images) -> Vec<Digest> {
    let of = |manifest: &Manifest| {
        let blobs = manifest.blobs().into_iter();
        blobs.map(|blob| blob.digest).collect()
    };
    let listed = images.manifests.get(digest);
    if let Some(manifest) = listed.filter(|manifest| !is_lost(manifest)) {
        return of(manifest);
    }
    let unused = files.blob(digest).ok().flatten();
    let bytes = unused.and_then(|content| content.read(MAX_JSON).ok());
    let manifest = bytes.and_then(|bytes| Manifest::parse(bytes, None).ok());
    let manifest = manifest.filter(|manifest| manifest.digest == *digest);
    manifest.as_ref().map(of).unwrap_or_default()
}
