//! Unpacks each layer and compares its diff ID with the configs.

use std::sync::Arc;

use rayon::prelude::*;

use crate::content::Content;
use crate::images::Images;
use crate::layer;
use crate::ops::verify::{Finding, damaged};
use crate::progress::Progress;
use crate::site_files::blob_path;
use crate::spec::digest::Digest;

pub(super) fn diff_ids(images: &mut Images, progress: &Arc<Progress>) -> Vec<Finding> {
    let finding = |digest: &Digest, error: &anyhow::Error| {
        Finding::new(blob_path(digest), damaged(format!("{error:#}")))
    };
    let counted = |digest: Digest| (digest, images.blobs[&digest].content.counted(progress));
    let layers: Vec<(Digest, Content)> = images.layers().into_iter().map(counted).collect();
    let measure = |(digest, content): &(Digest, Content)| {
        let tar = layer::tar(content);
        content.done();
        (*digest, tar)
    };
    let measured: Vec<_> = layers.par_iter().map(measure).collect();
    let mut findings = Vec::new();
    for (digest, tar) in measured {
        match tar {
            Ok(tar) => images.set_tar(&digest, tar),
            Err(error) => findings.push(finding(&digest, &error)),
        }
    }
    for manifest in images.manifests.values() {
        if let Err(error) = images.check_diff_ids_of(manifest) {
            findings.push(finding(&manifest.digest, &error));
        }
    }
    findings
}
