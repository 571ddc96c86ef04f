//! buildah: no daemon, a store of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Client, Pulled, pull_quietly, strings, with_store};
use crate::support::files::Files;
use crate::support::process::run;
use crate::support::temp::TempDir;

/// An empty image store.
pub(crate) struct Buildah {
    scratch: TempDir,
}

impl Buildah {
    pub(crate) fn new() -> Self {
        Self {
            scratch: TempDir::new("buildah"),
        }
    }

    /// A `buildah` command with this store.
    pub(crate) fn command(&self) -> Command {
        with_store("buildah", self.scratch.path())
    }

    /// The tree of an image, seen through a container: buildah mounts nothing else.
    fn unpacked(&self, id: &str) -> Result<Files> {
        let container = run(self.command().args(["from", "--pull-never", id]))?;
        let container = container.trim();
        let folder = run(self.command().args(["mount", container]))?;
        let files = Files::of_folder(Path::new(folder.trim()))?;
        run(self.command().args(["rm", container]))?;
        Ok(files)
    }
}

impl Client for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn pull(&self, reference: &str, platform: Option<&str>) -> Result<Pulled> {
        let id = pull_quietly(self.command(), reference, platform)?;
        let id = id.as_str();
        let text = run(self.command().args(["inspect", "--type", "image", id]))?;
        let image: Value = serde_json::from_str(&text)?;
        let config = image["Config"].as_str().context("no config")?;
        // Of schema 1 it shows no config.
        let diff_ids = if config.is_empty() {
            Vec::new()
        } else {
            let config: Value = serde_json::from_str(config)?;
            strings(&config["rootfs"]["diff_ids"])?
        };
        let manifest = image["FromImageDigest"].as_str().context("no manifest")?;
        let pulled = Pulled {
            config_digest: Some(format!("sha256:{id}")),
            diff_ids,
            manifest_digests: vec![manifest.to_owned()],
            files: self.unpacked(id)?,
        };
        run(self.command().args(["rmi", "--force", id]))?;
        Ok(pulled)
    }
}
