//! Files that the catalogue does not refer to. Unused content that matches its name is not a finding;
//! anything else is.

use crate::fsx;
use crate::ops::verify::{Depth, Finding, Kind, Problem, Verifier, or_error};
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::v1::ChainLink;
use crate::writer::unreferenced::{self, Unreferenced};

impl Verifier<'_> {
    pub(super) fn extra(&self, file: &Unreferenced) -> Option<Finding> {
        let problem = or_error(self.extra_problem(file))?;
        Some(Finding::new(file.path.clone(), problem))
    }

    fn extra_problem(&self, file: &Unreferenced) -> anyhow::Result<Option<Problem>> {
        let stale = |text: &str| Ok(Some((Kind::Stale, text.to_owned())));
        let path = self.files.path(&file.path);
        let matches = match file.kind {
            unreferenced::FileKind::List | unreferenced::FileKind::Pointer => {
                return stale("it is not in the catalogue");
            }
            unreferenced::FileKind::Foreign => {
                let text = "it is not a file of the site";
                return Ok(Some((Kind::Foreign, text.into())));
            }
            _ if self.depth == Depth::Fast => return Ok(None),
            unreferenced::FileKind::Manifest(digest)
            | unreferenced::FileKind::Blob(digest)
            | unreferenced::FileKind::Content(digest) => {
                let Some(meta) = fsx::meta(&path)?.filter(|meta| meta.is_file) else {
                    return stale("it is not a regular file");
                };
                self.hash(path.clone(), meta)? == digest
                    // The digest of a signed schema 1 manifest is not that of its bytes.
                    || (meta.len <= MAX_JSON
                        && fsx::read(&path, MAX_JSON)?
                            .and_then(|bytes| Manifest::parse(bytes.into(), None).ok())
                            .is_some_and(|manifest| manifest.digest == digest))
            }
            unreferenced::FileKind::V1Json(id) => fsx::read(&path, MAX_JSON)?
                .and_then(|bytes| ChainLink::parse(&bytes).ok())
                .is_some_and(|place| place.id == id),
            unreferenced::FileKind::V1Rest(id) => self.files.v1_json(id)?.is_some(),
        };
        if matches {
            return Ok(None);
        }
        stale("it does not match its name, and the catalogue does not refer to it")
    }
}
