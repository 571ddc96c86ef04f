//! Names for the images of a source: `SOURCE=NAME[:TAG]`, and `--last-wins`.

use std::collections::BTreeSet;

use crate::error::WithHint as _;
use crate::import::draft::{Draft, JobId, ManifestId};
use crate::note::NoteKind;
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::v1::V1Id;

/// A manifest that the source names, or that belongs to one it names.
#[derive(Debug)]
pub struct RootManifest {
    /// `None` if the source gives no name.
    pub repository: Option<Repository>,
    pub tag: Option<Tag>,
    pub manifest: ManifestId,
    /// The top v1 image, if the source has the v1 form.
    pub v1: Option<V1Id>,
    /// The name in the source, for messages, in backticks.
    pub called: String,
    /// Simple-signing signatures: the manifest that each signs, and its content.
    pub signatures: Vec<(Digest, JobId)>,
}

impl RootManifest {
    /// A manifest without a name.
    pub fn nameless(manifest: ManifestId, called: String) -> Self {
        Self {
            repository: None,
            tag: None,
            manifest,
            v1: None,
            called,
            signatures: Vec::new(),
        }
    }
}

/// Names the images of a source. NAME alone keeps their tags; untagged images get `latest`. NAME:TAG needs a
/// source with exactly one image.
pub fn rename(drafts: &mut [Draft], origin: &str, name: &Reference) -> anyhow::Result<()> {
    let images: BTreeSet<(usize, usize)> = drafts
        .iter()
        .enumerate()
        .flat_map(|(index, draft)| {
            draft
                .roots
                .iter()
                .filter(|root| !root.is_attachment() || is_alone(draft, root))
                .map(move |root| (index, root.manifest))
        })
        .collect();
    if name.tag.is_some() && images.len() != 1 {
        return Err(anyhow::anyhow!(
            "cannot give one tag to {origin}: it holds {} images",
            images.len()
        ))
        .hint(format!(
            "omit the tag: the name `{}` alone keeps the tags of the source",
            name.repository
        ));
    }
    let roots = drafts
        .iter_mut()
        .enumerate()
        .flat_map(|(index, draft)| draft.roots.iter_mut().map(move |root| (index, root)));
    for (index, root) in roots {
        if images.contains(&(index, root.manifest)) {
            root.tag = name
                .tag
                .clone()
                .or_else(|| root.tag.take())
                .or_else(|| Some(Tag::latest()));
        }
        root.repository = Some(name.repository.clone());
    }
    for note in drafts.iter_mut().flat_map(|draft| &mut draft.notes) {
        if let Some(reference) = &mut note.reference {
            let tag = reference.rsplit_once(':').map(|(_, tag)| tag.to_owned());
            *reference = match tag {
                Some(tag) => format!("{}:{tag}", name.repository),
                None => name.repository.to_string(),
            };
        }
    }
    Ok(())
}

/// Fails if an image has no name; `hint` says how to give it one, told whether it has a tag.
pub fn require(drafts: &[Draft], hint: impl FnOnce(bool) -> String) -> anyhow::Result<()> {
    for draft in drafts {
        if let Some(root) = draft.roots.iter().find(|root| root.repository.is_none()) {
            let (called, origin) = (&root.called, &draft.origin);
            return Err(anyhow::anyhow!("{called} in {origin} has no name"))
                .hint(hint(root.tag.is_some()));
        }
    }
    Ok(())
}

/// The repositories of all images.
pub fn repositories(drafts: &[Draft]) -> BTreeSet<Repository> {
    let of_roots = |root: &RootManifest| root.repository.clone();
    let of_listed = |listed: &Reference| listed.repository.clone();
    drafts
        .iter()
        .flat_map(|draft| {
            let roots = draft.roots.iter().filter_map(of_roots);
            roots.chain(draft.listed.iter().map(of_listed))
        })
        .collect()
}

/// Drops tags that a later source has too. With `lost`, also drops a tag if a later source lists it but its
/// image cannot be read.
pub fn last_wins(drafts: &mut [Draft], lost: bool) {
    let mut seen: BTreeSet<(Repository, Tag)> = BTreeSet::new();
    for draft in drafts.iter_mut().rev() {
        let mut own = BTreeSet::new();
        draft
            .roots
            .retain(|root| match (&root.repository, &root.tag) {
                (Some(repository), Some(tag)) => {
                    let key = (repository.clone(), tag.clone());
                    let is_last = !seen.contains(&key);
                    own.insert(key);
                    is_last
                }
                _ => true,
            });
        draft.listed.retain(|listed| {
            let Some(tag) = &listed.tag else { return true };
            let key = (listed.repository.clone(), tag.clone());
            let is_last = !seen.contains(&key);
            own.insert(key);
            is_last
        });
        seen.extend(own);
        let faults = draft
            .notes
            .iter()
            .filter(|note| lost && note.kind == NoteKind::Fault);
        for name in faults.filter_map(|note| note.reference.as_ref()) {
            if let Ok(Reference {
                repository,
                tag: Some(tag),
                ..
            }) = name.parse()
            {
                seen.insert((repository, tag));
            }
        }
    }
}

/// Whether an untagged manifest is what the source is about: the image that it names by a digest.
fn is_alone(draft: &Draft, root: &RootManifest) -> bool {
    let is_image = |root: &RootManifest| {
        root.tag.is_none() && draft.manifests[root.manifest].subject().is_none()
    };
    is_image(root) && draft.roots.iter().all(is_image)
}

impl RootManifest {
    /// Whether this only belongs to another manifest, so that a new tag is not meant for it: an untagged
    /// manifest of a named repository, or one with a tag by which cosign attaches it.
    fn is_attachment(&self) -> bool {
        let attached = |tag: &Tag| tag.attached_to().is_some();
        self.tag
            .as_ref()
            .map_or(self.repository.is_some(), attached)
    }
}
