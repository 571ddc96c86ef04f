//! `oci:` an OCI image layout in a folder (OCI image-spec `image-layout.md`).
//! ```text
//! oci-layout              {"imageLayoutVersion":"1.0.0"}
//! index.json              the manifests by name
//! blobs/sha256/<hex>      manifests, configs, layers
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::content::Content;
use crate::error::{escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{Attached, Blobs, Draft, ManifestId, RootManifest, peek, with_children};
use crate::import::request::Request;
use crate::note::NoteKind;
use crate::site_files::catalogue::REF_NAME;
use crate::source::{Format, Input};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Tag;

pub const FORMAT: Format = Format {
    prefix: "oci",
    about: "an OCI image layout in a folder",
    reads: Input::Folder { detect, load },
};

fn detect(folder: &Path) -> anyhow::Result<bool> {
    let has = |name| Ok::<_, anyhow::Error>(fsx::meta(&folder.join(name))?.is_some());
    Ok(has("oci-layout")? && has("index.json")?)
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let index = folder.join("index.json");
    let content = Content::file(index.clone())?
        .with_context(|| format!("`{}` is missing", fsx::escaped_path(&index)))?;
    let index = Index::parse(&content)?;
    let mut draft = Draft::new(format!("`{}`", fsx::escaped_path(folder)));
    index.add_to(&mut draft, &Folder(folder), request)?;
    Ok(vec![draft])
}

/// The blobs of the layout in this folder.
#[derive(Debug)]
pub struct Folder<'a>(pub &'a Path);

impl Blobs for Folder<'_> {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        Content::file(self.0.join("blobs/sha256").join(digest.hex()))
    }
}

/// The `index.json` of a layout.
#[derive(Debug, Deserialize)]
pub struct Index {
    pub manifests: Vec<Descriptor>,
}

/// The annotation with the full name of an image (containerd `images/annotations.go`).
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// In bytes. An index of many images may be longer than a manifest.
const MAX_INDEX: u64 = 16 * MAX_JSON;

impl Index {
    pub fn parse(content: &Content) -> anyhow::Result<Self> {
        serde_json::from_slice(&content.read(MAX_INDEX)?).map_err(|error| {
            invalid_input(error.to_string()).context(format!("cannot read {}", content.origin()))
        })
    }

    /// Adds the requested images. An entry without a name is added with what it belongs to: the index that
    /// lists it, or the manifest that it is attached to.
    ///
    /// # Errors
    /// If a manifest is missing or invalid.
    pub fn add_to(
        &self,
        draft: &mut Draft,
        blobs: &dyn Blobs,
        request: &Request<'_>,
    ) -> anyhow::Result<()> {
        let (mut left, mut nameless, mut cosign) = (Vec::new(), Vec::new(), Vec::new());
        let mut skipped = BTreeSet::new();
        for descriptor in &self.manifests {
            if let Some(kind) = cosign_kind(descriptor) {
                cosign.push((descriptor, kind));
            } else if name_of(descriptor).is_none() {
                nameless.push(descriptor);
            } else if let Some(root) = root(descriptor, 0, request)? {
                let (repository, tag) = (root.repository.as_ref(), root.tag.as_ref());
                let is_wanted = takes(request, descriptor, &root);
                match tag.and_then(Tag::attached_to) {
                    Some(to)
                        if request.is_selective() && request.one.is_none_or(|_| !is_wanted) =>
                    {
                        if request.takes_along(repository, tag) {
                            left.push(Attached {
                                repository: root.repository,
                                to,
                                is_wanted,
                                image: descriptor,
                            });
                        }
                    }
                    _ if is_wanted => add(draft, blobs, descriptor, request)?,
                    _ => drop(skipped.insert(descriptor.digest)),
                }
            } else {
                skipped.insert(descriptor.digest);
            }
        }
        if !nameless.is_empty() {
            skipped = with_children(blobs, skipped)?;
        }
        nameless.retain(|descriptor| !skipped.contains(&descriptor.digest));
        if request.takes(None, None, None, None) {
            let mut found = Vec::new();
            for descriptor in nameless {
                found.push(nameless_root(draft, blobs, descriptor, request)?);
            }
            place_nameless(draft, found);
        } else {
            for descriptor in nameless {
                let manifest = peek(blobs, &descriptor.digest)?;
                left.extend(
                    manifest
                        .and_then(|manifest| manifest.subject)
                        .map(|to| Attached {
                            repository: None,
                            to,
                            is_wanted: false,
                            image: descriptor,
                        }),
                );
            }
        }
        draft.add_attached(left, &skipped, |draft, descriptor| {
            if name_of(descriptor).is_some() {
                add(draft, blobs, descriptor, request)?;
            } else {
                let root = nameless_root(draft, blobs, descriptor, request)?;
                place_nameless(draft, vec![root]);
            }
            Ok(())
        })?;
        for (descriptor, kind) in cosign {
            self.add_cosign(draft, blobs, descriptor, kind, request)?;
        }
        Ok(())
    }

    /// Adds a manifest that cosign saved beside an image, under the tag that attaches it to the image.
    fn add_cosign(
        &self,
        draft: &mut Draft,
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        kind: &str,
        request: &Request<'_>,
    ) -> anyhow::Result<()> {
        let image = self
            .manifests
            .iter()
            .find(|other| cosign_kind(other).is_none() && draft.has(&other.digest));
        let Some(image) = image else {
            if request.is_selective() {
                return Ok(());
            }
            draft.notes.push(NoteKind::Leftover.note(format!(
                "the manifest {} is left out: the image that it belongs to is missing",
                descriptor.digest
            )));
            return Ok(());
        };
        let repository = draft.roots.first().and_then(|root| root.repository.clone());
        let tag = Some(Tag::attaching(&image.digest, kind));
        if !request.takes_along(repository.as_ref(), tag.as_ref()) {
            return Ok(());
        }
        let root = nameless_root(draft, blobs, descriptor, request)?;
        draft.roots.push(RootManifest {
            repository,
            tag,
            ..root
        });
        Ok(())
    }
}

/// Whether an entry is requested, by any of its names.
pub(super) fn takes(request: &Request<'_>, descriptor: &Descriptor, root: &RootManifest) -> bool {
    let names = [CONTAINERD_NAME, REF_NAME].map(|key| descriptor.annotation(key));
    let is_one = |name: &&str| request.one == Some(*name);
    let text = names.into_iter().flatten().find(is_one);
    let (repository, tag) = (root.repository.as_ref(), root.tag.as_ref());
    request.takes(text, repository, tag, Some(descriptor.digest))
}

/// Adds a named entry with everything that it refers to.
fn add(
    draft: &mut Draft,
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let manifest = add_manifest(draft, blobs, descriptor, request)?;
    draft.roots.extend(root(descriptor, manifest, request)?);
    Ok(())
}

fn add_manifest(
    draft: &mut Draft,
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    request: &Request<'_>,
) -> anyhow::Result<ManifestId> {
    let added = draft.add_manifest(blobs, descriptor, request.rules)?;
    added.ok_or_else(|| {
        invalid_input(format!(
            "the manifest {} is missing in {}",
            descriptor.digest, draft.origin
        ))
    })
}

/// Adds an entry that has no name, or whose name is ignored.
fn nameless_root(
    draft: &mut Draft,
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    request: &Request<'_>,
) -> anyhow::Result<RootManifest> {
    let manifest = add_manifest(draft, blobs, descriptor, request)?;
    Ok(nameless(descriptor, manifest))
}

/// Attaches nameless manifests to their subject. One that is neither attached nor the child of an index
/// becomes a root, and needs a name.
fn place_nameless(draft: &mut Draft, nameless: Vec<RootManifest>) {
    let children: BTreeSet<ManifestId> = draft.children().collect();
    for root in nameless {
        match draft.manifests[root.manifest].subject() {
            Some(subject) if draft.has(&subject) => draft
                .referrers
                .entry(subject)
                .or_default()
                .push(root.manifest),
            Some(subject) => draft.notes.push(NoteKind::Leftover.note(format!(
                "{} is left out: its subject {subject} is missing",
                root.called
            ))),
            None if children.contains(&root.manifest) => {}
            None => draft.roots.push(root),
        }
    }
}

/// The tag suffix for an entry that cosign saved beside an image (cosign `pkg/oci/layout/write.go`).
fn cosign_kind(descriptor: &Descriptor) -> Option<&'static str> {
    match descriptor
        .annotation("kind")?
        .strip_prefix("dev.cosignproject.cosign/")?
    {
        "sigs" => Some("sig"),
        "atts" => Some("att"),
        "sboms" => Some("sbom"),
        _ => None,
    }
}

/// The name of an entry: containerd's full name, otherwise the reference name of the layout.
fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let full = descriptor.annotation(CONTAINERD_NAME);
    full.or_else(|| descriptor.annotation(REF_NAME))
}

fn nameless(descriptor: &Descriptor, manifest: ManifestId) -> RootManifest {
    RootManifest {
        repository: None,
        tag: None,
        manifest,
        v1: None,
        called: format!("the manifest {}", descriptor.digest),
    }
}

/// The root manifest of an entry. A bare word as name is a tag (image-spec `annotations.md`). `None` if the
/// name is illegal and was not requested.
///
/// # Errors
/// If the name is illegal and may have been requested.
pub fn root(
    descriptor: &Descriptor,
    manifest: ManifestId,
    request: &Request<'_>,
) -> anyhow::Result<Option<RootManifest>> {
    let nameless = nameless(descriptor, manifest);
    let Some(name) = name_of(descriptor) else {
        return Ok(Some(nameless));
    };
    let called = format!("`{}`", escaped(name));
    let is_full = descriptor.annotation(CONTAINERD_NAME).is_some();
    if !is_full && !name.contains(['/', ':', '@']) {
        return match name.parse() {
            Ok(tag) => Ok(Some(RootManifest {
                tag: Some(tag),
                called,
                ..nameless
            })),
            Err(_) if request.one.is_some_and(|one| one != name) => Ok(None),
            Err(error) => Err(error),
        };
    }
    let reference = request.reference(name).map_err(|error| {
        error.context(format!(
            "the manifest {} has an illegal name",
            descriptor.digest
        ))
    })?;
    Ok(reference.map(|reference| {
        let is_bare = reference.tag.is_none() && reference.digest.is_none();
        RootManifest {
            repository: Some(reference.repository),
            tag: reference.tag.or_else(|| is_bare.then(Tag::latest)),
            called,
            ..nameless
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::draft::ImportOptions;
    use crate::import::selection::Selection;

    fn named(key: &str, name: &str) -> Option<(Option<String>, Option<String>)> {
        let descriptor: Descriptor = serde_json::from_str(&format!(
            r#"{{"digest":"{}","size":1,"annotations":{{"{key}":"{name}"}}}}"#,
            Digest::of(b"")
        ))
        .unwrap();
        let (rules, selection) = (ImportOptions::default(), Selection::default());
        let request = Request::new(&rules, &selection);
        let root = root(&descriptor, 0, &request).ok()??;
        Some((
            root.repository.map(|name| name.to_string()),
            root.tag.map(|tag| tag.to_string()),
        ))
    }

    #[test]
    fn entries_are_named_as_tools_name_them() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            named(REF_NAME, "sample/x:1"),
            Some((some("sample/x"), some("1")))
        );
        assert_eq!(named(REF_NAME, "latest"), Some((None, some("latest"))));
        assert_eq!(
            named(REF_NAME, "docker.io/library/tiny"),
            Some((some("tiny"), some("latest")))
        );
        assert_eq!(
            named(CONTAINERD_NAME, "docker.io/library/tiny:1"),
            Some((some("tiny"), some("1")))
        );
        assert_eq!(
            named(REF_NAME, &format!("x@{}", Digest::of(b""))),
            Some((some("x"), None))
        );
        assert_eq!(named("other", "x"), Some((None, None)));
        assert_eq!(named(REF_NAME, "InvalidInput/Name:1"), None);
        assert_eq!(named(REF_NAME, "-"), None);
    }
}
