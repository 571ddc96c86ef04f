//! Files that the catalogue does not ask for: content that is left is no finding, as long as it is what
//! its name says; anything else is one.

use crate::fsx;
use crate::ops::verify::{Depth, Finding, Verifier};
use crate::site::unplanned::{Kind, Unplanned};
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::v1::Place;

impl Verifier<'_> {
    pub(super) fn extra(&self, file: &Unplanned) -> Option<Finding> {
        let problem = self.extra_problem(file);
        let problem = problem.unwrap_or_else(|error| Some(format!("{error:#}")))?;
        Some(Finding {
            path: file.path.clone(),
            problem,
        })
    }

    fn extra_problem(&self, file: &Unplanned) -> anyhow::Result<Option<String>> {
        let foreign = "nothing in the catalogue names it";
        let path = self.files.path(&file.path);
        let Some(meta) = fsx::meta(&path)?.filter(|meta| meta.is_file) else {
            return Ok(Some("it is no regular file".into()));
        };
        if self.depth == Depth::Fast && file.kind != Kind::Foreign {
            return Ok(None);
        }
        let matches = match file.kind {
            Kind::Foreign => return Ok(Some(foreign.into())),
            Kind::Manifest(digest) | Kind::Blob(digest) | Kind::Content(digest) => {
                self.hash(path.clone(), meta)? == digest
                    // A signed schema 1 manifest is not known by the digest of its bytes.
                    || (meta.len <= MAX_JSON
                        && fsx::read(&path, MAX_JSON)?
                            .and_then(|bytes| Manifest::parse(bytes.into(), None).ok())
                            .is_some_and(|manifest| manifest.digest == digest))
            }
            Kind::V1Json(id) => fsx::read(&path, MAX_JSON)?
                .and_then(|bytes| Place::parse(&bytes).ok())
                .is_some_and(|place| place.id == id),
            Kind::V1Rest(id) => self.files.v1_json(id)?.is_some(),
        };
        Ok((!matches).then(|| format!("it is not what its name says, and {foreign}")))
    }
}
