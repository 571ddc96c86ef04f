//! Files that the catalogue does not refer to. Unused content that matches its name is not a finding;
//! anything else is.

use std::path::Path;

use crate::fsx::{self, Meta};
use crate::ops::verify::{Depth, Finding, Kind, Problem, Verifier, damaged, or_error};
use crate::spec::digest::Digest;
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
        if file.kind.is_name() && self.is_unplanned_yet(&file.path) {
            return Ok(None);
        }
        let matches = match file.kind {
            unreferenced::FileKind::List | unreferenced::FileKind::Pointer => {
                return stale("it is not in the catalogue");
            }
            unreferenced::FileKind::Foreign
                if fsx::is_link(&path)? && !fsx::canonical(&path).starts_with(&self.root) =>
            {
                return Ok(Some(damaged("it is a link that leads out of the site")));
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
                self.matches(&path, meta, digest)?
            }
            unreferenced::FileKind::V1Json(id) => fsx::read(&path, MAX_JSON)?
                .and_then(|bytes| ChainLink::parse(&bytes).ok())
                .is_some_and(|place| place.id == id),
            // A run that was interrupted has not written the JSON yet.
            unreferenced::FileKind::V1Rest(_) => true,
        };
        if matches {
            return Ok(None);
        }
        stale("it does not match its name, and the catalogue does not refer to it")
    }

    /// Whether a file has the content of a digest. That of a signed schema 1 manifest is not of its bytes.
    pub(super) fn matches(&self, path: &Path, meta: Meta, digest: Digest) -> anyhow::Result<bool> {
        if self.hash(path.to_owned(), meta)? == digest {
            return Ok(true);
        }
        if meta.len > MAX_JSON {
            return Ok(false);
        }
        let bytes = fsx::read(path, MAX_JSON)?;
        let manifest = bytes.and_then(|bytes| Manifest::parse(bytes.into(), None).ok());
        Ok(manifest.is_some_and(|manifest| manifest.digest == digest))
    }
}
