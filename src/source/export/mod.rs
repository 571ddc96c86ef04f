//! `export:` an archive that `stillage export` wrote: what another site has and this one may lack. See
//! [`crate::spec::site_export`].
//! ```text
//! mod.rs      reading one: all of it, or only the state that it leads to
//! there.rs    the site that one adds to: what it lists already, and what it lacks
//! volumes.rs  volumes, which are one archive together
//! check.rs    verifying one in one pass
//! ```

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::escaped;
use crate::import::draft::{Draft, ImportOptions};
use crate::import::request::Request;
use crate::site_files::catalogue::Catalogue;
use crate::site_files::{Carried, MAX_CATALOGUE, SiteFiles};
use crate::source::archive::Archive;
use crate::source::tar_reader::{Stream, TarReader};
use crate::source::{Fit, Format, Input, site};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::site_export::{CATALOGUE, DESCRIPTION, Description, SUMS, VOLUMES, parse_sums};

pub mod check;
mod there;
pub mod volumes;

pub(super) use there::There;

pub const FORMAT: Format = Format {
    prefix: "export",
    about: "an archive by `stillage export`, or its volumes",
    reads: Input::Archive { fit, load },
    has_folders: false,
};

/// The most bytes of what an archive says of itself, without its catalogue.
pub(super) const MAX_ABOUT: u64 = 64 << 20;

fn fit(archive: &Archive) -> Fit {
    Fit::by(archive.has(DESCRIPTION), DESCRIPTION, false)
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let description = description(archive)?;
    let catalogue = Catalogue::parse(&catalogue(archive, &description)?)?;
    let files = SiteFiles::carried(request.site, carried(archive, &description)?);
    let there = There::at(request.site)?;
    let rules = ImportOptions {
        v1: request.rules.v1 && there.takes_v1(),
        ..request.rules.clone()
    };
    let request = Request {
        rules: &rules,
        ..request.clone()
    };
    let mut draft = site::load_listed(&files, &catalogue, &request, Some(&there))?;
    if there.is_lacking() {
        return Err(there.refused(archive, &description));
    }
    // One delivery: it has all that it lists.
    if !draft.faults.is_empty() {
        let fault = draft.faults.swap_remove(0);
        let names = fault.called.names();
        let name = names.first().map(|name| format!("`{}`", escaped(name)));
        return Err(fault.error.context(name.unwrap_or_default()));
    }
    Ok(vec![draft])
}

/// The description of an export.
pub(super) fn description(archive: &Archive) -> anyhow::Result<Description> {
    Description::parse(&archive.required(DESCRIPTION)?.read(MAX_ABOUT)?)
}

/// Compares with `SHA256SUMS` the members that say what an export is.
pub(super) fn confirm(archive: &Archive) -> anyhow::Result<()> {
    let sums = parse_sums(&archive.required(SUMS)?.read(MAX_ABOUT)?)?;
    let members = [DESCRIPTION, CATALOGUE, VOLUMES, "index.json", "oci-layout"];
    for member in members.iter().filter(|member| archive.has(member)) {
        let digest = archive.required(member)?.hash(Hasher::default())?;
        if sums.get(*member) != Some(&digest) {
            bail_invalid!(
                "`{member}` of {} is damaged: `{SUMS}` has another digest",
                archive.origin()
            );
        }
    }
    Ok(())
}

/// The bytes of the catalogue.
pub(super) fn catalogue(archive: &Archive, description: &Description) -> anyhow::Result<Vec<u8>> {
    let packed = archive.required(CATALOGUE)?;
    let bytes = unpacked(packed.open()?).map_err(|error| packed.failed(error))?;
    if Digest::of(&bytes) != description.catalogue {
        bail_invalid!("{} is damaged: it has another digest", packed.origin());
    }
    Ok(bytes)
}

/// Unpacks JSON, up to the longest catalogue.
pub(super) fn unpacked(packed: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = GzDecoder::new(packed).take(MAX_CATALOGUE + 1);
    reader.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_CATALOGUE {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// The files of the site in an archive.
fn carried(archive: &Archive, description: &Description) -> anyhow::Result<Carried> {
    let mut files: BTreeMap<String, Content> = BTreeMap::new();
    let is_file = |name: &&str| name.starts_with("blobs/") || name.starts_with("v1/");
    for name in archive.names().filter(is_file) {
        files.insert(name.to_owned(), archive.required(name)?);
    }
    let layers = description.v1_layers.iter();
    Ok(Carried {
        origin: archive.origin().to_owned(),
        files,
        v1_layers: layers
            .map(|(id, digest)| Ok((id.parse()?, *digest)))
            .collect::<anyhow::Result<_>>()?,
    })
}

/// The catalogue that an export leads to; `None` if the archive is no export. Reads no more of it than that.
pub fn state(archive: impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    let mut tar = TarReader::new(Stream(archive));
    let mut described = None;
    while let Some(head) = tar.next()? {
        match &head.name[..] {
            name if name == DESCRIPTION.as_bytes() => {
                let mut bytes = Vec::new();
                tar.by_ref().take(MAX_ABOUT).read_to_end(&mut bytes)?;
                described = Some(Description::parse(&bytes)?);
            }
            name if name == CATALOGUE.as_bytes() => {
                let Some(description) = described else { break };
                let bytes = unpacked(tar.by_ref().take(head.stored))?;
                if Digest::of(&bytes) != description.catalogue {
                    bail_invalid!("`{CATALOGUE}` is damaged: it has another digest");
                }
                return Ok(Some(bytes));
            }
            _ => {}
        }
    }
    Ok(None)
}
