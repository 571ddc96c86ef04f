//! Whether what a client has pulled is what the samples hold.

use anyhow::{Result, ensure};

use super::clients::{Client, Oras, Pulled};
use super::expected::{Expected, Image, Kind, Layers};
use super::files::{decompressed, digest};

/// Pulls one image of what a reference stands for; what is no image is copied, if the client can.
pub(crate) fn pull_image(
    client: &dyn Client,
    reference: &str,
    expected: &Expected,
    image: &Image,
    layers: &Layers,
) -> Result<()> {
    if expected.kind == Kind::Artifact
        && let Some(copied) = client.copy(reference)
    {
        return same_copy(copied?, expected);
    }
    let pulled = client.pull(reference, image.platform.as_deref())?;
    if expected.kind == Kind::Schema1 {
        same_schema1(client, &pulled, expected, image)?;
    } else {
        same_manifest(&pulled, expected, image)?;
        same_config(&pulled, image)?;
        same_diff_ids(&pulled, image)?;
    }
    let differences = pulled.files.differences(&layers.files(&image.diff_ids));
    ensure!(differences.is_empty(), "{}", differences.join("\n  "));
    Ok(())
}

/// Schema 1 has no config. A client makes one, which is that of the image as it was pushed if nothing
/// was lost, or has none; one that does not say the diff IDs has them in the config.
fn same_schema1(
    client: &dyn Client,
    pulled: &Pulled,
    expected: &Expected,
    image: &Image,
) -> Result<()> {
    let mut compared = 0;
    if !client.converts_schema1() {
        same_manifest(pulled, expected, image)?;
        if pulled.config_digest.is_some() {
            same_config(pulled, image)?;
            compared += 1;
        }
    }
    if !pulled.diff_ids.is_empty() {
        same_diff_ids(pulled, image)?;
        compared += 1;
    }
    ensure!(compared > 0, "neither config nor diff IDs");
    Ok(())
}

fn same_manifest(pulled: &Pulled, expected: &Expected, image: &Image) -> Result<()> {
    let mut known = expected
        .manifest_digest
        .iter()
        .chain(&image.manifest_digest)
        .peekable();
    ensure!(
        known.peek().is_none() || known.any(|digest| pulled.manifest_digests.contains(digest)),
        "expected the manifest {:?}, got {:?}",
        expected.manifest_digest,
        pulled.manifest_digests
    );
    Ok(())
}

fn same_config(pulled: &Pulled, image: &Image) -> Result<()> {
    ensure!(
        pulled.config_digest.as_ref() == Some(&image.config_digest),
        "expected the config {}, got {:?}",
        image.config_digest,
        pulled.config_digest
    );
    Ok(())
}

fn same_diff_ids(pulled: &Pulled, image: &Image) -> Result<()> {
    ensure!(
        pulled.diff_ids == image.diff_ids,
        "expected the diff IDs {:?}, got {:?}",
        image.diff_ids,
        pulled.diff_ids
    );
    Ok(())
}

/// Compares the digests that [`Client::copy`] gives.
pub(crate) fn same_copy(mut got: Vec<String>, expected: &Expected) -> Result<()> {
    let images = expected.images.iter();
    let mut known: Vec<_> = images.clone().flat_map(|i| i.blobs.clone()).collect();
    if expected.kind == Kind::Index {
        known.extend(images.filter_map(|i| i.manifest_digest.clone()));
    }
    known.sort();
    known.dedup();
    let manifest = got.remove(0);
    got.sort();
    ensure!(
        Some(&manifest) == expected.manifest_digest.as_ref() && got == known,
        "expected {:?} and {known:?}, got {manifest} and {got:?}",
        expected.manifest_digest
    );
    Ok(())
}

/// Pulls the layers of a reference with oras.
pub(crate) fn pull_layers(reference: &str, expected: &Expected) -> Result<()> {
    let blobs = Oras::pull(reference)?;
    let [image] = &expected.images[..] else {
        panic!("{reference} is an index, which oras does not pull");
    };
    if let Some(known) = image.layer_digests() {
        let got: Vec<_> = blobs.iter().map(|blob| digest(blob)).collect();
        ensure!(got == known, "expected {known:?}, got {got:?}");
    }
    if expected.kind != Kind::Artifact {
        let plain = blobs.iter().map(|blob| Ok(digest(&decompressed(blob)?)));
        let got = plain.collect::<Result<Vec<_>>>()?;
        let known = &image.diff_ids;
        ensure!(
            got == *known,
            "expected the diff IDs {known:?}, got {got:?}"
        );
    }
    Ok(())
}
