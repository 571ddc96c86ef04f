//! What is in an image: the merged file tree of its layers, read from a folder or from the layers' tars.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, repeat};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::hand_site::sha256;

/// `sha256:<hex>` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// Bytes without the zeros that they end with.
pub(crate) fn without_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..end.map_or(0, |last| last + 1)]
}

/// The bytes behind gzip or zstd, told by their magic; other bytes as they are.
pub(crate) fn decompressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes).read_to_end(&mut plain)?;
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        zstd::Decoder::new(bytes)?.read_to_end(&mut plain)?;
    } else {
        plain.extend_from_slice(bytes);
    }
    Ok(plain)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    File { size: u64, digest: String },
    Link { target: String },
}

/// One path of an image: kind and content, permissions, owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    kind: Kind,
    /// None for a folder that no layer mentions: what clients give it differs (Docker 20.10: 0600).
    mode: Option<u32>,
    owner: (u64, u64),
    /// Extended attributes, as a tar has them.
    attributes: Vec<(String, Vec<u8>)>,
}

impl Entry {
    fn is(&self, expected: &Self) -> bool {
        let same_mode = expected.mode.is_none() || self.mode == expected.mode;
        let same_attributes = expected.mode.is_none() || self.attributes == expected.attributes;
        same_mode && same_attributes && self.kind == expected.kind && self.owner == expected.owner
    }
}

/// The merged file tree of an image, by path without a leading slash.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<String, Entry>);

impl Files {
    /// A tree that a client has unpacked.
    pub(crate) fn of_folder(root: &Path) -> Result<Self> {
        let mut files = Self::default();
        for entry in walkdir::WalkDir::new(root).min_depth(1) {
            let entry = entry?;
            let path = entry.path().strip_prefix(root)?.to_string_lossy();
            let meta = entry.metadata()?;
            let kind = if meta.is_dir() {
                Kind::Folder
            } else if meta.is_symlink() {
                let target = fs::read_link(entry.path())?;
                let target = target.to_string_lossy().into_owned();
                Kind::Link { target }
            } else {
                Kind::of_file(&fs::read(entry.path())?)
            };
            let mode = meta.permissions().mode();
            let owner = (meta.uid().into(), meta.gid().into());
            files.insert(path.into(), kind, mode, owner, Vec::new());
        }
        Ok(files)
    }

    /// The tree that layers give, uncompressed tars from the base to the top.
    pub(crate) fn of_layers<'a>(layers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self> {
        let mut files = Self::default();
        for (number, layer) in layers.into_iter().enumerate() {
            files.remove_whiteouts(layer)?;
            files
                .add_entries(layer)
                .with_context(|| format!("layer {number}"))?;
        }
        Ok(files)
    }

    /// The tree that Docker 1.x makes of layers: it passes over opaque whiteouts, and gives folders
    /// that a layer only implies mode 0600, even where a layer below has them.
    pub(crate) fn of_v1_layers<'a>(layers: impl IntoIterator<Item = &'a [u8]>) -> Result<Self> {
        let mut files = Self::default();
        for layer in layers {
            let mut own = Self::default();
            own.add_entries(layer)?;
            let mut hidden = Vec::new();
            for entry in archive(layer).entries()? {
                let path = name(&entry?)?;
                let (folder, base) = path.rsplit_once('/').unwrap_or(("", &path));
                let is_whiteout = base.starts_with(".wh.") && !base.starts_with(".wh..wh.");
                if is_whiteout {
                    hidden.push(
                        [folder, &base[4..]]
                            .join("/")
                            .trim_start_matches('/')
                            .to_owned(),
                    );
                }
                if is_whiteout || !base.starts_with(".wh.") {
                    own.insert_parents(&path);
                }
            }
            for path in &hidden {
                files.remove(path);
            }
            for (path, mut entry) in own.0 {
                if entry.kind != Kind::Folder {
                    files.remove(&path);
                }
                entry.mode = entry.mode.or(Some(0o600));
                files.0.insert(path, entry);
            }
        }
        Ok(files)
    }

    /// Says in which paths `self` is not what is expected.
    pub(crate) fn differences(&self, expected: &Self) -> Vec<String> {
        let mut paths: Vec<_> = self.0.keys().chain(expected.0.keys()).collect();
        paths.sort();
        paths.dedup();
        paths
            .into_iter()
            .map(|path| (path, self.0.get(path), expected.0.get(path)))
            .filter(|(_, got, expected)| match (got, expected) {
                (Some(got), Some(expected)) => !got.is(expected),
                _ => true,
            })
            .map(|(path, got, expected)| format!("{path}: expected {expected:?}, got {got:?}"))
            .collect()
    }

    /// Whiteouts act on the layers below only, so before a layer's own entries are added.
    fn remove_whiteouts(&mut self, layer: &[u8]) -> Result<()> {
        for entry in archive(layer).entries()? {
            let path = name(&entry?)?;
            let (folder, base) = path.rsplit_once('/').unwrap_or(("", &path));
            if base == ".wh..wh..opq" {
                self.remove_below(folder);
            } else if let Some(hidden) = base.strip_prefix(".wh.") {
                let hidden = [folder, hidden].join("/");
                self.remove(hidden.trim_start_matches('/'));
            }
        }
        Ok(())
    }

    fn add_entries(&mut self, layer: &[u8]) -> Result<()> {
        for entry in archive(layer).entries()? {
            let mut entry = entry?;
            let path = name(&entry)?;
            if path.is_empty() || path.split('/').any(|part| part.starts_with(".wh.")) {
                continue;
            }
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            let kind = match entry.header().entry_type() {
                EntryType::Directory => Kind::Folder,
                EntryType::Symlink => Kind::Link { target },
                EntryType::Link => {
                    let first = self.0.get(&clean(&target));
                    let first = first.with_context(|| format!("{path}: no {target} to link"))?;
                    let first = first.clone();
                    self.insert_parents(&path);
                    self.0.insert(path, first);
                    continue;
                }
                _ => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes)?;
                    Kind::of_file(&bytes)
                }
            };
            if kind != Kind::Folder {
                self.remove(&path);
            }
            let attributes = attributes(&mut entry)?;
            let header = entry.header();
            self.insert(
                path,
                kind,
                header.mode()?,
                (header.uid()?, header.gid()?),
                attributes,
            );
        }
        Ok(())
    }

    fn insert(
        &mut self,
        path: String,
        kind: Kind,
        mode: u32,
        owner: (u64, u64),
        attributes: Vec<(String, Vec<u8>)>,
    ) {
        // A link has no permissions of its own: Linux shows 0777, a tar may say anything.
        let mode = match kind {
            Kind::Link { .. } => 0o777,
            _ => mode & 0o7777,
        };
        let mode = Some(mode);
        self.insert_parents(&path);
        self.0.insert(
            path,
            Entry {
                kind,
                mode,
                owner,
                attributes,
            },
        );
    }

    /// Folders that no layer mentions are made by clients.
    fn insert_parents(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let folder = Entry {
                kind: Kind::Folder,
                mode: None,
                owner: (0, 0),
                attributes: Vec::new(),
            };
            self.0.entry(path[..end].to_owned()).or_insert(folder);
        }
    }

    fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, folder: &str) {
        let prefix = format!("{folder}/");
        self.0
            .retain(|path, _| !folder.is_empty() && !path.starts_with(&prefix));
    }
}

fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut attributes = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if extension.key()?.starts_with("SCHILY.xattr.") {
            attributes.push((
                extension.key()?.to_owned(),
                extension.value_bytes().to_vec(),
            ));
        }
    }
    Ok(attributes)
}

impl Kind {
    fn of_file(bytes: &[u8]) -> Self {
        Self::File {
            size: bytes.len() as u64,
            digest: digest(bytes),
        }
    }
}

/// Some builders (umoci) write no end mark and no padding, which every client accepts: add both.
fn archive(layer: &[u8]) -> tar::Archive<impl Read> {
    tar::Archive::new(layer.chain(repeat(0).take(4 * 512)))
}

fn name<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String> {
    let path = entry.path_bytes();
    Ok(clean(std::str::from_utf8(&path)?))
}

fn clean(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    path.trim_end_matches('/').to_owned()
}
