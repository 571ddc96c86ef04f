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

use crate::catalogue::REF_NAME;
use crate::content::Content;
use crate::draft::{Blobs, Draft, ManifestId, Root, Rules};
use crate::error::{bad, shown};
use crate::fsx;
use crate::note::Kind;
use crate::source::{Format, Opened};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::Tag;

/// An OCI image layout in a folder.
#[derive(Debug)]
pub struct Oci;

impl Format for Oci {
    fn prefix(&self) -> &'static str {
        "oci"
    }

    fn about(&self) -> &'static str {
        "an OCI image layout in a folder"
    }

    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        let Some(folder) = opened.folder() else {
            return Ok(false);
        };
        let has = |name| Ok::<_, anyhow::Error>(fsx::meta(&folder.join(name))?.is_some());
        Ok(has("oci-layout")? && has("index.json")?)
    }

    fn load(
        &self,
        opened: &Opened,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<Vec<Draft>> {
        let folder = opened.folder().context("a layout is a folder")?;
        let index = folder.join("index.json");
        let content = Content::file(index.clone())?
            .with_context(|| format!("`{}` is missing", fsx::shown_path(&index)))?;
        let index = Index::parse(&content)?;
        let mut draft = Draft::new(format!("`{}`", fsx::shown_path(folder)));
        index.add_to(&mut draft, &Folder(folder), selected, rules)?;
        Ok(vec![draft])
    }
}

/// The blobs of a layout in a folder.
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
    /// Its entries.
    pub manifests: Vec<Descriptor>,
}

/// The annotation with the whole name of an image (containerd `images/annotations.go`).
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// An index of many images may be longer than a manifest.
const MAX_INDEX: u64 = 16 * MAX_JSON;

impl Index {
    /// Reads an `index.json`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(content: &Content) -> anyhow::Result<Self> {
        serde_json::from_slice(&content.read(MAX_INDEX)?).map_err(|error| {
            bad(error.to_string()).context(format!("cannot read {}", content.origin()))
        })
    }

    /// Adds the images that the index names. What it lists without a name goes along with what it
    /// belongs to: the child of an index, or what is attached to a manifest.
    ///
    /// # Errors
    /// When a manifest is missing or broken.
    pub fn add_to(
        &self,
        draft: &mut Draft,
        blobs: &dyn Blobs,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<()> {
        let mut later = Vec::new();
        for descriptor in &self.manifests {
            let name = descriptor.annotation(REF_NAME);
            let wanted = selected.is_none_or(|selected| name == Some(selected));
            if let Some(kind) = cosign_kind(descriptor) {
                later.push((descriptor, Some(kind)));
            } else if name.is_none() && descriptor.annotation(CONTAINERD_NAME).is_none() || !wanted
            {
                later.push((descriptor, None));
            } else {
                let root = add(draft, blobs, descriptor, rules)?;
                draft.roots.push(root);
            }
        }
        let mut nameless = Vec::new();
        for (descriptor, _) in later.iter().filter(|(_, kind)| kind.is_none()) {
            if descriptor.annotation(REF_NAME).is_some() {
                add_attached(draft, blobs, descriptor, rules)?;
            } else {
                nameless.push(add(draft, blobs, descriptor, rules)?);
            }
        }
        place_nameless(draft, nameless, selected.is_some());
        for (descriptor, kind) in later {
            if let Some(kind) = kind {
                self.add_cosign(draft, blobs, descriptor, kind, rules)?;
            }
        }
        Ok(())
    }

    /// Adds what cosign saved beside an image, under the tag that attaches it.
    fn add_cosign(
        &self,
        draft: &mut Draft,
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        kind: &str,
        rules: &Rules,
    ) -> anyhow::Result<()> {
        let image = self
            .manifests
            .iter()
            .find(|other| cosign_kind(other).is_none() && draft.has(&other.digest));
        let Some(image) = image else {
            draft.notes.push(Kind::Leftover.note(format!(
                "the manifest {} is left out: there is no image that it is about",
                descriptor.digest
            )));
            return Ok(());
        };
        let repository = draft.roots.first().and_then(|root| root.repository.clone());
        let tag = Some(Tag::attaching(&image.digest, kind));
        let root = add(draft, blobs, descriptor, rules)?;
        draft.roots.push(Root {
            repository,
            tag,
            ..root
        });
        Ok(())
    }
}

/// Adds an entry with all that it points to.
fn add(
    draft: &mut Draft,
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    rules: &Rules,
) -> anyhow::Result<Root> {
    match draft.add_manifest(blobs, descriptor, rules)? {
        Some(id) => root(descriptor, id, rules),
        None => Err(bad(format!(
            "the manifest {} is missing in {}",
            descriptor.digest, draft.origin
        ))),
    }
}

/// Adds an entry that was not selected, if its tag attaches it to something that was.
fn add_attached(
    draft: &mut Draft,
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    rules: &Rules,
) -> anyhow::Result<()> {
    let to = root(descriptor, 0, rules)?
        .tag
        .and_then(|tag| tag.attached_to());
    if to.is_some_and(|digest| draft.has(&digest)) {
        let root = add(draft, blobs, descriptor, rules)?;
        draft.roots.push(root);
    }
    Ok(())
}

/// What has no name goes along with what it is attached to or is a child of; else it is an image that
/// needs a name.
fn place_nameless(draft: &mut Draft, nameless: Vec<Root>, is_selection: bool) {
    let children: BTreeSet<ManifestId> = draft.children().collect();
    for root in nameless {
        match draft.manifests[root.manifest].subject() {
            Some(subject) if draft.has(&subject) => draft
                .referrers
                .entry(subject)
                .or_default()
                .push(root.manifest),
            Some(subject) => draft.notes.push(Kind::Leftover.note(format!(
                "{} is left out: {subject}, which it is attached to, is not there",
                root.called
            ))),
            None if is_selection || children.contains(&root.manifest) => {}
            None => draft.roots.push(root),
        }
    }
}

/// What cosign calls an entry that it saved beside an image, as the ending of its tag (cosign
/// `pkg/oci/layout/write.go`).
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

/// What an entry is called: containerd's whole name, else the name of the layout, where a bare word
/// is a tag (image-spec `annotations.md`).
pub fn root(descriptor: &Descriptor, manifest: ManifestId, rules: &Rules) -> anyhow::Result<Root> {
    let nameless = Root {
        repository: None,
        tag: None,
        manifest,
        v1: None,
        called: format!("the manifest {}", descriptor.digest),
    };
    let whole = descriptor.annotation(CONTAINERD_NAME);
    let Some(name) = whole.or_else(|| descriptor.annotation(REF_NAME)) else {
        return Ok(nameless);
    };
    let called = format!("`{}`", shown(name));
    if whole.is_none() && !name.contains(['/', ':', '@']) {
        return Ok(Root {
            tag: Some(name.parse()?),
            called,
            ..nameless
        });
    }
    let reference = rules.reference(name).map_err(|error| {
        error.context(format!(
            "the manifest {} has an illegal name",
            descriptor.digest
        ))
    })?;
    if reference.tag.is_none() && reference.digest.is_none() {
        return Ok(Root {
            repository: Some(reference.repository),
            tag: Some(Tag::latest()),
            called,
            ..nameless
        });
    }
    Ok(Root {
        repository: Some(reference.repository),
        tag: reference.tag,
        called,
        ..nameless
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(key: &str, name: &str) -> Option<(Option<String>, Option<String>)> {
        let descriptor: Descriptor = serde_json::from_str(&format!(
            r#"{{"digest":"{}","size":1,"annotations":{{"{key}":"{name}"}}}}"#,
            Digest::of(b"")
        ))
        .unwrap();
        let root = root(&descriptor, 0, &Rules::default()).ok()?;
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
        assert_eq!(named(REF_NAME, "Bad/Name:1"), None);
        assert_eq!(named(REF_NAME, "-"), None);
    }
}
