//! Newer images over those of a site.

use std::collections::btree_map::Entry as Place;

use crate::images::Images;
use crate::images::damage::is_lost;

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
        }
    }

    /// Adds newer images. A tag that both have moves to the newer manifest; the older manifest stays, without
    /// that tag.
    pub fn overlay(&mut self, newer: Self) {
        for (repository, newer) in newer.repositories {
            let repo = self.repositories.entry(repository).or_default();
            repo.tags.extend(newer.tags);
            for (digest, entry) in newer.manifests {
                match repo.manifests.entry(digest) {
                    Place::Vacant(place) => {
                        place.insert(entry);
                    }
                    Place::Occupied(mut known) => known.get_mut().update(entry),
                }
            }
        }
        for (digest, manifest) in newer.manifests {
            self.manifests.entry(digest).or_insert(manifest);
        }
        self.settle_entries();
        for stored in newer.blobs.into_values() {
            self.add_blob(stored);
        }
        newer.v1.into_iter().for_each(|(id, form)| {
            self.v1.entry(id).or_insert(form);
        });
        self.v1_clashes.extend(newer.v1_clashes);
        self.notes.extend(newer.notes);
    }
}
