//! `registry-v2:` the storage folder of distribution, Docker's registry, which may be running.
//! ```text
//! docker/registry/v2/
//! ├── blobs/sha256/<2 hex>/<hex>/data
//! └── repositories/<name>/
//!     ├── _manifests/tags/<tag>/current/link              sha256:<hex>
//!     ├── _manifests/revisions/sha256/<hex>/link          every manifest
//!     ├── _layers/
//!     └── _uploads/                                       unfinished, ignored
//! ```
//! Source: distribution `registry/storage/paths.go`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::content::Content;
use crate::error::{escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{
    Attached, Blobs, Called, Draft, ManifestId, RootManifest, peek, with_children,
};
use crate::import::request::Request;
use crate::note::{Note, NoteKind};
use crate::source::{Format, Input};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::name::{Repository, Tag};

pub const FORMAT: Format = Format {
    prefix: "registry-v2",
    about: "the storage folder of distribution, Docker's registry",
    reads: Input::Folder { detect, load },
    has_folders: false,
};

const ROOT: &str = "docker/registry/v2";

fn detect(folder: &Path) -> anyhow::Result<bool> {
    Ok(root_of(folder)?.is_some())
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let root = root_of(folder)?.context("it is not a storage folder")?;
    let store = Store {
        blobs: root.join("blobs/sha256"),
    };
    let mut drafts = Vec::new();
    for name in repositories(&root.join("repositories"), "")? {
        let origin = format!("`{}` in `{}`", escaped(&name), fsx::escaped_path(folder));
        let path = root.join("repositories").join(&name);
        let mut loading = Loading {
            store: &store,
            request,
            path,
            name,
            faulty: Vec::new(),
        };
        let mut draft = Draft::new(origin);
        loading.load(&mut draft)?;
        drafts.push(draft);
    }
    Ok(drafts)
}

/// The folder with `blobs` and `repositories`: [`ROOT`] in the configured storage folder, or the given folder
/// itself.
fn root_of(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    for root in [folder.join(ROOT), folder.to_path_buf()] {
        if fsx::meta(&root.join("blobs/sha256"))?.is_some()
            && fsx::meta(&root.join("repositories"))?.is_some()
        {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

/// The names of all repositories: folders with an entry that starts with `_`, as no part of a name can.
fn repositories(folder: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let (own, nested): (Vec<_>, Vec<_>) = fsx::names(folder)?
        .into_iter()
        .partition(|part| part.starts_with('_'));
    if !own.is_empty() {
        found.push(name.to_owned());
    }
    for part in nested {
        let path = folder.join(&part);
        // A link to a parent folder would make this recurse without end.
        if !fsx::is_link(&path)? && fsx::meta(&path)?.is_some_and(|meta| meta.is_dir) {
            found.extend(repositories(
                &path,
                &if name.is_empty() {
                    part
                } else {
                    format!("{name}/{part}")
                },
            )?);
        }
    }
    Ok(found)
}

struct Store {
    blobs: PathBuf,
}

impl Blobs for Store {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let hex = digest.hex();
        Content::file(self.blobs.join(&hex[..2]).join(&hex).join("data"))
    }
}

impl Store {
    fn add_manifest(
        &self,
        draft: &mut Draft,
        digest: &Digest,
        request: &Request<'_>,
    ) -> anyhow::Result<Option<ManifestId>> {
        let Some(content) = self.blob(digest)? else {
            return Ok(None);
        };
        let descriptor = Descriptor {
            media_type: String::new(),
            digest: *digest,
            size: content.len(),
            artifact_type: None,
            annotations: None,
            platform: None,
        };
        draft.add_manifest(self, &descriptor, request.rules)
    }
}

/// A manifest that is attached to another.
enum One {
    /// By its tag.
    Tag(Tag),
    /// By its subject: the subject, its own digest.
    Referrer(Digest, Digest),
}

/// A repository in the storage folder.
struct Loading<'a> {
    store: &'a Store,
    request: &'a Request<'a>,
    path: PathBuf,
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
        for name in fsx::names(&self.path.join("_manifests/tags"))? {
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
                _ => skipped.extend(link(&self.tag_link(&tag))?),
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
            Some(one) if one.contains('@') => link(&self.tag_link(tag))?,
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
        // Deleting a manifest by its digest does not delete its tags.
        let served = |digest: &Digest| {
            Ok::<_, anyhow::Error>(
                link(&self.revision(digest))?.is_some() && store.blob(digest)?.is_some(),
            )
        };
        let linked = link(&self.tag_link(tag))?;
        let digest = match linked {
            Some(digest) if served(&digest)? => digest,
            _ => {
                self.faulty.extend(linked);
                return draft.leave_out(request, called, invalid_input("its manifest is gone"));
            }
        };
        let faults = draft.faults.len();
        draft.add_one_of(request, called, |draft| {
            if let Some(manifest) = store.add_manifest(draft, &digest, request)? {
                draft.roots.push(RootManifest {
                    repository: Some(repository.clone()),
                    tag: Some(tag.clone()),
                    manifest,
                    v1: None,
                    called: format!("`{}:{tag}`", escaped(&self.name)),
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
        for hex in fsx::names(&self.path.join("_manifests/revisions/sha256"))? {
            let Ok(digest) = Digest::from_hex(&hex) else {
                continue;
            };
            let is_known = draft.has(&digest) || faulty.contains(&digest);
            if !is_known && link(&self.revision(&digest))?.is_some() {
                untagged.push(digest);
            }
        }
        Ok(untagged)
    }

    fn referrer(&self, draft: &mut Draft, subject: Digest, digest: Digest) -> anyhow::Result<()> {
        let called = format!("the manifest {digest} of {}", escaped(&self.name));
        draft.add_one_of(self.request, Called::Nameless(called), |draft| {
            let id = self.store.add_manifest(draft, &digest, self.request)?;
            draft.referrers.entry(subject).or_default().extend(id);
            Ok(())
        })
    }

    fn tag_link(&self, tag: &Tag) -> PathBuf {
        let tags = self.path.join("_manifests/tags");
        tags.join(tag.as_str()).join("current/link")
    }

    fn revision(&self, digest: &Digest) -> PathBuf {
        self.path
            .join("_manifests/revisions/sha256")
            .join(digest.hex())
            .join("link")
    }
}

/// The digest in a `link` file; `None` if there is no file, or a running registry is just writing it.
fn link(path: &Path) -> anyhow::Result<Option<Digest>> {
    let Some(content) = Content::file(path.to_path_buf())?.filter(|content| content.len() <= 80)
    else {
        return Ok(None);
    };
    Ok(String::from_utf8_lossy(&content.read(80)?)
        .trim()
        .parse()
        .ok())
}
