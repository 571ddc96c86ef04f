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

    /// The digest that registries know a manifest by: of schema 1 not that of its bytes.
    fn manifest_digest(&self, folder: &Path) -> Result<String> {
        let file = folder.join("manifest.json");
        let digest = run(self.command().arg("manifest-digest").arg(file))?;
        Ok(digest.trim().to_owned())
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
        let pulled = read(&folder, || self.manifest_digest(&folder))?;
        fs::remove_dir_all(&folder)?;
        Ok(pulled)
    }

    fn copy(&self, reference: &str) -> Option<Result<Vec<String>>> {
        Some(self.copy_all(reference))
    }
}

/// Reads a `dir:` copy of one image.
fn read(folder: &Path, manifest_digest: impl Fn() -> Result<String>) -> Result<Pulled> {
    let bytes = fs::read(folder.join("manifest.json"))?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    if manifest["schemaVersion"] == 1 {
        let layers = layers_of_schema1(folder, &manifest)?;
        return pulled(manifest_digest()?, None, &layers);
    }
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        let media_type = layer["mediaType"].as_str().unwrap_or_default();
        let image = media_type.contains(".layer.") || media_type.contains(".rootfs.");
        ensure!(image, "not an image: {media_type}");
    }
    let config_digest = text(&manifest["config"]["digest"])?;
    let config: Value = serde_json::from_slice(&blob(folder, config_digest)?)?;
    let diff_ids = strings(&config["rootfs"]["diff_ids"])?;
    let mut layers = Vec::new();
    for layer in manifest["layers"].as_array().context("no layers")? {
        layers.push(decompressed(&blob(folder, text(&layer["digest"])?)?)?);
    }
    let pulled = pulled(digest(&bytes), Some(config_digest.to_owned()), &layers)?;
    ensure!(
        pulled.diff_ids == diff_ids,
        "diff IDs {diff_ids:?}, layers {:?}",
        pulled.diff_ids
    );
    Ok(pulled)
}

/// The layers from the base to the top; schema 1 lists them from the top, with empty ones between
/// them that today's images leave out.
fn layers_of_schema1(folder: &Path, manifest: &Value) -> Result<Vec<Vec<u8>>> {
    let list = |key: &str| manifest[key].as_array().context("no list");
    let mut layers = Vec::new();
    for (layer, history) in list("fsLayers")?.iter().zip(list("history")?).rev() {
        let layer = blob(folder, text(&layer["blobSum"])?)?;
        let image: Value = serde_json::from_str(text(&history["v1Compatibility"])?)?;
        if image["throwaway"] != true {
            layers.push(decompressed(&layer)?);
        }
    }
    Ok(layers)
}

fn pulled(manifest: String, config: Option<String>, layers: &[Vec<u8>]) -> Result<Pulled> {
    Ok(Pulled {
        config_digest: config,
        diff_ids: layers.iter().map(|layer| digest(layer)).collect(),
        manifest_digests: vec![manifest],
        files: Files::of_layers(layers.iter().map(Vec::as_slice))?,
    })
}

/// A blob, which must have the digest that names it.
fn blob(folder: &Path, digest: &str) -> Result<Vec<u8>> {
    let hex = digest.trim_start_matches("sha256:");
    verified(folder, hex, hex)?;
    Ok(fs::read(folder.join(hex))?)
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

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .with_context(|| format!("not a string: {value}"))
}
