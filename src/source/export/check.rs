//! Verifies an export, or one volume of it, in one pass.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::content::Content;
use crate::error::{WithHint as _, escaped, is_bad};
use crate::fsx;
use crate::layer::Compression;
use crate::site_files::MAX_CATALOGUE;
use crate::source::export::unpacked;
use crate::source::members::{MAX_NAMES, about_tar};
use crate::source::tar_reader::{Kind, Stream, TarReader};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::site_export::{
    CATALOGUE, DESCRIPTION, Description, MAX_MEMBERS, SUMS, VOLUMES, Volume, Volumes, parse_sums,
};

/// What an archive says of itself, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Checked {
    /// Which volume it is, and what all volumes hold.
    pub volume: Option<(Volume, Volumes)>,
    /// One line each.
    pub problems: Vec<String>,
}

/// Reads an archive and compares each member with its digest.
///
/// # Errors
/// If it cannot be read, or is no export at all. What is wrong in it is a problem.
pub fn check(path: &Path, content: &Content) -> anyhow::Result<Checked> {
    let origin = format!("`{}`", fsx::escaped_path(path));
    let packed = Compression::of(content)?.decoder(content.open()?, content.len());
    let mut members = Members::default();
    let mut checked = Checked::default();
    let read = members.read(packed.map_err(|error| content.failed(error))?);
    if let Err(error) = read {
        let error = about_tar(error, &origin);
        if !is_bad(&error) {
            return Err(error);
        }
        checked.problems.push(error.root_cause().to_string());
    }
    if members.about.is_empty() {
        return Err(anyhow::anyhow!(
            "{origin} is not a site, nor is it an export"
        ))
        .hint("give the folder of a site, or what `stillage export` wrote");
    }
    members.judge(&mut checked);
    Ok(checked)
}

/// The members of an archive.
#[derive(Default)]
struct Members {
    digests: BTreeMap<String, Digest>,
    /// The members that say what it holds.
    about: BTreeMap<String, Vec<u8>>,
    name_bytes: usize,
}

impl Members {
    fn read(&mut self, archive: impl Read) -> anyhow::Result<()> {
        let mut tar = TarReader::new(Stream(archive));
        let mut buffer = vec![0; 1 << 18];
        while let Some(head) = tar.next()? {
            if matches!(head.kind, Kind::Folder) {
                continue;
            }
            let name = String::from_utf8_lossy(&head.name).into_owned();
            self.name_bytes += name.len();
            if self.digests.len() >= MAX_MEMBERS || self.name_bytes > MAX_NAMES {
                crate::bail_invalid!("it has too many members");
            }
            let mut hasher = Hasher::default();
            if [CATALOGUE, DESCRIPTION, SUMS, VOLUMES].contains(&name.as_str()) {
                let mut bytes = Vec::new();
                tar.by_ref().take(MAX_CATALOGUE).read_to_end(&mut bytes)?;
                hasher.update(&bytes);
                self.about.insert(name.clone(), bytes);
            }
            let mut left = head.stored;
            if let Some(bytes) = self.about.get(&name) {
                left -= bytes.len() as u64;
            }
            while left > 0 {
                let got = tar.read(&mut buffer)?;
                if got == 0 {
                    let text = format!("it is truncated in the member `{}`", escaped(name));
                    return Err(crate::error::invalid_input(text));
                }
                hasher.update(&buffer[..got]);
                left -= got as u64;
            }
            self.digests.insert(name, hasher.finish().0);
        }
        if tar.is_cut() {
            crate::bail_invalid!("it is truncated: the end-of-archive blocks are missing");
        }
        Ok(())
    }

    /// Compares the members with their digests, and reads what they say. Of an archive that is truncated, only what is
    /// there is compared.
    fn judge(mut self, checked: &mut Checked) {
        let is_whole = checked.problems.is_empty();
        let sums = self.about.remove(SUMS).unwrap_or_default();
        let sums = match parse_sums(&sums) {
            Ok(sums) if !sums.is_empty() => sums,
            _ if !is_whole => BTreeMap::new(),
            _ => {
                checked
                    .problems
                    .push(format!("it is not an export: it has no `{SUMS}`"));
                return;
            }
        };
        for (name, digest) in &self.digests {
            let of_name = name.strip_prefix("blobs/sha256/");
            let of_name = of_name.and_then(|hex| Digest::from_hex(hex).ok());
            let expected = of_name.or_else(|| sums.get(name).copied());
            let shown = escaped(name);
            match expected {
                Some(expected) if expected == *digest => {}
                Some(expected) => checked
                    .problems
                    .push(format!("`{shown}` has the digest {digest}, not {expected}")),
                None if name == SUMS || sums.is_empty() => {}
                None => checked
                    .problems
                    .push(format!("`{shown}` is not in `{SUMS}`")),
            }
        }
        let missing = sums.keys().filter(|name| !self.digests.contains_key(*name));
        let missing = missing.map(|name| format!("`{}` is missing", escaped(name)));
        checked.problems.extend(missing);
        checked.volume = self.volume();
    }

    fn volume(&self) -> Option<(Volume, Volumes)> {
        let description = Description::parse(self.about.get(DESCRIPTION)?).ok()?;
        let list = unpacked(&self.about.get(VOLUMES)?[..]).ok()?;
        let volume = description
            .volume
            .filter(|volume| volume.list == Digest::of(&list))?;
        Some((volume, serde_json::from_slice(&list).ok()?))
    }
}
