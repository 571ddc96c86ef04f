//! Podman: no daemon, a store of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Client, Pulled, pull_quietly, strings, with_store};
use crate::support::files::Files;
use crate::support::process::run;
use crate::support::temp::TempDir;

/// An empty image store.
pub(crate) struct Podman {
    scratch: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Self {
        Self {
            scratch: TempDir::new("podman"),
        }
    }

    /// A `podman` command with this store.
    pub(crate) fn command(&self) -> Command {
        with_store("podman", self.scratch.path())
    }
}

impl Client for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn pull(&self, reference: &str, platform: Option<&str>) -> Result<Pulled> {
        let id = pull_quietly(self.command(), reference, platform)?;
        let id = id.as_str();
        let text = run(self.command().args(["image", "inspect", id]))?;
        let image = &serde_json::from_str::<Value>(&text)?[0];
        let folder = run(self.command().args(["image", "mount", id]))?;
        let manifest = image["Digest"].as_str().context("no manifest digest")?;
        let mut manifest_digests = vec![manifest.to_owned()];
        for name in strings(&image["RepoDigests"])? {
            manifest_digests.extend(name.split_once('@').map(|(_, digest)| digest.to_owned()));
        }
        let mut diff_ids = strings(&image["RootFS"]["Layers"])?;
        // Of schema 1 it says as many empty ones.
        diff_ids.retain(|diff_id| !diff_id.is_empty());
        let pulled = Pulled {
            config_digest: Some(format!("sha256:{id}")),
            diff_ids,
            manifest_digests,
            files: Files::of_folder(Path::new(folder.trim()))?,
        };
        run(self.command().args(["image", "unmount", id]))?;
        run(self.command().args(["rmi", "--force", id]))?;
        Ok(pulled)
    }
}
