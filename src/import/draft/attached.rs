//! Images that are attached to others, such as signatures: which of them belong to what is imported.

use std::collections::BTreeSet;

use crate::error;
use crate::import::draft::{Blobs, Draft};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Repository;

/// An image that is attached to another, such as a signature.
pub struct Attached<T> {
    /// The repository of both, if the source gives one.
    pub repository: Option<Repository>,
    /// The digest of the image it is attached to.
    pub to: Digest,
    /// Whether the user asks for it by name.
    pub is_wanted: bool,
    pub image: T,
}

impl Draft {
    /// Adds the images that are attached to those in the draft, then those attached to them, and so on. Last
    /// come those that the user asks for by name, unless they are attached to an image that was `skipped`.
    pub fn add_attached<T>(
        &mut self,
        mut left: Vec<Attached<T>>,
        skipped: &BTreeSet<Digest>,
        mut add: impl FnMut(&mut Self, T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while !left.is_empty() {
            let names = left.iter().filter_map(|image| image.repository.as_ref());
            let names: BTreeSet<&Repository> = names.collect();
            let roots = self.roots.iter().filter(|root| {
                let name = root.repository.as_ref();
                name.is_some_and(|name| names.contains(name))
            });
            let brought: BTreeSet<(Option<Repository>, Digest)> = roots
                .flat_map(|root| self.members(root).into_iter().map(move |id| (root, id)))
                .filter_map(|(root, id)| {
                    Some((root.repository.clone(), self.manifests[id].digest()?))
                })
                .collect();
            let is_attached = |image: &Attached<T>| match &image.repository {
                None => self.has(&image.to),
                repository => brought.contains(&(repository.clone(), image.to)),
            };
            let (mut taken, mut others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_attached);
            if taken.is_empty() {
                let is_alone =
                    |image: &Attached<T>| image.is_wanted && !skipped.contains(&image.to);
                (taken, others) = others.into_iter().partition(is_alone);
            }
            if taken.is_empty() {
                break;
            }
            for attached in taken {
                add(self, attached.image)?;
            }
            left = others;
        }
        Ok(())
    }
}

/// A manifest that need not be imported, to find out what belongs to it. `None` if it is missing or invalid.
pub fn peek(blobs: &dyn Blobs, digest: &Digest) -> anyhow::Result<Option<Manifest>> {
    let content = match blobs.blob(digest) {
        Err(error) if error::is_bad(&error) => None,
        found => found?,
    };
    let Some(content) = content.filter(|content| content.len() <= MAX_JSON) else {
        return Ok(None);
    };
    Ok(Manifest::parse(content.read(MAX_JSON)?, None).ok())
}

/// The manifests, and all children of the indexes among them.
pub fn with_children(
    blobs: &dyn Blobs,
    digests: impl IntoIterator<Item = Digest>,
) -> anyhow::Result<BTreeSet<Digest>> {
    let mut all = BTreeSet::new();
    let mut next: Vec<Digest> = digests.into_iter().collect();
    while let Some(digest) = next.pop() {
        if all.insert(digest)
            && let Some(manifest) = peek(blobs, &digest)?
        {
            next.extend(manifest.children().iter().map(|child| child.digest));
        }
    }
    Ok(all)
}
