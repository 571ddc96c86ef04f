//! containerd: a daemon of its own, driven by `ctr`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Client, Pulled, chain_id, strings};
use crate::support::files::Files;
use crate::support::process::{Daemon, run, tool};
use crate::support::temp::TempDir;

/// A running containerd with an empty store.
pub(crate) struct Ctr {
    // Fields are dropped in order: the daemon ends before its folder goes.
    _daemon: Daemon,
    scratch: TempDir,
}

impl Ctr {
    /// Starts the daemon and waits for it.
    pub(crate) fn start() -> Self {
        let scratch = TempDir::new("containerd");
        let at = |name: &str| scratch.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("sock")
        );
        fs::write(at("config.toml"), config).expect("its configuration");
        let args = ["--config", &at("config.toml")];
        let daemon = Daemon::start(&tool("containerd"), &args, Path::new(&at("log")))
            .wait_until(|| run(command(scratch.path()).arg("version")).is_ok());
        Self {
            _daemon: daemon,
            scratch,
        }
    }

    /// A `ctr` command with this store.
    pub(crate) fn command(&self) -> Command {
        command(self.scratch.path())
    }

    /// A JSON blob from the content store.
    fn json(&self, digest: &str) -> Result<Value> {
        let store = "root/io.containerd.content.v1.content/blobs";
        let path = self.scratch.path().join(store);
        let path = path.join(digest.replace(':', "/"));
        Ok(serde_json::from_slice(
            &fs::read(&path).with_context(|| path.display().to_string())?,
        )?)
    }

    /// The digest that the image's name stands for.
    pub(crate) fn target(&self, reference: &str) -> Result<String> {
        let filter = format!("name=={reference}");
        let list = run(self.command().args(["images", "ls", &filter]))?;
        let digest = list.split_whitespace().find(|w| w.starts_with("sha256:"));
        Ok(digest.context("no image in the list")?.to_owned())
    }

    fn unpacked(&self, diff_ids: &[String]) -> Result<Files> {
        let Some(chain_id) = chain_id(diff_ids) else {
            return Ok(Files::default());
        };
        let snapshots = ["snapshots", "--snapshotter", "native"];
        // A read-only view of a snapshot is the snapshot's own folder, named in the mount command
        // that `--target` prints. Nothing refers to the view: the garbage collector may be faster.
        let view = ["view", "--target", "/", "look", &chain_id];
        let mount = run(self.command().args(snapshots).args(view))?;
        let mut words = mount.split_whitespace();
        let folder = words.find(|word| word.contains("/snapshots/"));
        let files = Files::of_folder(Path::new(folder.with_context(|| mount.clone())?))?;
        let _ = run(self.command().args(snapshots).args(["rm", "look"]));
        Ok(files)
    }
}

impl Client for Ctr {
    fn name(&self) -> &'static str {
        "ctr"
    }

    fn converts_schema1(&self) -> bool {
        true
    }

    fn pull(&self, reference: &str, platform: Option<&str>) -> Result<Pulled> {
        let mut pull = self.command();
        pull.args(["images", "pull", "--plain-http", "--snapshotter", "native"]);
        if let Some(platform) = platform {
            pull.args(["--platform", platform]);
        }
        let pulled = run(pull.arg(reference)).and_then(|_| self.read(reference, platform));
        // Even a failed pull may leave the image's name, so its blobs.
        run(self.command().args(["images", "rm", "--sync", reference]))?;
        pulled
    }
}

impl Ctr {
    /// Pulls from where the configuration in a folder sends it (containerd's `hosts.toml`).
    pub(crate) fn pull_by(&self, hosts: &Path, reference: &str) -> Result<Pulled> {
        let mut pull = self.command();
        pull.args(["images", "pull", "--snapshotter", "native", "--hosts-dir"]);
        let pulled = run(pull.arg(hosts).arg(reference)).and_then(|_| self.read(reference, None));
        run(self.command().args(["images", "rm", "--sync", reference]))?;
        pulled
    }

    fn read(&self, reference: &str, platform: Option<&str>) -> Result<Pulled> {
        let target = self.target(reference)?;
        let mut manifest_digests = vec![target.clone()];
        let mut manifest = self.json(&target)?;
        if let Some(children) = manifest["manifests"].as_array() {
            let child = children
                .iter()
                .find(|child| platform_of(child) == platform.unwrap_or_default());
            let digest = child.and_then(|child| child["digest"].as_str());
            let digest = digest.context("no image for the platform")?;
            manifest_digests.push(digest.to_owned());
            manifest = self.json(digest)?;
        }
        let config_digest = manifest["config"]["digest"].as_str().context("no config")?;
        let config = self.json(config_digest)?;
        let diff_ids = strings(&config["rootfs"]["diff_ids"])?;
        Ok(Pulled {
            config_digest: Some(config_digest.to_owned()),
            files: self.unpacked(&diff_ids)?,
            diff_ids,
            manifest_digests,
        })
    }
}

/// `os/architecture[/variant]` of an index entry.
fn platform_of(child: &Value) -> String {
    ["os", "architecture", "variant"]
        .iter()
        .filter_map(|key| child["platform"][key].as_str())
        .collect::<Vec<_>>()
        .join("/")
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(tool("ctr"));
    command
        .arg("--address")
        .arg(folder.join("sock"))
        .args(["--namespace", "test"]);
    command
}
