//! `export:` an archive that `stillage export` wrote: what another site has and this one may lack. See
//! [`crate::spec::site_export`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{Hint, escaped, invalid_input, is_bad};
use crate::import::draft::{Blobs as _, Draft, peek};
use crate::import::request::Request;
use crate::site_files::catalogue::{Catalogue, Entry};
use crate::site_files::places::Places;
use crate::site_files::{Carried, MAX_CATALOGUE, SiteFiles, blob_path};
use crate::source::archive::Archive;
use crate::source::tar_reader::{Stream, TarReader};
use crate::source::{Fit, Format, Input, site};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::name::Reference;
use crate::spec::site_export::{CATALOGUE, DESCRIPTION, Description, SUMS, VOLUMES, parse_sums};

pub const FORMAT: Format = Format {
    prefix: "export",
    about: "an archive by `stillage export`, or its volumes",
    reads: Input::Archive { fit, load },
    has_folders: false,
};

/// The most missing blobs that a message names.
const NAMED: usize = 10;

fn fit(archive: &Archive) -> Fit {
    Fit::by(archive.has(DESCRIPTION), DESCRIPTION, false)
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let description = description(archive)?;
    let catalogue = Catalogue::parse(&catalogue(archive, &description)?)?;
    let files = SiteFiles::carried(request.site, carried(archive, &description)?);
    let there = There::at(request.site)?;
    let mut draft = site::load_listed(&files, &catalogue, request, Some(&there))?;
    if !there.lacking.borrow().is_empty() {
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
    Description::parse(&archive.required(DESCRIPTION)?.read(MAX_CATALOGUE)?)
}

/// Compares with `SHA256SUMS` the members that say what an export is.
pub(super) fn confirm(archive: &Archive) -> anyhow::Result<()> {
    let sums = parse_sums(&archive.required(SUMS)?.read(MAX_CATALOGUE)?)?;
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

/// The site that an export adds to.
pub(super) struct There {
    files: SiteFiles,
    catalogue: Option<Catalogue>,
    /// The digest of its catalogue.
    state: Option<Digest>,
    /// What the export needs and neither has, each with a reference that needs it.
    lacking: RefCell<BTreeMap<Digest, String>>,
    /// The manifests that were looked at.
    seen: RefCell<BTreeSet<Digest>>,
}

impl There {
    fn at(root: &Path) -> anyhow::Result<Self> {
        let files = SiteFiles::new(root);
        let index = files.index()?;
        let index = index.as_ref();
        Ok(Self {
            catalogue: index.map(|bytes| Catalogue::parse(bytes)).transpose()?,
            state: index.map(|bytes| Digest::of(bytes)),
            files,
            lacking: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// Whether the site lists a reference just so, and the export does not carry it: then it stays as it is.
    pub(super) fn lists(&self, reference: &Reference, entry: &Entry, export: &SiteFiles) -> bool {
        let Reference {
            repository,
            tag,
            digest: Some(digest),
        } = reference
        else {
            return false;
        };
        let catalogue = self.catalogue.as_ref();
        let repo = catalogue.and_then(|catalogue| catalogue.repositories.get(repository));
        let has_v1 = catalogue.is_some_and(|catalogue| catalogue.apis.v1);
        repo.is_some_and(|repo| {
            let has_tag = |tag| repo.tags.get(tag) == Some(digest);
            let known = repo.manifests.get(digest);
            known.is_some_and(|known| known.is_same(entry, has_v1))
                && tag.as_ref().is_none_or(has_tag)
        }) && !export.carries(&blob_path(digest))
    }

    /// Whether neither the export nor the site has a manifest, or something that it needs: notes what.
    pub(super) fn lacks(
        &self,
        name: &str,
        digest: &Digest,
        blobs: &Places<'_>,
        export: &SiteFiles,
    ) -> anyhow::Result<bool> {
        let mut missing = Vec::new();
        let mut next = vec![*digest];
        while let Some(digest) = next.pop() {
            if !self.seen.borrow_mut().insert(digest) {
                continue;
            }
            let entry = blobs.repo.manifests.get(&digest);
            for blob in entry
                .iter()
                .flat_map(|entry| entry.foreign.iter().chain(&entry.signatures))
            {
                if !has(blobs, export, blob, None)? {
                    missing.push(*blob);
                }
            }
            if !has(blobs, export, &digest, None)? {
                missing.push(digest);
                continue;
            }
            let Some(manifest) = peek(blobs, &digest)? else {
                continue; // damaged: reading it says why
            };
            for blob in manifest.blobs() {
                if !has(blobs, export, &blob.digest, blob.size)? {
                    missing.push(blob.digest);
                }
            }
            let children = manifest.children().iter().map(|child| child.digest);
            next.extend(children.filter(|child| blobs.repo.manifests.contains_key(child)));
        }
        let is_lacking = !missing.is_empty();
        let mut lacking = self.lacking.borrow_mut();
        for digest in missing {
            lacking.entry(digest).or_insert_with(|| name.to_owned());
        }
        Ok(is_lacking)
    }

    fn refused(&self, archive: &Archive, description: &Description) -> anyhow::Error {
        let lacking = self.lacking.borrow();
        let mut names: Vec<String> = lacking
            .iter()
            .take(NAMED)
            .map(|(digest, name)| format!("{digest} of `{name}`"))
            .collect();
        let more = lacking.len().saturating_sub(NAMED);
        names.extend((more > 0).then(|| format!("{more} more")));
        let (origin, site) = (archive.origin(), self.files.origin());
        let error = invalid_input(format!(
            "{origin} does not carry, and {site} does not have: {}",
            names.join(", ")
        ));
        let Some(base) = description.base else {
            return error;
        };
        let state = self.state.map_or("there is none".into(), |state| {
            format!("its `index.json` has the digest {state}")
        });
        let hint = format!(
            "it adds to the site whose `index.json` has the digest {base}; here {state}: apply the exports between first, each \
             with a `build` of its own, or export again with `--since` of this site's `index.json`"
        );
        error.context(Hint(hint))
    }
}

/// Whether the export or the site has content, with this length in bytes if it is given.
fn has(
    blobs: &Places<'_>,
    export: &SiteFiles,
    digest: &Digest,
    size: Option<u64>,
) -> anyhow::Result<bool> {
    if export.carries(&blob_path(digest)) {
        return Ok(true);
    }
    let found = match blobs.blob(digest) {
        Err(error) if is_bad(&error) => None,
        found => found?,
    };
    Ok(found.is_some_and(|content| size.is_none_or(|size| content.len() == size)))
}

/// The catalogue that an export leads to. Reads no more of it than that.
///
/// # Errors
/// If it is not an export.
pub fn state(archive: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut tar = TarReader::new(Stream(archive));
    let mut described = None;
    while let Some(head) = tar.next()? {
        match &head.name[..] {
            name if name == DESCRIPTION.as_bytes() => {
                let mut bytes = Vec::new();
                tar.by_ref().take(MAX_CATALOGUE).read_to_end(&mut bytes)?;
                described = Some(Description::parse(&bytes)?);
            }
            name if name == CATALOGUE.as_bytes() => {
                let Some(description) = described else { break };
                let bytes = unpacked(tar.by_ref().take(head.stored))?;
                if Digest::of(&bytes) != description.catalogue {
                    bail_invalid!("`{CATALOGUE}` is damaged: it has another digest");
                }
                return Ok(bytes);
            }
            _ => {}
        }
    }
    bail_invalid!("it is neither the `index.json` of a site nor an export")
}
