//! The v1 API (Docker Registry API v1, and other paths that clients request).
//! ```text
//! v1/_ping                                     {}
//! v1/search                                    all repositories
//! v1/images/<id>/{json,ancestry,layer}         and checksum, where json or layer cannot be derived
//! v1/repositories/<name>/images                [{"id":..}]
//! v1/repositories/<name>/tags/{index.json,index.html}   {"tag":"id"}
//! v1/repositories/<name>/tags/<tag>            "id"
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::images::v1_claims::{JsonSource, LayerSource};
use crate::plan::tree::{Derived, File, Stage, Tree};
use crate::plan::{Area, Plan};
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::{self, V1Id};

pub(super) const AREA: Area = Area {
    is_in: |catalogue| catalogue.apis.v1,
    repository,
    lists,
};

/// The files of one v1 image. For an image that the site keeps, only `ancestry` and, if the layer needs it,
/// `checksum` are planned.
pub(super) fn image(tree: &mut Tree, plan: &Plan<'_>, id: V1Id) -> anyhow::Result<()> {
    let image = &plan.v1.images[&id];
    let path = |name: &str| format!("v1/images/{id}/{name}");
    let is_new = image.form != JsonSource::InSite;
    match &image.layer {
        LayerSource::Blob(digest) if is_new => {
            tree.insert(path("layer"), Stage::Content, File::Blob(*digest))?;
        }
        LayerSource::Own(digest) if is_new => {
            tree.insert(path("layer"), Stage::Content, File::Own(*digest))?;
        }
        _ => {}
    }
    let has_checksum = if is_new {
        !image.is_derived()
    } else {
        image.checksum.is_some()
    };
    if has_checksum {
        let checksum = File::V1(id, Derived::Checksum);
        tree.insert(path("checksum"), Stage::Manifest, checksum)?;
    }
    if is_new {
        tree.insert(path("json"), Stage::V1Json, File::V1(id, Derived::Json))?;
    }
    let ancestry = v1::ancestry_json(&plan.v1.ancestry(id)?);
    tree.bytes(path("ancestry"), Stage::Manifest, ancestry)
}

/// The list of the tags of a repository, with their images.
pub(crate) fn tag_list(tags: &BTreeMap<Tag, V1Id>) -> anyhow::Result<Vec<u8>> {
    let map: BTreeMap<&str, String> = tags
        .iter()
        .map(|(tag, id)| (tag.as_str(), id.to_string()))
        .collect();
    Ok(serde_json::to_vec(&map)?)
}

/// The files of one repository, under each of its names.
fn repository(tree: &mut Tree, plan: &Plan<'_>, repository: &Repository) -> anyhow::Result<()> {
    let none = BTreeMap::new();
    let tags = plan.v1.tags.get(repository).unwrap_or(&none);
    let mut ids = BTreeSet::new();
    for top in tags.values() {
        ids.extend(plan.v1.ancestry(*top)?);
    }
    let images: Vec<_> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
    let map = tag_list(tags)?;
    for name in repository.aliases() {
        let path = |rest: &str| format!("v1/repositories/{name}/{rest}");
        tree.bytes(path("images"), Stage::Pointer, serde_json::to_vec(&images)?)?;
        for (tag, id) in tags {
            let path = path(&format!("tags/{tag}"));
            tree.bytes(path, Stage::Pointer, format!("\"{id}\"").into_bytes())?;
        }
        tree.bytes(path("tags/index.json"), Stage::TagList, map.clone())?;
        tree.bytes(path("tags/index.html"), Stage::TagList, map.clone())?;
    }
    Ok(())
}

/// The client `docker-registry-client` from `PyPI` needs a namespace in each name.
fn lists(tree: &mut Tree, plan: &Plan<'_>) -> anyhow::Result<()> {
    let results: Vec<_> = plan
        .catalogue
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
    tree.bytes(
        "v1/search".into(),
        Stage::List,
        serde_json::to_vec(&search)?,
    )?;
    tree.bytes("v1/_ping".into(), Stage::Pointer, *b"{}")
}
