//! `docker`: an archive as Docker 1.10 to 24 saved it, which every Docker loads with the right image id. It has no
//! manifests, so their digests are lost.
//! ```text
//! <hex>.json               configs
//! <v1 id>/{VERSION,json,layer.tar}    v1 images, for Docker up to 1.9
//! <diff id>.tar            layers that have no v1 image, or another content there
//! manifest.json  repositories
//! ```
//! Layers are gzip, as Docker reads them since 1.0; those in zstd are recompressed.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{WithHint as _, invalid_input};
use crate::export::docker_1;
use crate::export::json::DockerImage;
use crate::export::out::{self, Out};
use crate::export::{Export, ExportFormat, Image, Picked};
use crate::layer::Compression;
use crate::site_files::V1File;
use crate::spec::digest::Digest;
use crate::spec::v1::V1Id;

pub(super) const FORMAT: ExportFormat = ExportFormat {
    name: "docker",
    about: "an archive for every Docker, as 1.10 to 24 saved it; digests of manifests are lost",
    is_archive: true,
    write,
};

fn write(export: &Export, out: &mut dyn Out) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for picked in &export.picked {
        let image = export.image(picked)?;
        if image.lacks_foreign {
            let text = format!("the site lacks foreign layers of {}", picked.called);
            return Err(invalid_input(text)).hint("`--format oci-archive` has their URLs");
        }
        all.push((picked, image));
    }
    let mut writing = Writing {
        export,
        out,
        written: BTreeSet::new(),
        v1: BTreeMap::new(),
    };
    let mut images: Vec<DockerImage> = Vec::new();
    for (picked, image) in &all {
        let image = writing.image(picked, image)?;
        match images.iter_mut().find(|known| known.config == image.config) {
            Some(known) => known.repo_tags.extend(image.repo_tags),
            None => images.push(image),
        }
    }
    out.bytes("manifest.json", &serde_json::to_vec(&images)?)?;
    docker_1::repositories(export, out)
}

struct Writing<'a> {
    export: &'a Export,
    out: &'a mut dyn Out,
    written: BTreeSet<String>,
    /// The v1 images written so far, with the digest of their layer.
    v1: BTreeMap<V1Id, Digest>,
}

impl Writing<'_> {
    fn image(&mut self, picked: &Picked, image: &Image) -> anyhow::Result<DockerImage> {
        let config = format!("{}.json", image.config.0.hex());
        if self.written.insert(config.clone()) {
            self.out.bytes(&config, &image.config.1)?;
        }
        let mut places = BTreeMap::new();
        if let Some(top) = picked.v1 {
            for (id, file) in self.export.files.v1_chain(top)?.into_iter().rev() {
                let digest = self.v1_image(id, &file)?;
                places.insert(digest, format!("{id}/layer.tar"));
            }
        }
        let mut layers = Vec::new();
        for (layer, diff_id) in image.layers.iter().zip(&image.diff_ids) {
            let own = places.get(&layer.digest).cloned();
            layers.push(match own {
                Some(path) => path,
                None => self.layer(&layer.digest, diff_id)?,
            });
        }
        Ok(DockerImage {
            config,
            repo_tags: picked.repo_tags(),
            layers,
        })
    }

    /// Writes a v1 image, once; gives the digest of its layer.
    fn v1_image(&mut self, id: V1Id, file: &V1File) -> anyhow::Result<Digest> {
        if let Some(known) = self.v1.get(&id) {
            return Ok(*known);
        }
        let digest = docker_1::image(self.export, self.out, id, file)?;
        self.v1.insert(id, digest);
        Ok(digest)
    }

    /// Writes a layer that no v1 image has.
    fn layer(&mut self, digest: &Digest, diff_id: &Digest) -> anyhow::Result<String> {
        let path = format!("{}.tar", diff_id.hex());
        if self.written.insert(path.clone()) {
            let content = self.export.blob(digest)?;
            if Compression::of(&content)? == Compression::Zstd {
                out::check(&content, digest, &mut |_| Ok(()))?;
                out::repacked(self.out, &path, &content)?;
            } else {
                self.out.content(&path, &content, digest)?;
            }
        }
        Ok(path)
    }
}
