//! `dir:` a folder as `skopeo copy` writes it, with one image.
//! ```text
//! version                   Directory Transport Version: 1.1
//! manifest.json             the manifest or index
//! <hex>.manifest.json       the children of an index
//! <hex>                     configs and layers
//! ```

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::content::Content;
use crate::error::invalid_input;
use crate::fsx;
use crate::import::draft::{Blobs, Called, Draft, RootManifest};
use crate::import::request::Request;
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};

const VERSION: &[u8] = b"Directory Transport Version:";

pub const FORMAT: Format = Format {
    prefix: "dir",
    about: "a folder as `skopeo copy` writes it",
    reads: Input::Folder { fit, load },
    has_folders: true,
};

fn fit(folder: &Path) -> anyhow::Result<Fit> {
    let mut start = Vec::new();
    if let Some((file, _)) = fsx::open_regular(&folder.join("version"))? {
        let _ = file.take(VERSION.len() as u64).read_to_end(&mut start);
    }
    let has_manifest = fsx::meta(&folder.join(MANIFEST))?.is_some();
    Ok(Fit::by(start == VERSION, MANIFEST, has_manifest))
}

const MANIFEST: &str = "manifest.json";

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let mut draft = Draft::new(format!("`{}`", fsx::escaped_path(folder)));
    if !request.takes(None, None, None, None) {
        return Ok(vec![draft]);
    }
    let name = request.reference_of(None, None);
    let called = name.map_or_else(|| Called::Nameless("the image".into()), Called::name);
    draft.add_one_of(request, called, |draft| add(draft, folder, request))?;
    Ok(vec![draft])
}

fn add(draft: &mut Draft, folder: &Path, request: &Request<'_>) -> anyhow::Result<()> {
    let missing = || invalid_input(format!("`manifest.json` is missing in {}", draft.origin));
    let content = Content::file(folder.join(MANIFEST))?.ok_or_else(missing)?;
    let manifest = Manifest::parse(content.read(MAX_JSON)?, None)
        .with_context(|| format!("cannot read {}", content.origin()))?;
    let id = draft.add_manifest(
        &Folder(folder, manifest.digest),
        &manifest.descriptor(),
        request.rules,
    )?;
    let manifest = id.context("the manifest was just read")?;
    draft.roots.push(RootManifest {
        repository: None,
        tag: None,
        manifest,
        v1: None,
        called: "the image".into(),
    });
    Ok(())
}

/// The folder, and the digest of its `manifest.json`.
struct Folder<'a>(&'a Path, Digest);

impl Blobs for Folder<'_> {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        if *digest == self.1 {
            return Content::file(self.0.join(MANIFEST));
        }
        match Content::file(self.0.join(digest.hex()))? {
            Some(content) => Ok(Some(content)),
            None => Content::file(self.0.join(format!("{}.manifest.json", digest.hex()))),
        }
    }
}
