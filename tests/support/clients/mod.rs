//! Real clients that pull from a registry: each with a state folder of its own, each told to forget
//! an image once it has been looked at, so that the next pull fetches every blob again.

mod buildah;
mod ctr;
mod docker;
mod oras;
mod podman;
mod skopeo;
mod v1;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::files::Files;
use super::process::{run, tool};

pub(crate) use buildah::Buildah;
pub(crate) use ctr::Ctr;
pub(crate) use docker::Docker;
pub(crate) use oras::Oras;
pub(crate) use podman::Podman;
pub(crate) use skopeo::Skopeo;
pub(crate) use v1::{Npm, PyPi};

/// What a client says about an image that it has pulled, and what it has made of the layers.
#[derive(Debug)]
pub(crate) struct Pulled {
    /// The image id; none of a client that has no config, since schema 1 has none.
    pub(crate) config_digest: Option<String>,
    /// From the base to the top; none where the client does not say them, of schema 1.
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

    /// Whether it makes a manifest and a config of its own of schema 1.
    fn converts_schema1(&self) -> bool {
        false
    }

    /// Copies whatever has a manifest, with everything that it points to, and gives all digests, the
    /// manifest's first. None of a client that takes images only.
    fn copy(&self, _reference: &str) -> Option<Result<Vec<String>>> {
        None
    }
}

/// A script in `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    in_tests("clients").join(name)
}

/// What `tests/run.sh` installs below `tests`.
///
/// # Panics
/// When it is not there: a test without its program fails, it is never skipped.
pub(crate) fn installed(path: &str) -> PathBuf {
    let path = in_tests(path);
    let missing = format!("{} is missing: run tests/run.sh", path.display());
    assert!(path.exists(), "{missing}");
    path
}

fn in_tests(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests").join(path)
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

/// A command of podman or buildah with an image store in a folder.
fn with_store(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(tool(program));
    command
        .arg("--root")
        .arg(folder.join("root"))
        .arg("--runroot")
        .arg(folder.join("run"))
        .args(["--storage-driver", "vfs"]);
    command
}

/// Pulls by podman or buildah; gives the image id.
fn pull_quietly(mut command: Command, reference: &str, platform: Option<&str>) -> Result<String> {
    command.args(["pull", "--quiet", "--tls-verify=false"]);
    if let Some(platform) = platform {
        command.args(["--platform", platform]);
    }
    Ok(run(command.arg(reference))?.trim().to_owned())
}
