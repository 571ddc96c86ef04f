//! Simple-signing signatures, where clients of containers/image look for them (`docker/registries_d.go`).
//! ```text
//! lookaside/<name>@sha256=<hex>/signature-<N>     from 1 on, until there is none
//! ```

use crate::plan::tree::{File, Stage, Tree};
use crate::plan::{Area, Plan};
use crate::site_files::signature_path;
use crate::spec::name::Repository;
use crate::spec::signature::MAX_SIGNATURE;

pub(super) const AREA: Area = Area {
    is_in: |catalogue| catalogue.apis.v2,
    repository,
    lists: |_, _| Ok(()),
};

fn repository(tree: &mut Tree, plan: &Plan<'_>, repository: &Repository) -> anyhow::Result<()> {
    let images = plan.images;
    for (digest, entry) in &images.repositories[repository].manifests {
        for (number, signature) in (1..).zip(&entry.signatures) {
            // A number may come to stand for another signature, so it is compared byte by byte.
            let file = match images.held(signature) {
                Some(stored) => File::Bytes(stored.content.read(MAX_SIGNATURE)?),
                // Lost, or in a bucket alone.
                None => File::Kept(*signature),
            };
            for name in repository.aliases() {
                let path = signature_path(&name, digest, number);
                tree.insert(path, Stage::Signature, file.clone())?;
            }
        }
    }
    Ok(())
}
