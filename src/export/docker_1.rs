//! `docker-1`: an archive as Docker up to 1.9 saved it, and takes it: each folder is a v1 image.
//! ```text
//! <v1 id>/{VERSION,json,layer.tar}
//! repositories             {"tiny":{"1":"<v1 id>"}}
//! ```
//! `layer.tar` may be gzip. Docker 1.4 wants whole blocks when it is unpacked, which the v1 layers of a site are.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{WithHint as _, invalid_input};
use crate::export::out::Out;
use crate::export::{Export, ExportFormat};
use crate::images::v1_claims::JsonSource;
use crate::site_files::V1File;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::v1::{self, V1Id};

pub(super) const FORMAT: ExportFormat = ExportFormat {
    name: "docker-1",
    about: "an archive for Docker up to 1.9: the v1 images, with their ids",
    is_archive: true,
    write,
};

fn write(export: &Export, out: &mut dyn Out) -> anyhow::Result<()> {
    let mut tops = Vec::new();
    for picked in &export.picked {
        let none = || invalid_input(format!("{} has no v1 image", picked.called));
        let top = picked.v1.ok_or_else(none);
        tops.push(top.hint("`stillage list` shows which images have one; use another format")?);
    }
    let mut written = BTreeSet::new();
    for top in tops {
        for (id, file) in export.files.v1_chain(top)?.into_iter().rev() {
            if written.insert(id) {
                image(export, out, id, &file)?;
            }
        }
    }
    repositories(export, out)
}

/// Writes a v1 image; gives the digest of its layer.
pub(super) fn image(
    export: &Export,
    out: &mut dyn Out,
    id: V1Id,
    file: &V1File,
) -> anyhow::Result<Digest> {
    let digest = checked(export, id, file)?;
    out.folder(&id.to_string())?;
    out.bytes(&format!("{id}/VERSION"), b"1.0")?;
    out.bytes(&format!("{id}/json"), &file.json)?;
    out.content(&format!("{id}/layer.tar"), &file.layer, &digest)?;
    Ok(digest)
}

/// The digest of the layer of an image, which is read once more for it: JSON and layer must match the checksum of the
/// image, or be what follows from the manifests of the site.
fn checked(export: &Export, id: V1Id, file: &V1File) -> anyhow::Result<Digest> {
    let (mut layer, mut both) = (Hasher::default(), v1::checksum(&file.json));
    file.layer.visit(&mut |bytes| {
        layer.update(bytes);
        both.update(bytes);
    })?;
    let (digest, both) = (layer.finish().0, both.finish().0);
    let image = export.v1.images.get(&id);
    let is_right = match (export.files.v1_checksum(id)?, image) {
        (Some(expected), _) => both == expected,
        (None, Some(image)) if image.form != JsonSource::InSite => {
            image.candidates.contains(&digest) && export.v1.json(&export.images, id)? == *file.json
        }
        _ => true,
    };
    if is_right {
        return Ok(digest);
    }
    Err(invalid_input(format!(
        "the v1 image {id} in {} has another JSON or layer than it must have",
        export.files.origin()
    )))
}

/// The tags, with their v1 images.
pub(super) fn repositories(export: &Export, out: &mut dyn Out) -> anyhow::Result<()> {
    let mut tags: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for picked in &export.picked {
        if let (Some(tag), Some(top)) = (&picked.name.tag, picked.v1) {
            let tags = tags.entry(picked.name.familiar_repository()).or_default();
            tags.insert(tag.to_string(), top.to_string());
        }
    }
    if tags.is_empty() {
        return Ok(());
    }
    out.bytes("repositories", &serde_json::to_vec(&tags)?)
}
