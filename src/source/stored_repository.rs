//! A repository as a registry stores it: manifests by tag and by digest, and blobs.

use std::collections::BTreeSet;

use crate::error::{escaped, invalid_input, is_bad};
use crate::import::draft::{
    Attached, Blobs, Called, Draft, ManifestId, RootManifest, peek, with_children,
};
use crate::import::request::Request;
use crate::note::{Note, NoteKind};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};

pub(super) trait StoredRepository: Blobs {
    /// The names of its tags. Not all may be tags.
    fn tags(&self) -> anyhow::Result<Vec<String>>;

    /// The manifest that a tag names; `None` if there is none.
    fn digest(&self, tag: &Tag) -> anyhow::Result<Option<Digest>>;

    /// All manifests that clients can ask for.
    fn manifests(&self) -> anyhow::Result<Vec<Digest>>;

    /// Whether clients can ask for a manifest.
    fn serves(&self, digest: &Digest) -> anyhow::Result<bool>;
}

/// Reads the requested images of a repository, which the source calls `name`.
pub(super) fn load(
    store: &dyn StoredRepository,
    name: String,
    origin: String,
    request: &Request<'_>,
) -> anyhow::Result<Draft> {
    let mut draft = Draft::new(origin);
    let mut loading = Loading {
        store,
        request,
        name,
        faulty: Vec::new(),
    };
    loading.load(&mut draft)?;
    Ok(draft)
}

/// A manifest that is attached to another.
enum One {
    /// By its tag.
    Tag(Tag),
    /// By its subject: the subject, its own digest.
    Referrer(Digest, Digest),
}

struct Loading<'a> {
    store: &'a dyn StoredRepository,
    request: &'a Request<'a>,
    /// Its name in the source.
    name: String,
    /// Tagged manifests that are left out, as a whole or in part.
    faulty: Vec<Digest>,
}

impl Loading<'_> {
    fn load(&mut self, draft: &mut Draft) -> anyhow::Result<()> {
        let request = self.request;
        let repository = match request.repository(&self.name) {
            Ok(repository) if request.may_take(&repository) => repository,
            Err(error) if !request.is_by_name() => {
                return draft.leave_out(request, Called::name(&self.name), error);
            }
            _ => return Ok(()),
        };
        let (mut left, mut skipped) = (Vec::new(), BTreeSet::new());
        for name in self.store.tags()? {
            let called = format!("{}:{name}", self.name);
            let tag: Tag = match name.parse() {
                Ok(tag) => tag,
                Err(error) if !request.is_by_name() => {
                    draft.leave_out(request, Called::name(called), error)?;
                    continue;
                }
                Err(_) => continue,
            };
            let is_wanted = self.takes(&repository, &tag, &called)?;
            match tag.attached_to() {
                Some(to) if request.awaits_subject(is_wanted) => {
                    if request.takes_along(Some(&repository), Some(&tag)) {
                        left.push(Attached {
                            repository: None,
                            to,
                            is_wanted,
                            image: One::Tag(tag),
                        });
                    }
                }
                _ if is_wanted => self.tag(draft, &repository, &tag)?,
                _ => skipped.extend(self.digest(&tag)?),
            }
        }
        let untagged = self.untagged(draft)?;
        let mut left_out = untagged.len();
        for digest in untagged {
            let subject = peek(self.store, &digest)?.and_then(|manifest| manifest.subject);
            left.extend(subject.map(|to| Attached {
                repository: None,
                to,
                is_wanted: false,
                image: One::Referrer(to, digest),
            }));
        }
        draft.add_attached(left, &skipped, |draft, one| match one {
            One::Tag(tag) => self.tag(draft, &repository, &tag),
            One::Referrer(subject, digest) => {
                left_out -= 1;
                self.referrer(draft, subject, digest)
            }
        })?;
        if !request.is_selective() {
            let note = self.left_out(draft, left_out);
            let about = repository.to_string();
            draft.notes.extend(note.map(|note| note.about(about)));
        }
        Ok(())
    }

    /// The note on what is left out because nobody can ask for it.
    fn left_out(&self, draft: &Draft, untagged: usize) -> Option<Note> {
        let name = escaped(&self.name);
        let message = match untagged {
            0 if draft.roots.is_empty() && draft.faults.is_empty() => {
                format!("{name} is left out: it has no tagged manifest")
            }
            0 => return None,
            1 => format!("{name}: 1 untagged manifest is left out: nothing refers to it"),
            _ => format!(
                "{name}: {untagged} untagged manifests are left out: nothing refers to them"
            ),
        };
        Some(NoteKind::Leftover.note(message))
    }

    /// Whether a tag is requested. Its link is read only if the request has a digest.
    fn takes(&self, repository: &Repository, tag: &Tag, called: &str) -> anyhow::Result<bool> {
        let digest = match self.request.one {
            Some(one) if one.contains('@') => self.digest(tag)?,
            _ => None,
        };
        Ok(self
            .request
            .takes(Some(called), Some(repository), Some(tag), digest))
    }

    fn tag(&mut self, draft: &mut Draft, repository: &Repository, tag: &Tag) -> anyhow::Result<()> {
        let (store, request) = (self.store, self.request);
        let name = request.reference_of(Some(repository), Some(tag));
        let called = Called::Names(name.into_iter().collect());
        let named = match store.digest(tag) {
            Err(error) => return draft.leave_out(request, called, error),
            Ok(named) => named,
        };
        let digest = match named {
            Some(digest) if store.serves(&digest)? && store.blob(&digest)?.is_some() => digest,
            _ => {
                self.faulty.extend(named);
                return draft.leave_out(request, called, invalid_input("its manifest is gone"));
            }
        };
        let faults = draft.faults.len();
        draft.add_one_of(request, called, |draft| {
            if let Some(manifest) = self.manifest(draft, &digest)? {
                draft.roots.push(RootManifest {
                    repository: Some(repository.clone()),
                    tag: Some(tag.clone()),
                    ..RootManifest::nameless(manifest, format!("`{}:{tag}`", escaped(&self.name)))
                });
            }
            Ok(())
        })?;
        if draft.faults.len() > faults {
            self.faulty.push(digest);
        }
        Ok(())
    }

    /// The manifests that no tag has brought. What belongs to an image that is left out is not among them.
    fn untagged(&mut self, draft: &Draft) -> anyhow::Result<Vec<Digest>> {
        let faulty = with_children(self.store, std::mem::take(&mut self.faulty))?;
        let mut untagged = Vec::new();
        for digest in self.store.manifests()? {
            if !draft.has(&digest) && !faulty.contains(&digest) {
                untagged.push(digest);
            }
        }
        Ok(untagged)
    }

    fn referrer(&self, draft: &mut Draft, subject: Digest, digest: Digest) -> anyhow::Result<()> {
        let called = format!("the manifest {digest} of {}", escaped(&self.name));
        draft.add_one_of(self.request, Called::Nameless(called), |draft| {
            let id = self.manifest(draft, &digest)?;
            draft.referrers.entry(subject).or_default().extend(id);
            Ok(())
        })
    }

    /// The manifest of a tag that need not be read.
    fn digest(&self, tag: &Tag) -> anyhow::Result<Option<Digest>> {
        match self.store.digest(tag) {
            Err(error) if is_bad(&error) => Ok(None),
            found => found,
        }
    }

    fn manifest(&self, draft: &mut Draft, digest: &Digest) -> anyhow::Result<Option<ManifestId>> {
        let Some(content) = self.store.blob(digest)? else {
            return Ok(None);
        };
        let descriptor = Descriptor::new("", *digest, content.len());
        draft.add_manifest(self.store, &descriptor, self.request.rules)
    }
}
