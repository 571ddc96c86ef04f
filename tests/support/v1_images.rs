//! What a site of all samples has for v1 clients, and whether that is what one has read.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::expected::{Expected, Image, Layers, expected};
use super::files::{decompressed, digest, without_zeros};

/// The tags of a repository, each with its image ids from the top to the base.
pub(crate) type Tags = BTreeMap<String, Vec<String>>;

impl Expected {
    /// The image that v1 clients get: of an index the one for linux/amd64.
    pub(crate) fn v1_image(&self) -> &Image {
        let fits = |image: &&Image| {
            let platform = image.platform.as_deref();
            platform.is_none() || platform == Some("linux/amd64")
        };
        self.images.iter().find(fits).unwrap()
    }
}

/// What the site has in v1, by repository.
pub(crate) fn repositories() -> BTreeMap<String, Tags> {
    let mut repositories: BTreeMap<_, Tags> = BTreeMap::new();
    for expected in expected() {
        let ids = expected.v1_image().v1_ids.clone();
        if let (Some(tag), false) = (expected.tag, ids.is_empty()) {
            let tags = repositories.entry(expected.name).or_default();
            tags.insert(tag, ids);
        }
    }
    repositories
}

/// The layers of v1 images on a site.
pub(crate) struct V1Layers {
    /// The diff ID of each image's layer.
    diff_ids: BTreeMap<String, String>,
}

impl V1Layers {
    /// Where a source brings ids that are derived from another source's image, the derived form is
    /// served.
    pub(crate) fn expected() -> Self {
        let images = expected().into_iter().flat_map(|e| e.images);
        let (legacy, modern): (Vec<_>, Vec<_>) = images.partition(|image| image.legacy);
        let mut diff_ids = BTreeMap::new();
        for image in modern.into_iter().chain(legacy) {
            for (id, diff_id) in image.v1_ids.iter().rev().zip(image.diff_ids) {
                diff_ids.entry(id.clone()).or_insert(diff_id);
            }
        }
        Self { diff_ids }
    }

    /// Checks size and digests of a layer that the npm client has read, and says whether it was
    /// completed for v1.
    pub(crate) fn check(
        &self,
        id: &str,
        read: &Value,
        site: &Path,
        samples: &Layers,
    ) -> Result<bool> {
        let diff_id = self.diff_ids.get(id).context("an unknown image")?;
        let file = fs::read(site.join("v1/images").join(id).join("layer"))?;
        let plain = decompressed(&file)?;
        // Folders that a layer only implies go before it: Docker 1.x would make them unreadable. The blocks that
        // end a tar are added.
        let original = without_zeros(samples.plain(diff_id));
        ensure!(without_zeros(&plain).ends_with(original), "layer of {id}");
        let sha256 = digest(&file).split_off("sha256:".len());
        let known = json!({"diffId": digest(&plain), "size": file.len(), "sha256": sha256});
        same(&format!("layer of {id}"), read, &known)?;
        Ok(read["diffId"] != **diff_id)
    }
}

/// Id and ancestry of a tag that a client has read.
pub(crate) fn check_tag(tag: &str, found: &Value, ids: &[String]) -> Result<()> {
    same(&format!("id of {tag}"), &found["id"], &json!(ids[0]))?;
    same(
        &format!("ancestry of {tag}"),
        &found["ancestry"],
        &json!(ids),
    )
}

/// The JSON of each image of a chain that a client has read, from the top to the base.
pub(crate) fn check_chain(found: &[&Value], ids: &[String]) -> Result<()> {
    same("length of a chain", &found.len(), &ids.len())?;
    for (number, (json, id)) in found.iter().zip(ids).enumerate() {
        same("id", &json["id"], &json!(id))?;
        let parent = ids.get(number + 1).map(|id| json!(id));
        same(
            &format!("parent of {id}"),
            &json.get("parent"),
            &parent.as_ref(),
        )?;
    }
    Ok(())
}

fn same<T: PartialEq + Debug>(what: &str, got: &T, expected: &T) -> Result<()> {
    ensure!(
        got == expected,
        "{what}: expected {expected:?}, got {got:?}"
    );
    Ok(())
}
