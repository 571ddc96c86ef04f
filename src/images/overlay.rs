//! Newer images over those of a site.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::images::Images;
use crate::images::damage::is_lost;
use crate::site_files::catalogue::Entry;
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;

/// Adds foreign layers to those that are served with a manifest.
pub fn serve_foreign(manifest: &mut Arc<Manifest>, foreign: &BTreeSet<Digest>) {
    if !foreign.is_subset(&manifest.foreign) {
        Arc::make_mut(manifest).foreign.extend(foreign);
    }
}

impl Images {
    /// Updates the media type and size of every entry from its manifest.
    pub fn settle_entries(&mut self) {
        for (digest, entry) in self
            .repositories
            .values_mut()
            .flat_map(|repo| &mut repo.manifests)
        {
            let manifest = &self.manifests[digest];
            if is_lost(manifest) {
                continue;
            }
            entry.media_type = manifest.media_type.into();
            entry.size = manifest.bytes.len() as u64;
            entry.foreign.clone_from(&manifest.foreign);
        }
    }

    /// Adds newer images. A tag that both have moves to the newer manifest; the older manifest stays, without
    /// that tag.
    pub fn overlay(&mut self, newer: Self) {
        for (repository, newer) in newer.repositories {
            let repo = self.repositories.entry(repository).or_default();
            repo.tags.extend(newer.tags);
            for (digest, mut entry) in newer.manifests {
                let more = std::mem::take(&mut entry.signatures);
                let known = repo.manifests.get(&digest);
                let (v1, known) = known.map_or((None, Vec::new()), |known| {
                    (known.v1, known.signatures.clone())
                });
                // Those that the site has keep their numbers.
                let mut entry = Entry {
                    v1: v1.or(entry.v1),
                    signatures: known,
                    ..entry
                };
                entry.add_signatures(more);
                repo.manifests.insert(digest, entry);
            }
        }
        for (digest, manifest) in newer.manifests {
            let foreign = manifest.foreign.clone();
            serve_foreign(self.manifests.entry(digest).or_insert(manifest), &foreign);
        }
        self.settle_entries();
        for stored in newer.blobs.into_values() {
            self.add_blob(stored);
        }
        newer.v1.into_iter().for_each(|(id, form)| {
            self.v1.entry(id).or_insert(form);
        });
        self.notes.extend(newer.notes);
    }
}
