//! The clients of the matrix, each with what is compared after its pulls.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Known;
use crate::support::clients::{Buildah, Client, Ctr, Docker, Npm, Oras, Podman, PyPi, Skopeo};
use crate::support::expected::Expected;
use crate::support::judge::{pull_image, pull_layers};
use crate::support::v1_images::{check_chain, check_tag};

/// A column of the table.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) start: fn() -> Box<dyn Puller>,
    /// Whether it asks for `v1/repositories/<name>/tags/<tag>`.
    pub(super) needs_single_tags: bool,
}

pub(super) static COLUMNS: [Column; 8] = [
    Column {
        name: "docker",
        start: || Box::new(Docker::start()),
        needs_single_tags: false,
    },
    Column {
        name: "podman",
        start: || Box::new(Podman::new()),
        needs_single_tags: false,
    },
    Column {
        name: "buildah",
        start: || Box::new(Buildah::new()),
        needs_single_tags: false,
    },
    Column {
        name: "skopeo",
        start: || Box::new(Skopeo::new()),
        needs_single_tags: false,
    },
    Column {
        name: "ctr",
        start: || Box::new(Ctr::start()),
        needs_single_tags: false,
    },
    Column {
        name: "oras",
        start: || Box::new(Oras),
        needs_single_tags: false,
    },
    Column {
        name: "npm v1",
        start: || Box::new(Npm),
        needs_single_tags: true,
    },
    Column {
        name: "PyPI v1",
        start: || Box::new(PyPi),
        needs_single_tags: false,
    },
];

/// A client as the matrix uses it.
pub(super) trait Puller {
    /// Whether it can name this.
    fn takes(&self, _target: &Expected) -> bool {
        true
    }

    fn pull_and_compare(&self, port: u16, target: &Expected, known: &Known) -> Result<()>;
}

impl<C: Client> Puller for C {
    fn pull_and_compare(&self, port: u16, target: &Expected, known: &Known) -> Result<()> {
        let reference = reference(port, target);
        for image in &target.images {
            pull_image(self, &reference, target, image, &known.samples)?;
        }
        Ok(())
    }
}

impl Puller for Oras {
    fn pull_and_compare(&self, port: u16, target: &Expected, _known: &Known) -> Result<()> {
        pull_layers(&reference(port, target), target)
    }
}

impl Puller for Npm {
    fn takes(&self, target: &Expected) -> bool {
        target.tag.is_some()
    }

    fn pull_and_compare(&self, port: u16, target: &Expected, known: &Known) -> Result<()> {
        let got = Self::read(port, [v1_reference(target)])?;
        let ids = &target.v1_image().v1_ids;
        check_tags(&got, target)?;
        let chain = ids.iter().map(|id| &got["images"][id]["json"]);
        check_chain(&chain.collect::<Vec<_>>(), ids)?;
        for id in ids {
            let layer = &got["images"][id]["layer"];
            known
                .v1_layers
                .check(id, layer, known.site, &known.samples)?;
        }
        Ok(())
    }
}

impl Puller for PyPi {
    fn takes(&self, target: &Expected) -> bool {
        target.tag.is_some()
    }

    fn pull_and_compare(&self, port: u16, target: &Expected, _known: &Known) -> Result<()> {
        let got = Self::read(port, [v1_reference(target)])?;
        let chain = check_tags(&got, target)?["json"].as_array();
        let chain = chain.context("no list")?;
        check_chain(&chain.iter().collect::<Vec<_>>(), &target.v1_image().v1_ids)
    }
}

fn reference(port: u16, target: &Expected) -> String {
    format!("127.0.0.1:{port}/{}", target.reference())
}

/// `name=tag`, as the scripts of the v1 clients take it.
fn v1_reference(target: &Expected) -> String {
    let tag = target.tag.as_deref().unwrap_or_default();
    format!("{}={tag}", target.name)
}

/// What a v1 client has read of the target's tag.
fn check_tags<'a>(got: &'a Value, target: &Expected) -> Result<&'a Value> {
    let tag = target.tag.as_deref().unwrap_or_default();
    let found = &got["repositories"][&target.name];
    let found = found.get("tags").unwrap_or(found);
    let ids = &target.v1_image().v1_ids;
    ensure!(!ids.is_empty(), "{} is not known in v1", target.name);
    check_tag(&target.reference(), &found[tag], ids)?;
    Ok(&found[tag])
}
