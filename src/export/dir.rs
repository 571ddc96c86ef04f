//! `dir`: a folder as `skopeo copy` writes it, with one image or index and its GPG signatures.
//! ```text
//! version  manifest.json  <hex>.manifest.json  <hex>  signature-<N>
//! ```

use std::collections::BTreeSet;

use crate::export::out::Out;
use crate::export::{Export, ExportFormat};

pub(super) const FORMAT: ExportFormat = ExportFormat {
    name: "dir",
    about: "a folder as `skopeo copy` writes it, with one image",
    is_archive: false,
    write,
};

fn write(export: &Export, out: &mut dyn Out) -> anyhow::Result<()> {
    let [picked] = &export.picked[..] else {
        anyhow::bail!(
            "a `dir` folder holds one image, not {}",
            export.picked.len()
        );
    };
    out.bytes("version", b"Directory Transport Version: 1.1\n")?;
    let mut written = BTreeSet::new();
    for manifest in export.manifests(picked)? {
        let hex = manifest.digest.hex();
        let is_root = manifest.digest == picked.root;
        let prefix = if is_root {
            String::new()
        } else {
            format!("{hex}.")
        };
        out.bytes(&format!("{prefix}manifest.json"), &manifest.bytes)?;
        let blobs = manifest.blobs().into_iter().map(|blob| blob.digest);
        for digest in blobs.chain(export.foreign(&manifest)) {
            if written.insert(digest) {
                out.content(&digest.hex(), &export.blob(&digest)?, &digest)?;
            }
        }
        let repo = export.images.repositories.get(&picked.repository);
        let entry = repo.and_then(|repo| repo.manifests.get(&manifest.digest));
        let signatures = entry
            .map(|entry| entry.signatures.as_slice())
            .unwrap_or_default();
        for (number, digest) in (1..).zip(signatures) {
            let path = format!("{prefix}signature-{number}");
            out.content(&path, &export.blob(digest)?, digest)?;
        }
    }
    Ok(())
}
