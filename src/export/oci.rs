//! `oci`: an OCI image layout in a folder; `oci-archive`: the same as a tar. With what is attached to the images.
//! ```text
//! oci-layout  index.json  blobs/sha256/<hex>
//! ```

use std::collections::BTreeMap;

use crate::export::json;
use crate::export::out::Out;
use crate::export::{Export, ExportFormat, TargetName, blobs};
use crate::plan::layout::OCI_LAYOUT;
use crate::site_files::catalogue::{CONTAINERD_NAME, REF_NAME};
use crate::spec::descriptor::Descriptor;

pub(super) const ARCHIVE: ExportFormat = ExportFormat {
    name: "oci-archive",
    about: "an OCI image layout as a tar, with signatures and SBOMs",
    is_archive: true,
    write,
};

pub(super) const FOLDER: ExportFormat = ExportFormat {
    name: "oci",
    about: "an OCI image layout as a folder, with signatures and SBOMs",
    is_archive: false,
    ..ARCHIVE
};

fn write(export: &Export, out: &mut dyn Out) -> anyhow::Result<()> {
    out.bytes("oci-layout", OCI_LAYOUT)?;
    let (mut entries, mut all) = (Vec::<Descriptor>::new(), Vec::new());
    for picked in &export.picked {
        let manifests = export.manifests(picked)?;
        let root = export.manifest(&picked.root)?;
        let mut add = |entry| {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        };
        add(named(root.descriptor(), &picked.name));
        for (digest, tag) in export.attached(picked, &manifests)? {
            let attached = export.manifest(&digest)?;
            let entry = match tag {
                Some(tag) => named(attached.descriptor(), &picked.name.with_tag(tag)),
                None => attached.descriptor(),
            };
            add(entry);
            all.push(attached.clone());
        }
        all.extend(manifests);
    }
    out.bytes("index.json", &json::index(&entries)?)?;
    blobs::write(export, &all, out)
}

fn named(descriptor: Descriptor, name: &TargetName) -> Descriptor {
    let annotations = [
        // podman takes the name from here.
        (CONTAINERD_NAME, name.to_string()),
        (REF_NAME, name.familiar()),
    ];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value));
    Descriptor {
        annotations: Some(BTreeMap::from(annotations)),
        ..descriptor
    }
}
