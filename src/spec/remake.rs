//! Generated manifests: for images from archives without manifests, and for images whose uncompressed layers
//! were compressed.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use crate::error::invalid_input;
use crate::spec::digest::Digest;
use crate::spec::json::RawObject;
use crate::spec::media_type::{
    self, DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD, OCI_MANIFEST,
};

/// The annotation by which buildkit links an attestation in an index to its image.
pub const REFERENCE: &str = "vnd.docker.reference.digest";

/// A blob of a generated manifest.
#[derive(Clone, Copy, Debug)]
pub struct MadeBlob {
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Whether it is compressed with zstd rather than gzip.
    pub zstd: bool,
}

/// A compact Docker schema 2 manifest, with the fields in Docker's order, which Docker 1.10 can read. An
/// image with zstd layers gets an OCI manifest, because schema 2 has no zstd.
pub fn manifest(config: MadeBlob, layers: &[MadeBlob]) -> Vec<u8> {
    let docker = !layers.iter().any(|layer| layer.zstd);
    let (own, config_type) = if docker {
        (DOCKER_MANIFEST, DOCKER_CONFIG)
    } else {
        (OCI_MANIFEST, OCI_CONFIG)
    };
    let layer_type = |layer: &MadeBlob| match (docker, layer.zstd) {
        (true, _) => DOCKER_LAYER_GZIP,
        (false, true) => OCI_LAYER_ZSTD,
        (false, false) => OCI_LAYER_GZIP,
    };
    let descriptor = |media_type: &str, made: &MadeBlob| {
        format!(
            r#"{{"mediaType":"{media_type}","size":{},"digest":"{}"}}"#,
            made.size, made.digest
        )
    };
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| descriptor(layer_type(layer), layer))
        .collect();
    let config = descriptor(config_type, &config);
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{own}","config":{config},"layers":[{}]}}"#,
        layers.join(",")
    )
    .into_bytes()
}

/// Replaces the descriptors of some layers in a manifest. All other values keep their text.
///
/// # Errors
/// If the manifest has no list of layers.
pub fn with_layers(
    manifest: &[u8],
    replaced: &BTreeMap<Digest, MadeBlob>,
) -> anyhow::Result<Vec<u8>> {
    edit_list(manifest, "layers", |descriptor| {
        let digest = digest_in(descriptor)?;
        if let Some(made) = digest.and_then(|digest| replaced.get(&digest)) {
            let plain = descriptor.string("mediaType")?.unwrap_or_default();
            return Ok(vec![
                (
                    "mediaType",
                    to_raw_value(media_type::compressed(&plain, made.zstd))?,
                ),
                ("digest", to_raw_value(&made.digest)?),
                ("size", to_raw_value(&made.size)?),
            ]);
        }
        Ok(Vec::new())
    })
}

/// Replaces the descriptors of some children in an index, also in the [`REFERENCE`] annotations of buildkit's
/// attestations.
///
/// # Errors
/// If the index has no list of manifests.
pub fn with_children(
    index: &[u8],
    replaced: &BTreeMap<Digest, (Digest, u64)>,
) -> anyhow::Result<Vec<u8>> {
    edit_list(index, "manifests", |descriptor| {
        let mut edits = Vec::new();
        if let Some((digest, size)) =
            digest_in(descriptor)?.and_then(|digest| replaced.get(&digest))
        {
            edits.push(("digest", to_raw_value(digest)?));
            edits.push(("size", to_raw_value(size)?));
        }
        if let Some(raw) = descriptor.get("annotations") {
            let annotations = RawObject::parse(raw.as_bytes())?;
            let about = annotations
                .string(REFERENCE)?
                .and_then(|text| text.parse::<Digest>().ok());
            if let Some((digest, _)) = about.and_then(|digest| replaced.get(&digest)) {
                edits.push((
                    "annotations",
                    replace(&annotations, &[(REFERENCE, to_raw_value(digest)?)])?,
                ));
            }
        }
        Ok(edits)
    })
}

fn digest_in(descriptor: &RawObject<'_>) -> anyhow::Result<Option<Digest>> {
    descriptor
        .string("digest")?
        .map(|digest| digest.parse())
        .transpose()
}

type Edits = Vec<(&'static str, Box<RawValue>)>;

fn edit_list(
    bytes: &[u8],
    key: &'static str,
    edit: impl Fn(&RawObject<'_>) -> anyhow::Result<Edits>,
) -> anyhow::Result<Vec<u8>> {
    let object = RawObject::parse(bytes)?;
    let list = object
        .get(key)
        .ok_or_else(|| invalid_input(format!("`{key}` is missing")))?;
    let list: Vec<&RawValue> = serde_json::from_str(list)
        .map_err(|error| invalid_input(format!("`{key}` is not a list: {error}")))?;
    let edited: Vec<Box<RawValue>> = list
        .iter()
        .map(|raw| {
            let descriptor = RawObject::parse(raw.get().as_bytes())?;
            replace(&descriptor, &edit(&descriptor)?)
        })
        .collect::<anyhow::Result<_>>()?;
    let edits = [(key, to_raw_value(&edited)?)];
    Ok(replace(&object, &edits)?.get().as_bytes().to_vec())
}

/// Replaces some values of an object; the keys keep their order.
fn replace(
    object: &RawObject<'_>,
    edits: &[(&str, Box<RawValue>)],
) -> anyhow::Result<Box<RawValue>> {
    let mut out = String::from("{");
    for (index, (key, value)) in object.0.iter().enumerate() {
        let edited = edits
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.get());
        if index > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::to_string(key)?);
        out.push(':');
        out.push_str(edited.unwrap_or_else(|| value.get()));
    }
    out.push('}');
    Ok(RawValue::from_string(out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: char) -> Digest {
        Digest::from_hex(&String::from(byte).repeat(64)).unwrap()
    }

    #[test]
    fn layers_are_replaced_and_the_rest_keeps_its_text() {
        let manifest = format!(
            r#"{{ "schemaVersion": 2, "x":1.0, "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{a}","size":9,"annotations":{{"k":"v"}}}},{{"mediaType":"application/vnd.in-toto+json","digest":"{b}","size":1}}]}}"#,
            a = digest('a'),
            b = digest('b')
        );
        let made = MadeBlob {
            digest: digest('c'),
            size: 5,
            zstd: false,
        };
        let edited = with_layers(manifest.as_bytes(), &[(digest('a'), made)].into()).unwrap();
        assert_eq!(
            String::from_utf8(edited).unwrap(),
            format!(
                r#"{{"schemaVersion":2,"x":1.0,"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{c}","size":5,"annotations":{{"k":"v"}}}},{{"mediaType":"application/vnd.in-toto+json","digest":"{b}","size":1}}]}}"#,
                c = digest('c'),
                b = digest('b')
            )
        );
    }

    #[test]
    fn attestations_follow_the_child_that_they_are_about() {
        let index = format!(
            r#"{{"manifests":[{{"digest":"{a}","size":1}},{{"digest":"{b}","size":2,"annotations":{{"vnd.docker.reference.digest":"{a}","vnd.docker.reference.type":"attestation-manifest"}}}}]}}"#,
            a = digest('a'),
            b = digest('b')
        );
        let edited =
            with_children(index.as_bytes(), &[(digest('a'), (digest('c'), 7))].into()).unwrap();
        assert_eq!(
            String::from_utf8(edited).unwrap(),
            format!(
                r#"{{"manifests":[{{"digest":"{c}","size":7}},{{"digest":"{b}","size":2,"annotations":{{"vnd.docker.reference.digest":"{c}","vnd.docker.reference.type":"attestation-manifest"}}}}]}}"#,
                c = digest('c'),
                b = digest('b')
            )
        );
    }
}
