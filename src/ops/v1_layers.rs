//! Makes layers for v1 clients: as gzip, with the entries added that old clients need.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::content::{Content, Packing};
use crate::images::Images;
use crate::images::v1_claims::{Made, Unfit};
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::{self, Completion, Hashing, Place};
use crate::progress::Progress;
use crate::spec::digest::Digest;
use crate::spec::v1;

/// Makes a layer from each that v1 clients cannot use, in this order. `progress` counts the bytes that are read.
///
/// # Errors
/// When a layer cannot be read, or another not be written.
pub(super) fn make(
    images: &Images,
    unfit: &[Unfit],
    staging: &Staging,
    progress: &Arc<Progress>,
) -> anyhow::Result<Vec<Made>> {
    let stored = |unfit: &Unfit| {
        let stored = images.blobs[&unfit.layer].clone();
        let content = stored.content.counted(progress);
        Stored { content, ..stored }
    };
    // All are counted first, for the total.
    let layers: Vec<Stored> = unfit.iter().map(stored).collect();
    let counted: BTreeMap<Digest, &Content> = layers
        .iter()
        .map(|layer| (layer.digest, &layer.content))
        .collect();
    let layer_of = |digest: &Digest| {
        let stored = &images.blobs[digest];
        let counted = counted.get(digest).copied();
        let content = counted.unwrap_or(&stored.content);
        (content.clone(), stored.outline.clone())
    };
    let is_lacking = |index: &usize| layers[*index].tar.is_some_and(|tar| tar.incomplete_for_v1);
    let (lacking, others): (Vec<usize>, Vec<usize>) = (0..layers.len()).partition(is_lacking);
    let place = |index: &usize| Place {
        below: &unfit[*index].below,
        layer: unfit[*index].layer,
    };
    let places: Vec<Place<'_>> = lacking.iter().map(place).collect();
    // One layer for all images that have it, by their numbers in `unfit`.
    let encode = |indexes: &[usize], completion: Option<&Completion>| {
        let json = indexes.iter().map(|index| unfit[*index].json.as_slice());
        let encoded = encode(&layers[indexes[0]], json, completion, staging);
        for index in indexes {
            layers[*index].content.done();
        }
        encoded
    };
    let complete = |numbers: &[usize], completion: Option<Completion>| {
        let indexes: Vec<usize> = numbers.iter().map(|number| lacking[*number]).collect();
        encode(&indexes, completion.as_ref())
    };
    let completed = layer::complete(&places, &layer_of, &complete)?;
    let mut made: BTreeMap<usize, Made> = lacking.iter().copied().zip(completed).collect();
    // One after the other: a large one uses all cores.
    let mut by_layer: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for index in others {
        let same = by_layer.entry(layers[index].digest).or_default();
        same.push(index);
    }
    for indexes in by_layer.into_values() {
        let encoded = encode(&indexes, None)?;
        made.extend(indexes.into_iter().zip(encoded));
    }
    Ok(made.into_values().collect())
}

/// Makes a layer, once for all v1 images that have it. `json` is that of each image.
fn encode<'a>(
    layer: &Stored,
    json: impl Iterator<Item = &'a [u8]>,
    completion: Option<&Completion>,
    staging: &Staging,
) -> anyhow::Result<Vec<Made>> {
    let mut sink = Hashing {
        inner: staging.sink()?,
        hashers: json.map(v1::checksum).collect(),
    };
    let size = match completion {
        Some(completion) => completion.compress(&mut sink)?,
        None => layer::recompress(&layer.content, Packing::Gzip, &mut sink)?,
    };
    let (sink, checksums) = sink.finish();
    let stored = Stored {
        digest: checksums[0],
        size,
        tar: None,
        outline: None,
        compression: layer::Compression::Gzip,
        compressed_here: false,
        content: sink.content(&layer.content, size),
    };
    let made = |checksum: Digest| Made {
        stored: stored.clone(),
        checksum: Some(checksum),
    };
    Ok(checksums.into_iter().map(made).collect())
}
