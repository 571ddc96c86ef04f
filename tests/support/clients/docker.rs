//! Docker Engine: a `dockerd` of its own, without networks and containers.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Client, Pulled, chain_id, strings};
use crate::support::files::Files;
use crate::support::process::{Daemon, run, tool};
use crate::support::temp::TempDir;

/// A running engine with an empty image store.
pub(crate) struct Docker {
    // Fields are dropped in order: the daemon ends before its folder goes.
    _daemon: Daemon,
    scratch: TempDir,
}

impl Docker {
    /// Starts the engine and waits for it.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        Self::start_by(&[], more)
    }

    /// The same, by a command that runs another.
    pub(crate) fn start_by(runner: &[String], more: &[&str]) -> Self {
        let scratch = TempDir::new("docker");
        let at = |name: &str| scratch.path().join(name).display().to_string();
        let (root, exec, pidfile) = (at("root"), at("exec"), at("pid"));
        let host = format!("unix://{}", at("sock"));
        #[rustfmt::skip]
        let args = [
            "--data-root", &root, "--exec-root", &exec, "--pidfile", &pidfile, "--host", &host,
            "--storage-driver", "vfs", "--bridge", "none", "--ip-masq=false",
            "--iptables=false", "--ip6tables=false",
        ];
        let dockerd = tool("dockerd").display().to_string();
        let runner = runner.iter().map(String::as_str);
        let words: Vec<&str> = runner
            .chain([dockerd.as_str()])
            .chain(args)
            .chain(more.iter().copied())
            .collect();
        let daemon = Daemon::start(Path::new(words[0]), &words[1..], Path::new(&at("log")))
            .wait_until(|| run(command(scratch.path()).arg("info")).is_ok());
        Self {
            _daemon: daemon,
            scratch,
        }
    }

    /// A `docker` command for this engine.
    pub(crate) fn command(&self) -> Command {
        command(self.scratch.path())
    }

    /// What `docker image inspect` says.
    pub(crate) fn inspect(&self, reference: &str) -> Result<Value> {
        let text = run(self.command().args(["image", "inspect", reference]))?;
        Ok(serde_json::from_str::<Value>(&text)?[0].take())
    }

    /// The config of an image as the engine has stored it.
    pub(crate) fn stored_config(&self, hex: &str) -> String {
        let folder = self
            .scratch
            .path()
            .join("root/image/vfs/imagedb/content/sha256");
        fs::read_to_string(folder.join(hex)).unwrap()
    }

    /// Where the engine's file driver has unpacked these layers.
    fn unpacked(&self, diff_ids: &[String]) -> Result<Files> {
        let Some(chain_id) = chain_id(diff_ids) else {
            return Ok(Files::default());
        };
        let root = self.scratch.path().join("root");
        let layer = root
            .join("image/vfs/layerdb")
            .join(chain_id.replace(':', "/"));
        let folder = fs::read_to_string(layer.join("cache-id"))?;
        Files::of_folder(&root.join("vfs/dir").join(folder))
    }
}

impl Client for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn pull(&self, reference: &str, platform: Option<&str>) -> Result<Pulled> {
        let mut pull = self.command();
        pull.args(["pull", "--quiet"]);
        if let Some(platform) = platform {
            pull.args(["--platform", platform]);
        }
        run(pull.arg(reference))?;
        let image = self.inspect(reference)?;
        let id = image["Id"].as_str().context("an image without an id")?;
        let diff_ids = strings(&image["RootFS"]["Layers"])?;
        let pulled = Pulled {
            config_digest: Some(id.to_owned()),
            files: self.unpacked(&diff_ids)?,
            diff_ids,
            manifest_digests: strings(&image["RepoDigests"])?
                .iter()
                .filter_map(|name| Some(name.split_once('@')?.1.to_owned()))
                .collect(),
        };
        run(self.command().args(["rmi", "--force", id]))?;
        Ok(pulled)
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(tool("docker"));
    command
        .env("DOCKER_HOST", format!("unix://{}/sock", folder.display()))
        // Not the user's own: a login or a context there would change what is tested.
        .env("DOCKER_CONFIG", folder.join("config"))
        .env_remove("DOCKER_CONTEXT");
    command
}
