//! Files that the catalogue does not ask for: content that is left is no finding, as long as it is what
//! its name says; anything else is one.

use crate::fsx;
use crate::ops::verify::{Depth, Finding, Kind, Problem, Verifier, or_error};
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::v1::Place;
use crate::writer::unplanned::{self, Unplanned};

impl Verifier<'_> {
    pub(super) fn extra(&self, file: &Unplanned) -> Option<Finding> {
        let problem = or_error(self.extra_problem(file))?;
        Some(Finding::new(file.path.clone(), problem))
    }

    fn extra_problem(&self, file: &Unplanned) -> anyhow::Result<Option<Problem>> {
        let stale = |text: &str| Ok(Some((Kind::Stale, text.to_owned())));
        let path = self.files.path(&file.path);
        let matches = match file.kind {
            unplanned::Kind::List | unplanned::Kind::Name => {
                return stale("the catalogue does not have it");
            }
            unplanned::Kind::Foreign => {
                let text = "it is not a file of the site";
                return Ok(Some((Kind::Foreign, text.into())));
            }
            _ if self.depth == Depth::Fast => return Ok(None),
            unplanned::Kind::Manifest(digest)
            | unplanned::Kind::Blob(digest)
            | unplanned::Kind::Content(digest) => {
                let Some(meta) = fsx::meta(&path)?.filter(|meta| meta.is_file) else {
                    return stale("it is not a regular file");
                };
                self.hash(path.clone(), meta)? == digest
                    // A signed schema 1 manifest is not known by the digest of its bytes.
                    || (meta.len <= MAX_JSON
                        && fsx::read(&path, MAX_JSON)?
                            .and_then(|bytes| Manifest::parse(bytes.into(), None).ok())
                            .is_some_and(|manifest| manifest.digest == digest))
            }
            unplanned::Kind::V1Json(id) => fsx::read(&path, MAX_JSON)?
                .and_then(|bytes| Place::parse(&bytes).ok())
                .is_some_and(|place| place.id == id),
            unplanned::Kind::V1Rest(id) => self.files.v1_json(id)?.is_some(),
        };
        if matches {
            return Ok(None);
        }
        stale("it is not what its name says, and nothing in the catalogue names it")
    }
}
