//! `clients`: the files that make clients use a site.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use walkdir::WalkDir;

use crate::client_config::{Address, CLIENTS, File, Setup, Upstream};
use crate::error::WithHint as _;
use crate::{fsx, site};

pub struct ClientsOptions {
    pub site: PathBuf,
    pub address: Address,
    /// The registries that it mirrors; of a site with full names, those in its names if there are none here.
    pub upstreams: Vec<Upstream>,
    /// The certificates of the CA, in PEM.
    pub ca: Option<PathBuf>,
}

/// The most bytes of the certificates.
const MAX_PEM: u64 = 1 << 20;

/// Makes the files, each with the folder of its client.
///
/// # Errors
/// If there is no site, the certificates are none, or the options contradict the site or themselves.
pub fn files(options: &ClientsOptions) -> anyhow::Result<Vec<(&'static str, File)>> {
    let (_, catalogue) = site::read(&options.site)?;
    let ca = options.ca.as_deref().map(read_pem).transpose()?;
    let upstreams = if options.upstreams.is_empty() {
        Setup::upstreams_of(&catalogue, &options.address)
    } else {
        let given = options.upstreams.iter();
        given
            .map(|upstream| Setup::upstream_in(&catalogue, upstream))
            .collect()
    };
    let setup = Setup {
        address: options.address.clone(),
        upstreams,
        ca,
        catalogue,
    };
    setup.check()?;
    Ok(setup.files())
}

/// Writes the files below a folder, in the place of others of their names. Returns their paths.
pub fn write(files: &[(&'static str, File)], folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let write = |(client, file): &(&str, File)| {
        let path = folder.join(client).join(&file.path);
        fsx::replace_below(&path, file.text.as_bytes())?;
        Ok(path)
    };
    files.iter().map(write).collect()
}

/// The files in the folders of clients that are not among these: those that an earlier run has left.
///
/// # Errors
/// If a folder cannot be read.
pub fn leftovers(folder: &Path, written: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for client in CLIENTS {
        let entries = WalkDir::new(folder.join(client.name)).sort_by_file_name();
        for entry in entries {
            let entry = match entry {
                Err(error) if error.depth() == 0 => continue,
                entry => entry?,
            };
            if !entry.file_type().is_dir() && !written.iter().any(|path| path == entry.path()) {
                left.push(entry.into_path());
            }
        }
    }
    Ok(left)
}

fn read_pem(path: &Path) -> anyhow::Result<String> {
    let shown = fsx::escaped_path(path);
    let bytes = fsx::read(path, MAX_PEM)?;
    let bytes = bytes.with_context(|| format!("`{shown}` does not exist"))?;
    let text = String::from_utf8(bytes).ok();
    let is_pem = |text: &String| text.contains("-----BEGIN CERTIFICATE-----");
    let has_key = text
        .as_ref()
        .is_some_and(|text| text.contains("PRIVATE KEY"));
    if has_key {
        return Err(anyhow::anyhow!("`{shown}` has a private key"))
            .hint("give the certificate of the CA alone: the file is copied to every client");
    }
    text.filter(is_pem)
        .with_context(|| format!("`{shown}` has no certificate in PEM"))
}
