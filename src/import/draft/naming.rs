//! Names for the images of a source: `SOURCE=NAME[:TAG]`, and which are wanted at all.

use std::collections::BTreeSet;

use crate::error::{WithHint as _, invalid_input};
use crate::import::draft::{Draft, RootManifest};
use crate::note::NoteKind;
use crate::spec::name::{Reference, Repository, Tag};

/// Names the images of a source: NAME alone keeps the tags that they have, else gives `latest`;
/// NAME:TAG needs exactly one image.
///
/// # Errors
/// When one tag cannot name what the source holds.
pub fn rename(drafts: &mut [Draft], origin: &str, name: &Reference) -> anyhow::Result<()> {
    let images: BTreeSet<(usize, usize)> = drafts
        .iter()
        .enumerate()
        .flat_map(|(index, draft)| {
            draft
                .roots
                .iter()
                .filter(|root| !root.is_attachment())
                .map(move |root| (index, root.manifest))
        })
        .collect();
    if name.tag.is_some() && images.len() != 1 {
        return Err(invalid_input(format!(
            "{origin} holds {} images, so one tag cannot name it",
            images.len()
        )))
        .hint(format!(
            "give only a repository: `=…{}` keeps the tags of the source",
            name.repository
        ));
    }
    for root in drafts.iter_mut().flat_map(|draft| &mut draft.roots) {
        if !root.is_attachment() {
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

/// Makes sure that every image has a name.
///
/// # Errors
/// Names one that has none.
pub fn require(drafts: &[Draft]) -> anyhow::Result<()> {
    for draft in drafts {
        if let Some(root) = draft.roots.iter().find(|root| root.repository.is_none()) {
            return Err(invalid_input(format!(
                "{} in {} has no name",
                root.called, draft.origin
            )))
            .hint(
                "name it: `SOURCE=NAME[:TAG]`, on the standard input `docker-archive:-=NAME[:TAG]`",
            );
        }
    }
    Ok(())
}

/// The repositories that images are named for.
pub fn repositories(drafts: &[Draft]) -> BTreeSet<Repository> {
    drafts
        .iter()
        .flat_map(|draft| &draft.roots)
        .filter_map(|root| root.repository.clone())
        .collect()
}

/// Where several sources give one tag, lets the last one have it; with `lost`, also one that names it but
/// cannot give it.
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

impl RootManifest {
    /// Whether it only belongs to another manifest, so that a new tag is not meant for it: what a
    /// registry knows without a tag, and what a tag of cosign attaches.
    fn is_attachment(&self) -> bool {
        let attached = |tag: &Tag| tag.attached_to().is_some();
        self.tag
            .as_ref()
            .map_or(self.repository.is_some(), attached)
    }
}
