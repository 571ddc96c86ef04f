//! The storage folders of registries, made of the images of an archive.

use std::fs;
use std::path::Path;

use super::archive::{Archive, Image};

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The storage of distribution with the blobs of a layout, and tags: repository, tag, digest.
pub(crate) fn registry_v2(root: &Path, layout: &Archive, tags: &[(&str, &str, String)]) {
    let root = root.join("docker/registry/v2");
    for name in layout.names("blobs/sha256/") {
        let hex = name.rsplit('/').next().unwrap();
        let folder = root.join("blobs/sha256").join(&hex[..2]).join(hex);
        write(&folder.join("data"), layout.bytes(&name));
    }
    for (name, tag, digest) in tags {
        let manifests = root.join("repositories").join(name).join("_manifests");
        let hex = digest.split_once(':').unwrap().1;
        let revision = manifests.join("revisions/sha256").join(hex);
        write(&revision.join("link"), digest.as_bytes());
        let tag = manifests.join("tags").join(tag);
        write(&tag.join("current/link"), digest.as_bytes());
    }
}

/// The storage of distribution with images by their first names.
pub(crate) fn registry_v2_of(root: &Path, layout: &Archive, images: &[Image]) {
    let tags: Vec<(&str, &str, String)> = images
        .iter()
        .map(|image| {
            let (name, tag) = image.names[0].split_once(':').unwrap();
            (name, tag, image.manifest_digest())
        })
        .collect();
    registry_v2(root, layout, &tags);
}

/// The storage of the Python registry, of an archive of Docker before 1.10 with these images. What the archive
/// lacks is missing.
pub(crate) fn registry_v1(root: &Path, archive: &Archive, images: &[Image]) {
    for image in images {
        let id = Archive::v1_id(image, 0);
        let folder = root.join("images").join(&id);
        for (file, member) in [("json", "json"), ("layer", "layer.tar")] {
            let member = format!("{id}/{member}");
            if archive.names("").contains(&member) {
                write(&folder.join(file), archive.bytes(&member));
            }
        }
        let (name, tag) = image.names[0].split_once(':').unwrap();
        let name = root.join("repositories").join(name);
        write(&name.join(format!("tag_{tag}")), id.as_bytes());
    }
}
