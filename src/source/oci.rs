//! `oci:` an OCI image layout in a folder (OCI image-spec `image-layout.md`).
//! ```text
//! oci-layout              {"imageLayoutVersion":"1.0.0"}
//! index.json              the manifests by name
//! blobs/sha256/<hex>      manifests, configs, layers
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::content::Content;
use crate::error::{escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{
    Attached, Blobs, Called, Draft, ManifestId, RootManifest, peek, with_children,
};
use crate::import::request::Request;
use crate::note::{Note, NoteKind};
use crate::site_files::catalogue::REF_NAME;
use crate::source::oci_names::{
    BASE_NAME, called, cosign_kind, is_of_same_name, name_of, nameless, root, takes,
};
use crate::source::{Fit, Format, Input};
use crate::spec::descriptor::{Children, Descriptor, EXPORTED};
use crate::spec::digest::Digest;
use crate::spec::go_json;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Tag;

pub const FORMAT: Format = Format {
    prefix: "oci",
    about: "an OCI image layout in a folder",
    reads: Input::Folder { fit, load },
    has_folders: true,
};

fn fit(folder: &Path) -> anyhow::Result<Fit> {
    let has = |name| Ok::<_, anyhow::Error>(fsx::meta(&folder.join(name))?.is_some());
    let has_index = has(INDEX)?;
    Ok(Fit::by(has_index && has("oci-layout")?, INDEX, has_index))
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let index = folder.join(INDEX);
    let content = Content::file(index.clone())?
        .with_context(|| format!("`{}` is missing", fsx::escaped_path(&index)))?;
    let mut index = Index::parse(&content)?;
    if fsx::meta(&folder.join("..").join(ZARF))?.is_some() {
        index.name_by_base();
    }
    let mut draft = Draft::new(format!("`{}`", fsx::escaped_path(folder)));
    index.add_to(&mut draft, &Folder(folder), request)?;
    Ok(vec![draft])
}

pub(super) const INDEX: &str = "index.json";
/// Beside the folder of a layout in a package of Zarf.
pub(super) const ZARF: &str = "zarf.yaml";

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
    #[serde(default, rename = "manifests")]
    pub entries: Children,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// In bytes. An index of many images may be longer than a manifest.
const MAX_INDEX: u64 = 16 * MAX_JSON;

impl Index {
    pub fn parse(content: &Content) -> anyhow::Result<Self> {
        go_json::parse(&content.read(MAX_INDEX)?)
            .with_context(|| format!("cannot read {}", content.origin()))
    }

    /// Whether it comes from a site, so that no manifest may change.
    pub(super) fn is_exported(&self) -> bool {
        self.annotations.contains_key(EXPORTED)
    }

    /// Names the entries without a name as Zarf up to 0.50 does. In other layouts, this annotation names the image
    /// that an image is based on.
    pub fn name_by_base(&mut self) {
        for entry in &mut self.entries.manifests {
            let base = entry.annotation(BASE_NAME).map(str::to_owned);
            if let (None, Some(base)) = (name_of(entry), base) {
                let annotations = entry.annotations.get_or_insert_default();
                annotations.insert(REF_NAME.into(), base);
            }
        }
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
        self.leave_out_unsupported(draft, request)?;
        let has_names = self
            .entries
            .manifests
            .iter()
            .any(|entry| name_of(entry).is_some());
        let (mut left, mut nameless, mut cosign) = (Vec::new(), Vec::new(), Vec::new());
        let mut skipped = BTreeSet::new();
        for descriptor in &self.entries.manifests {
            if let Some(kind) = cosign_kind(descriptor) {
                cosign.push((descriptor, kind));
                continue;
            }
            let Some(name) = name_of(descriptor) else {
                nameless.push(descriptor);
                continue;
            };
            let root = match root(descriptor, 0, request) {
                Ok(root) => root,
                Err(error) => {
                    draft.leave_out(request, Called::name(name), error)?;
                    None
                }
            };
            let Some(root) = root else {
                skipped.insert(descriptor.digest);
                continue;
            };
            let (repository, tag) = (root.repository.as_ref(), root.tag.as_ref());
            let is_wanted = takes(request, descriptor, &root);
            match tag.and_then(Tag::attached_to) {
                Some(to) if request.awaits_subject(is_wanted) => {
                    if request.takes_along(repository, tag) {
                        left.push(Attached {
                            repository: root.repository.clone(),
                            to,
                            is_wanted,
                            image: (descriptor, Some(root)),
                        });
                    }
                }
                _ if is_wanted => add(draft, blobs, descriptor, root, request)?,
                _ => drop(skipped.insert(descriptor.digest)),
            }
        }
        if !nameless.is_empty() {
            skipped = with_children(blobs, skipped)?;
        }
        nameless.retain(|descriptor| !skipped.contains(&descriptor.digest));
        if request.takes(None, None, None, None) {
            let mut found = Vec::new();
            for descriptor in nameless {
                draft.add_one_of(request, called(descriptor), |draft| {
                    found.push(nameless_root(draft, blobs, descriptor, request)?);
                    Ok(())
                })?;
            }
            place_nameless(draft, found, has_names);
        } else {
            for descriptor in nameless {
                left.extend(attached_nameless(blobs, descriptor)?);
            }
        }
        draft.add_attached(left, &skipped, |draft, (descriptor, root)| {
            if let Some(root) = root {
                return add(draft, blobs, descriptor, root, request);
            }
            draft.add_one_of(request, called(descriptor), |draft| {
                let root = nameless_root(draft, blobs, descriptor, request)?;
                place_nameless(draft, vec![root], has_names);
                Ok(())
            })
        })?;
        for (descriptor, kind) in cosign {
            self.add_cosign(draft, blobs, descriptor, kind, request)?;
        }
        Ok(())
    }

    fn leave_out_unsupported(
        &self,
        draft: &mut Draft,
        request: &Request<'_>,
    ) -> anyhow::Result<()> {
        for digest in &self.entries.unsupported {
            let called = Called::Nameless(format!("the manifest {}", escaped(digest)));
            let algorithm = digest.split(':').next().unwrap_or_default();
            let error = invalid_input(format!("`index.json`: `{algorithm}` is not supported"));
            draft.leave_out(request, called, error)?;
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
        let entries = self.entries.manifests.iter();
        let mut images =
            entries.filter(|other| cosign_kind(other).is_none() && draft.has(&other.digest));
        let mut named = images.clone();
        let named = named.find(|other| is_of_same_name(other, descriptor));
        let Some(image) = named.or_else(|| images.next()) else {
            if request.is_selective() {
                return Ok(());
            }
            draft.notes.push(NoteKind::Leftover.note(format!(
                "the manifest {} is left out: the image that it belongs to is missing",
                descriptor.digest
            )));
            return Ok(());
        };
        let mut roots = draft.roots.iter();
        let root = roots
            .clone()
            .find(|root| draft.manifests[root.manifest].digest() == Some(image.digest));
        let repository = root.or_else(|| roots.next());
        let repository = repository.and_then(|root| root.repository.clone());
        let tag = Some(Tag::attaching(&image.digest, kind));
        if !request.takes_along(repository.as_ref(), tag.as_ref()) {
            return Ok(());
        }
        draft.add_one_of(request, called(descriptor), |draft| {
            let root = nameless_root(draft, blobs, descriptor, request)?;
            draft.roots.push(RootManifest {
                repository,
                tag,
                ..root
            });
            Ok(())
        })
    }
}

/// Adds a named entry with everything that it refers to.
fn add(
    draft: &mut Draft,
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    root: RootManifest,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let name = request.reference_of(root.repository.as_ref(), root.tag.as_ref());
    let name = name.or_else(|| name_of(descriptor).map(str::to_owned));
    let called = name.map_or_else(|| called(descriptor), Called::name);
    draft.add_one_of(request, called, |draft| {
        let manifest = add_manifest(draft, blobs, descriptor, request)?;
        let root = RootManifest { manifest, ..root };
        draft.notes.extend(without_tag(descriptor, &root, request));
        draft.roots.push(root);
        Ok(())
    })
}

/// The note on an entry that is named by a digest, if the user gives no tag.
fn without_tag(
    descriptor: &Descriptor,
    root: &RootManifest,
    request: &Request<'_>,
) -> Option<Note> {
    let name = name_of(descriptor).filter(|_| root.tag.is_none() && request.name.is_none())?;
    let digest = descriptor.digest;
    let its = if name.ends_with(&digest.to_string()) {
        String::new()
    } else {
        format!(": its digest is {digest}, not that in its name")
    };
    let note = NoteKind::Choice.note(format!("`{}` has no tag{its}", escaped(name)));
    let repository = root.repository.as_ref();
    Some(match repository {
        Some(repository) => note.about(format!("{repository}@{digest}")),
        None => note.about(name),
    })
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

/// An entry, and its root manifest if it has a name.
type NamedEntry<'a> = (&'a Descriptor, Option<RootManifest>);

/// An entry without a name, if it is attached to another manifest.
fn attached_nameless<'a>(
    blobs: &dyn Blobs,
    descriptor: &'a Descriptor,
) -> anyhow::Result<Option<Attached<NamedEntry<'a>>>> {
    let subject = peek(blobs, &descriptor.digest)?.and_then(|manifest| manifest.subject);
    Ok(subject.map(|to| Attached {
        repository: None,
        to,
        is_wanted: false,
        image: (descriptor, None),
    }))
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
/// becomes a root, and needs a name. Beside entries with names it is what tools leave of a tag that has moved.
fn place_nameless(draft: &mut Draft, nameless: Vec<RootManifest>, has_names: bool) {
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
            None if has_names => draft.leave_out_nameless(&root.called),
            None => draft.roots.push(root),
        }
    }
}
