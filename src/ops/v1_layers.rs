//! Makes layers for v1 clients: as gzip, with the entries added that old clients need.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use crate::content::{Content, Packing};
use crate::images::Images;
use crate::images::v1_claims::{Made, Unfit};
use crate::import::ingest::Stored;
use crate::import::staging::Staging;
use crate::layer::{self, Completion, Place};
use crate::progress::Progress;
use crate::spec::digest::{Digest, Hasher};
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
    let complete = |number: usize, completion: Option<Completion>| {
        let index = lacking[number];
        encode(
            &layers[index],
            &unfit[index].json,
            completion.as_ref(),
            staging,
        )
    };
    let completed = layer::complete(&places, &layer_of, &complete)?;
    let mut made: BTreeMap<usize, Made> = lacking.iter().copied().zip(completed).collect();
    // One after the other: a large one uses all cores.
    for index in others {
        let encoded = encode(&layers[index], &unfit[index].json, None, staging)?;
        made.insert(index, encoded);
    }
    Ok(made.into_values().collect())
}

fn encode(
    layer: &Stored,
    json: &[u8],
    completion: Option<&Completion>,
    staging: &Staging,
) -> anyhow::Result<Made> {
    let mut sink = Hashing {
        sink: staging.sink()?,
        hasher: v1::checksum(json),
    };
    let measured = match completion {
        Some(completion) => completion.compress(&mut sink),
        None => layer::compress(&layer.content, Packing::Gzip, &mut sink),
    }?;
    layer.content.done();
    let stored = Stored {
        digest: measured.digest,
        size: measured.size,
        tar: None,
        outline: None,
        compression: layer::Compression::Gzip,
        compressed_here: false,
        content: sink.sink.content(&layer.content, measured.size),
    };
    Ok(Made {
        stored,
        checksum: Some(sink.hasher.finish().0),
    })
}

/// Hashes what is written.
struct Hashing<W> {
    sink: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
