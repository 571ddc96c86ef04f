//! `hybrid`: an OCI layout and a `docker save` archive in one, which every loader takes since Docker 1.12.
//! ```text
//! oci-layout
//! index.json               the manifest or index of each image, by name
//! manifest.json            the same for Docker: of an index the image of one platform
//! blobs/sha256/<hex>       manifests, configs, layers
//! <diff id>.tar.gz         layers in zstd once more, since Docker up to 20.10 and crane cannot read that
//! ```
//! Observed with Docker 1.12 to 29, podman, skopeo, buildah, ctr, crane and oras: JSON comes first, since regctl reads
//! the archive from its start for each; the folders are members, since skopeo makes none if it is not root.

use std::collections::BTreeMap;

use crate::export::json::{self, DockerImage};
use crate::export::out::{self, Out};
use crate::export::{Export, ExportFormat, Image, Picked, blobs};
use crate::layer::Compression;
use crate::plan::layout::OCI_LAYOUT;
use crate::site_files::blob_path;
use crate::site_files::catalogue::{CONTAINERD_NAME, REF_NAME};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;

pub(super) const FORMAT: ExportFormat = ExportFormat {
    name: "hybrid",
    about: "an archive for docker since 1.12, podman, ctr, skopeo, crane: digests stay",
    is_archive: true,
    write,
};

fn write(export: &Export, out: &mut dyn Out) -> anyhow::Result<()> {
    out.bytes("oci-layout", OCI_LAYOUT)?;
    let names = export.picked.len();
    let entries = export
        .picked
        .iter()
        .map(|picked| entry(export, picked, names));
    let entries = entries.collect::<anyhow::Result<Vec<_>>>()?;
    out.bytes("index.json", &json::index(&entries)?)?;
    let mut repacked = BTreeMap::new();
    let mut images: Vec<DockerImage> = Vec::new();
    for picked in export.picked.iter().filter(|picked| picked.image.is_some()) {
        let image = export.image(picked)?;
        if image.lacks_foreign {
            continue; // only who reads `index.json` knows the URLs of its layers
        }
        let config = blob_path(&image.config.0);
        let repo_tags = picked.repo_tags();
        match images.iter_mut().find(|known| known.config == config) {
            Some(known) => known.repo_tags.extend(repo_tags),
            None => images.push(DockerImage {
                config,
                repo_tags,
                layers: layers(export, &image, &mut repacked)?,
            }),
        }
    }
    if !images.is_empty() {
        out.bytes("manifest.json", &serde_json::to_vec(&images)?)?;
    }
    let mut all = Vec::new();
    for picked in &export.picked {
        all.extend(export.manifests(picked)?);
    }
    blobs::write(export, &all, out)?;
    for (path, digest) in repacked {
        out::repacked(out, &path, &export.blob(&digest)?)?;
    }
    Ok(())
}

/// The descriptor of a reference. One alone has its tag as its name, as Docker 25 writes it and oras needs it; of several,
/// skopeo would take the first with a tag.
fn entry(export: &Export, picked: &Picked, names: usize) -> anyhow::Result<Descriptor> {
    let full = picked.name.to_string();
    let short = match &picked.name.tag {
        Some(tag) if names == 1 => tag.to_string(),
        _ => full.clone(),
    };
    let mut annotations = BTreeMap::from([(CONTAINERD_NAME.to_owned(), full)]);
    if picked.name.tag.is_some() {
        annotations.insert(REF_NAME.to_owned(), short);
    }
    Ok(Descriptor {
        annotations: Some(annotations),
        ..export.manifest(&picked.root)?.descriptor()
    })
}

/// The files of the layers of an image. Those in zstd are noted in `repacked`.
fn layers(
    export: &Export,
    image: &Image,
    repacked: &mut BTreeMap<String, Digest>,
) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for (layer, diff_id) in image.layers.iter().zip(&image.diff_ids) {
        let is_zstd = Compression::of(&export.blob(&layer.digest)?)? == Compression::Zstd;
        paths.push(if is_zstd {
            let path = format!("{}.tar.gz", diff_id.hex());
            repacked.entry(path.clone()).or_insert(layer.digest);
            path
        } else {
            blob_path(&layer.digest)
        });
    }
    Ok(paths)
}
