//! The v1 API (Docker Registry API v1, and what clients ask for beside it).
//! ```text
//! v1/_ping                                     {}
//! v1/search                                    all repositories
//! v1/images/<id>/{json,ancestry,layer}         and checksum, where json or layer cannot be derived
//! v1/repositories/<name>/images                [{"id":..}]
//! v1/repositories/<name>/tags/{index.json,index.html}   {"tag":"id"}
//! v1/repositories/<name>/tags/<tag>            "id"
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::json;

use crate::content::Content;
use crate::images::v1_claims::{Form, Layer};
use crate::images::v1_images::V1Image;
use crate::plan::Plan;
use crate::plan::tree::{File, Stage, Tree};
use crate::site_files;
use crate::site_files::catalogue::Catalogue;
use crate::spec::name::Repository;
use crate::spec::v1::{self, V1Id};

/// The files of one v1 image.
pub(super) fn image(
    tree: &mut Tree,
    plan: &Plan<'_>,
    id: V1Id,
    stage: Stage,
) -> anyhow::Result<()> {
    let image = &plan.v1.images[&id];
    let path = |name: &str| format!("v1/images/{id}/{name}");
    if image.form == Form::InSite {
        if stage == Stage::Manifest {
            if let Some(checksum) = image.vouched {
                tree.bytes(path("checksum"), format!("{checksum}\n").into_bytes())?;
            }
            tree.bytes(path("ancestry"), v1::ancestry_json(&plan.v1.ancestry(id)?))?;
        }
        return Ok(());
    }
    match (stage, &image.layer) {
        (Stage::Content, Layer::Blob(digest)) => tree.insert(path("layer"), File::Blob(*digest)),
        (Stage::Content, Layer::Own(digest)) => tree.insert(path("layer"), File::Own(*digest)),
        (Stage::Manifest, _) => {
            let json = json(plan, id, image)?;
            if is_not_derived(image) {
                let layer = layer(plan, image)?;
                tree.bytes(
                    path("checksum"),
                    format!("{}\n", site_files::checksum(&json, &layer)?).into_bytes(),
                )?;
            }
            tree.bytes(path("json"), json)?;
            tree.bytes(path("ancestry"), v1::ancestry_json(&plan.v1.ancestry(id)?))
        }
        (Stage::Content | Stage::Pointer, _) => Ok(()),
    }
}

fn json(plan: &Plan<'_>, id: V1Id, image: &V1Image) -> anyhow::Result<Vec<u8>> {
    match &image.form {
        Form::Dependency => Ok(v1::dependency_json(id, image.parent)),
        Form::Top(config) => v1::top_json(&plan.images.config(config)?.0, id, image.parent),
        Form::Stored(json) => Ok(json.to_vec()),
        Form::InSite => anyhow::bail!("the v1 image {id} is in the site already"),
    }
}

/// Whether the catalogue and the blobs are not enough to make the image again.
fn is_not_derived(image: &V1Image) -> bool {
    matches!(image.form, Form::Stored(_)) || matches!(image.layer, Layer::Own(_))
}

fn layer(plan: &Plan<'_>, image: &V1Image) -> anyhow::Result<Content> {
    let (Layer::Blob(digest) | Layer::Own(digest)) = &image.layer else {
        anyhow::bail!("the layer is in the site already");
    };
    let stored = plan
        .images
        .blobs
        .get(digest)
        .with_context(|| format!("the layer {digest} is missing"))?;
    Ok(stored.content.clone())
}

/// The files of one repository, under each of its names.
pub(super) fn repository(
    tree: &mut Tree,
    plan: &Plan<'_>,
    repository: &Repository,
) -> anyhow::Result<()> {
    let none = BTreeMap::new();
    let tags = plan.v1.tags.get(repository).unwrap_or(&none);
    let mut ids = BTreeSet::new();
    for top in tags.values() {
        ids.extend(plan.v1.ancestry(*top)?);
    }
    let images: Vec<_> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
    let map: BTreeMap<&str, String> = tags
        .iter()
        .map(|(tag, id)| (tag.as_str(), id.to_string()))
        .collect();
    let map = serde_json::to_vec(&map)?;
    for name in repository.published() {
        let path = |rest: &str| format!("v1/repositories/{name}/{rest}");
        tree.bytes(path("images"), serde_json::to_vec(&images)?)?;
        for (tag, id) in tags {
            tree.bytes(
                path(&format!("tags/{tag}")),
                format!("\"{id}\"").into_bytes(),
            )?;
        }
        tree.bytes(path("tags/index.json"), map.clone())?;
        tree.bytes(path("tags/index.html"), map.clone())?;
    }
    Ok(())
}

/// What lists all repositories; the `PyPI` client needs the namespace in each name.
pub(super) fn lists(tree: &mut Tree, catalogue: &Catalogue) -> anyhow::Result<()> {
    let results: Vec<_> = catalogue
        .repositories
        .keys()
        .map(|repository| json!({"name": repository.with_namespace(), "description": ""}))
        .collect();
    let search = json!({
        "num_pages": 1,
        "num_results": results.len(),
        "page": 1,
        "page_size": results.len().max(1),
        "query": "",
        "results": results,
    });
    tree.bytes("v1/search".into(), serde_json::to_vec(&search)?)?;
    tree.bytes("v1/_ping".into(), *b"{}")
}
