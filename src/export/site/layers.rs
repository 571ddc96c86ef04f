//! The blobs that are layers of v1 images: most such layers are links to them.

use std::collections::BTreeMap;

use crate::content::Content;
use crate::images::Images;
use crate::spec::digest::{Digest, Hasher};

/// The blobs of a site, by where they are and by their lengths in bytes.
pub(super) struct LayerBlobs {
    by_place: BTreeMap<Place, Digest>,
    by_len: BTreeMap<u64, Vec<Digest>>,
}

/// Of [`crate::content::Identity`].
type Place = ((u64, u64), u64);

fn place(content: &Content) -> Option<Place> {
    Some(content.identity().ok()??.place)
}

impl LayerBlobs {
    pub(super) fn of(images: &Images) -> Self {
        let mut blobs = Self {
            by_place: BTreeMap::new(),
            by_len: BTreeMap::new(),
        };
        for (digest, stored) in &images.blobs {
            if images.damage.has(digest) {
                continue;
            }
            if let Some(place) = place(&stored.content) {
                blobs.by_place.insert(place, *digest);
            }
            blobs.by_len.entry(stored.size).or_default().push(*digest);
        }
        blobs
    }

    /// The blob with the bytes of a layer.
    pub(super) fn same(&self, images: &Images, layer: &Content) -> anyhow::Result<Option<Digest>> {
        let linked = place(layer).and_then(|place| self.by_place.get(&place));
        if linked.is_some() {
            return Ok(linked.copied());
        }
        // A short one is a copy.
        let Some(of_len) = self.by_len.get(&layer.len()) else {
            return Ok(None);
        };
        let digest = layer.hash(Hasher::default())?;
        Ok((of_len.contains(&digest) && images.blobs.contains_key(&digest)).then_some(digest))
    }
}
