//! `dir:` a folder as `skopeo copy` writes it, with one image.
//! ```text
//! version                   Directory Transport Version: 1.1
//! manifest.json             the manifest or index
//! <hex>.manifest.json       the children of an index
//! <hex>                     configs and layers
//! signature-<N>             signatures, from 1 on; of a child <hex>.signature-<N>
//! ```

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{invalid_input, is_bad};
use crate::fsx;
use crate::import::draft::{Blobs, Called, Draft, RootManifest};
use crate::import::request::Request;
use crate::note::NoteKind;
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Tag;
use crate::spec::signature::{Attachment, MAX_SIGNATURE, MAX_SIGNATURES, Signature};

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
    let id = id.context("the manifest was just read")?;
    let mut root = RootManifest::nameless(id, "the image".into());
    for id in draft.members(&root) {
        let Some(signed) = draft.manifests[id].digest() else {
            continue;
        };
        let prefix = if signed == manifest.digest {
            String::new()
        } else {
            format!("{}.", signed.hex())
        };
        add_signatures(draft, folder, &prefix, signed, &mut root, request)?;
    }
    draft.roots.push(root);
    Ok(())
}

/// Adds the signatures of a manifest. Those of sigstore become a manifest with the tag by which it is found.
fn add_signatures(
    draft: &mut Draft,
    folder: &Path,
    prefix: &str,
    signed: Digest,
    root: &mut RootManifest,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let mut sigstore = Vec::new();
    for number in 1..=MAX_SIGNATURES {
        let path = folder.join(format!("{prefix}signature-{number}"));
        match signature(&path) {
            Ok(None) => break,
            Ok(Some((content, digest, Signature::Simple))) => {
                let job = draft.add_blob(content, digest, None, false);
                root.signatures.push((signed, job));
            }
            Ok(Some((.., Signature::Sigstore(signature)))) => sigstore.push(signature),
            Err(error) if is_bad(&error) => {
                let path = fsx::escaped_path(&path);
                let note = NoteKind::Fault.note(format!("`{path}` is left out: {error:#}"));
                draft.notes.push(match request.reference_of(None, None) {
                    Some(image) => note.about(image),
                    None => note,
                });
            }
            Err(error) => return Err(error),
        }
    }
    let tag = Tag::attaching(&signed, "sig");
    let name = request.name.or(request.path_name);
    let repository = name.map(|name| &name.repository);
    if sigstore.is_empty() || !request.takes_along(repository, Some(&tag)) {
        return Ok(());
    }
    let made = Attachment::new(&sigstore);
    let id = draft.add_manifest(
        &Made(&made, &draft.origin.clone()),
        &made.manifest,
        request.rules,
    )?;
    draft.roots.push(RootManifest {
        tag: Some(tag),
        ..RootManifest::nameless(
            id.context("the manifest was just made")?,
            format!("the signatures of {signed}"),
        )
    });
    Ok(())
}

/// A signature with its digest; `None` if there is no file. Nothing but the name of the folder says that it is meant,
/// so a link to some other file is none.
fn signature(path: &Path) -> anyhow::Result<Option<(Content, Digest, Signature)>> {
    if fsx::is_link(path)? {
        bail_invalid!("it is a link");
    }
    let Some(content) = Content::file(path.to_owned())? else {
        return Ok(None);
    };
    let bytes = content.read(MAX_SIGNATURE)?;
    let signature = Signature::parse(&bytes)?;
    Ok(Some((content, Digest::of(&bytes), signature)))
}

/// Content that was made, and the source that it is made of.
struct Made<'a>(&'a Attachment, &'a str);

impl Blobs for Made<'_> {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let bytes = self.0.content.get(digest).cloned();
        Ok(bytes.map(|bytes| Content::memory(bytes, format!("{digest}, made from {}", self.1))))
    }
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
