//! Real clients that pull from a registry: each with a state folder of its own, each told to forget
//! an image once it has been looked at, so that the next pull fetches every blob again.

mod ctr;
mod docker;
mod podman;
mod skopeo;

use anyhow::{Context, Result};
use serde_json::Value;

use super::files::Files;

pub(crate) use ctr::Ctr;
pub(crate) use docker::Docker;
pub(crate) use podman::Podman;
pub(crate) use skopeo::Skopeo;

/// What a client says about an image that it has pulled, and what it has made of the layers.
#[derive(Debug)]
pub(crate) struct Pulled {
    /// The image id.
    pub(crate) config_digest: String,
    /// From the base to the top.
    pub(crate) diff_ids: Vec<String>,
    /// Every digest that the client knows the image by: of its manifest, maybe of its index.
    pub(crate) manifest_digests: Vec<String>,
    /// The unpacked tree.
    pub(crate) files: Files,
}

/// A client that can pull an image, say what it is and forget it.
pub(crate) trait Client {
    /// How the tests' tables call it.
    fn name(&self) -> &'static str;

    /// Pulls `host:port/name:tag` or `host:port/name@digest`; of an index, the image for
    /// `platform` (`os/architecture[/variant]`).
    fn pull(&self, reference: &str, platform: Option<&str>) -> Result<Pulled>;
}

/// The strings of a JSON list.
fn strings(list: &Value) -> Result<Vec<String>> {
    let list = list.as_array().context("not a JSON list")?;
    let strings = list.iter().map(|item| Some(item.as_str()?.to_owned()));
    strings.collect::<Option<_>>().context("not a string")
}

/// The id of the file system that layers make together, as dockerd and containerd compute it.
fn chain_id(diff_ids: &[String]) -> Option<String> {
    let mut diff_ids = diff_ids.iter();
    let base = diff_ids.next()?.clone();
    Some(diff_ids.fold(base, |below, diff_id| {
        super::files::digest(format!("{below} {diff_id}").as_bytes())
    }))
}
