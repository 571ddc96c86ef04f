//! The archive that `stillage export` writes: what one site has and another lacks, as a tar, or several (volumes).
//! ```text
//! oci-layout
//! index.json                   the manifests that are carried, by name: an OCI image layout
//! stillage-export.json         a [`Description`]
//! stillage-catalogue.json.gz   `index.json` of the site: all that it lists
//! stillage-volumes.json.gz     what each volume holds: [`Volumes`]; only if there are volumes
//! blobs/sha256/<hex>           manifests, configs, signatures, layers
//! v1/images/<id>/{json,checksum}     v1 images that came with a source
//! v1/images/<id>/layer         their layers that are no blobs
//! <path>.part<N>               a part of a file that is larger than a volume, from 1 on
//! SHA256SUMS                   the digests of all members before it, as `sha256sum` writes them
//! ```
//! A blob has its digest as its name, and all other members are in the last one: so one pass verifies an archive, and
//! each volume by itself. JSON comes first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bail_invalid;
use crate::error::{WithHint as _, invalid_input};
use crate::spec::digest::Digest;

pub const DESCRIPTION: &str = "stillage-export.json";
pub const CATALOGUE: &str = "stillage-catalogue.json.gz";
pub const VOLUMES: &str = "stillage-volumes.json.gz";
pub const SUMS: &str = "SHA256SUMS";

/// The most members of an archive that is read.
pub const MAX_MEMBERS: usize = 1 << 18;

/// The version of this format.
const FORMAT: u32 = 1;

/// What an export is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Description {
    /// The version of the format.
    pub format: u32,
    /// The digest of the catalogue.
    pub catalogue: Digest,
    /// The digest of the catalogue since which it is made: of the site that it adds to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// The content that manifests need and the site has that it adds to, with its length in bytes.
    #[serde(default)]
    pub requires: BTreeMap<Digest, u64>,
    /// The blobs that the layers of v1 images are, by the ids of these.
    #[serde(default)]
    pub v1_layers: BTreeMap<String, Digest>,
    /// Which volume this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Volume {
    /// From 1 on.
    pub number: u32,
    pub of: u32,
    /// The digest of the list of what the volumes hold, which is that of all volumes of an export alone.
    pub list: Digest,
}

/// What the volumes of an export hold, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Volumes {
    pub catalogue: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    pub volumes: Vec<Vec<Held>>,
}

/// A member of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Held {
    /// The path of the whole file.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// For a part of a file: its number, from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// A reference that needs it.
    pub of: String,
}

impl Held {
    /// The path of the member.
    pub fn member(&self) -> String {
        part_path(&self.path, self.part)
    }
}

/// The path of a file, or of a part of it.
pub fn part_path(path: &str, part: Option<u32>) -> String {
    part.map_or_else(|| path.to_owned(), |part| format!("{path}.part{part}"))
}

impl Description {
    pub fn new(catalogue: Digest, base: Option<Digest>) -> Self {
        Self {
            format: FORMAT,
            catalogue,
            base,
            requires: BTreeMap::new(),
            v1_layers: BTreeMap::new(),
            volume: None,
        }
    }

    /// # Errors
    /// If it is no description, or one of another version.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let invalid = |error| invalid_input(format!("`{DESCRIPTION}` is invalid: {error}"));
        let version: Version = serde_json::from_slice(bytes).map_err(invalid)?;
        if version.format != FORMAT {
            let text = format!(
                "the export has format {}, which this version of stillage does not know",
                version.format
            );
            return Err(invalid_input(text)).hint("use a newer version");
        }
        let description: Self = serde_json::from_slice(bytes).map_err(invalid)?;
        if let Some(Volume { number, of, .. }) = description.volume
            && !(1..=of).contains(&number)
        {
            bail_invalid!("`{DESCRIPTION}` is invalid: volume {number} of {of}");
        }
        Ok(description)
    }
}

/// A line of [`SUMS`].
pub fn sum_line(digest: &Digest, member: &str) -> String {
    format!("{}  {member}\n", digest.hex())
}

/// The digests of members by their names.
///
/// # Errors
/// If it is not what `sha256sum` writes.
pub fn parse_sums(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, Digest>> {
    let invalid = || invalid_input(format!("`{SUMS}` is invalid"));
    let text = std::str::from_utf8(bytes).map_err(|_| invalid())?;
    let line = |line: &str| {
        let (hex, member) = line.split_once("  ")?;
        Some((member.to_owned(), Digest::from_hex(hex).ok()?))
    };
    let sums: Option<_> = text.lines().map(line).collect();
    sums.ok_or_else(invalid)
}
