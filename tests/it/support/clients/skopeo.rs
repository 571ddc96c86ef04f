//! skopeo: copies what a registry has to a folder of blobs, byte for byte.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Client, Pulled, strings};
use crate::support::files::{Files, decompressed, digest};
use crate::support::process::{run, tool};
use crate::support::temp::TempDir;

/// skopeo has no state; this is where its copies go.
pub(crate) struct Skopeo {
    scratch: TempDir,
}

impl Skopeo {
    pub(crate) fn new() -> Self {
        Self {
            scratch: TempDir::new("skopeo"),
        }
    }

    /// A `skopeo` command that asks for no signatures.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(tool("skopeo"));
        // `/var/tmp` is where big blobs go otherwise.
        command
            .arg("--insecure-policy")
            .arg("--tmpdir")
            .arg(self.scratch.path());
        command
    }

    /// Copies a reference with everything that it points to, verifies each blob,
    /// and gives the digests of all manifests and blobs, the manifest asked for first.
    pub(crate) fn copy_all(&self, reference: &str) -> Result<Vec<String>> {
        let folder = self.scratch.path().join("all");
        run(self
            .command()
            .args(["copy", "--quiet", "--all", "--src-tls-verify=false"])
            .arg(format!("docker://{reference}"))
            .arg(format!("dir:{}", folder.display())))?;
        let mut digests = vec![digest(&fs::read(folder.join("manifest.json"))?)];
        for file in fs::read_dir(&folder)? {
            let file = file?.file_name();
            let name = file.to_string_lossy();
            if name != "manifest.json" && name != "version" {
                digests.push(verified(
                    &folder,
                    &name,
                    name.trim_end_matches(".manifest.json"),
                )?);
            }
        }
        fs::remove_dir_all(&folder)?;
        Ok(digests)
    }
}

impl Client for Skopeo {
    fn name(&self) -> &'static str {
        "skopeo"
    }

    fn pull(&self, reference: &str, platform: Option<&str>) -> Result<Pulled> {
        let folder = self.scratch.path().join("image");
        let mut copy = self.command();
        let flags = ["--override-os", "--override-arch", "--override-variant"];
        for (flag, value) in flags.iter().zip(platform.unwrap_or_default().split('/')) {
            if platform.is_some() {
                copy.args([flag, value]);
            }
        }
        copy.args(["copy", "--quiet", "--src-tls-verify=false"])
            .arg(format!("docker://{reference}"))
            .arg(format!("dir:{}", folder.display()));
        run(&mut copy)?;
        let pulled = read(&folder)?;
        fs::remove_dir_all(&folder)?;
        Ok(pulled)
    }
}

/// Reads a `dir:` copy of one image.
fn read(folder: &Path) -> Result<Pulled> {
    let bytes = fs::read(folder.join("manifest.json"))?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        let media_type = layer["mediaType"].as_str().unwrap_or_default();
        let image = media_type.contains(".layer.") || media_type.contains(".rootfs.");
        ensure!(image, "not an image: {media_type}");
    }
    let config_digest = blob_digest(&manifest["config"])?;
    let config = fs::read(folder.join(hex(&config_digest)))?;
    ensure!(
        digest(&config) == config_digest,
        "{config_digest}: another digest"
    );
    let config: Value = serde_json::from_slice(&config)?;
    let diff_ids = strings(&config["rootfs"]["diff_ids"])?;
    let mut layers = Vec::new();
    for layer in manifest["layers"].as_array().context("no layers")? {
        let name = blob_digest(layer)?;
        let name = hex(&name);
        verified(folder, name, name)?;
        layers.push(decompressed(&fs::read(folder.join(name))?)?);
    }
    let unpacked: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
    ensure!(
        unpacked == diff_ids,
        "diff IDs {diff_ids:?}, layers {unpacked:?}"
    );
    Ok(Pulled {
        config_digest,
        diff_ids,
        manifest_digests: vec![digest(&bytes)],
        files: Files::of_layers(layers.iter().map(Vec::as_slice))?,
    })
}

/// The digest of a file whose name says it.
fn verified(folder: &Path, file: &str, hex: &str) -> Result<String> {
    let digest = digest(&fs::read(folder.join(file))?);
    ensure!(
        digest == format!("sha256:{hex}"),
        "{file} has the digest {digest}"
    );
    Ok(digest)
}

fn blob_digest(descriptor: &Value) -> Result<String> {
    let digest = descriptor["digest"].as_str();
    Ok(digest.context("a descriptor without a digest")?.to_owned())
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}
