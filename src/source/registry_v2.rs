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
use crate::error::escaped;
use crate::fsx;
use crate::import::draft::{Blobs, Draft, ManifestId, RootManifest, peek, with_children};
use crate::import::request::Request;
use crate::note::NoteKind;
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
            draft: Draft::new(origin),
            faulty: Vec::new(),
        };
        loading.load()?;
        drafts.push(loading.draft);
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

/// A manifest that is attached to another: by its tag, or by its subject (subject, own digest).
enum One {
    Tag(Tag),
    Referrer(Digest, Digest),
}

struct Loading<'a> {
    store: &'a Store,
    request: &'a Request<'a>,
    path: PathBuf,
    name: String,
    draft: Draft,
    /// Tagged manifests that are left out, as a whole or in part.
    faulty: Vec<Digest>,
}

impl Loading<'_> {
    fn load(&mut self) -> anyhow::Result<()> {
        let is_by_name = self.request.is_by_name();
        let repository = match self.name.parse::<Repository>() {
            Ok(repository) if self.request.may_take(&repository) => repository,
            Err(error) if !is_by_name => {
                let name = self.name.clone();
                self.leave_out(NoteKind::Fault, &name, &error.to_string());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (mut left, mut skipped) = (Vec::new(), BTreeSet::new());
        for name in fsx::names(&self.path.join("_manifests/tags"))? {
            let called = format!("{}:{name}", self.name);
            let tag: Tag = match name.parse() {
                Ok(tag) => tag,
                Err(error) if !is_by_name => {
                    self.leave_out(NoteKind::Fault, &called, &format!("{error}"));
                    continue;
                }
                Err(_) => continue,
            };
            let is_wanted = self.takes(&repository, &tag, &called)?;
            match tag.attached_to() {
                Some(to)
                    if self.request.is_selective()
                        && self.request.one.is_none_or(|_| !is_wanted) =>
                {
                    if self.request.takes_along(Some(&repository), Some(&tag)) {
                        left.push((to, is_wanted, One::Tag(tag)));
                    }
                }
                _ if is_wanted => self.tag(&repository, &tag)?,
                _ => skipped.extend(link(&self.tag_link(&tag))?),
            }
        }
        self.attached(&repository, left, &skipped)?;
        let is_empty = self.draft.roots.is_empty() && self.draft.faults.is_empty();
        if is_empty && !self.request.is_selective() {
            let name = self.name.clone();
            self.leave_out(NoteKind::Leftover, &name, "it has no tagged manifest");
        }
        Ok(())
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

    fn leave_out(&mut self, kind: NoteKind, name: &str, why: &str) {
        let note = kind.note(format!("{} is left out: {why}", escaped(name)));
        self.draft.notes.push(note.about(name));
    }

    fn tag(&mut self, repository: &Repository, tag: &Tag) -> anyhow::Result<()> {
        let called = format!("{}:{tag}", self.name);
        // Deleting a manifest by its digest does not delete its tags.
        let served = |digest: &Digest| {
            Ok::<_, anyhow::Error>(
                link(&self.revision(digest))?.is_some() && self.store.blob(digest)?.is_some(),
            )
        };
        let digest = match link(&self.tag_link(tag))? {
            Some(digest) if served(&digest)? => digest,
            _ => {
                self.leave_out(NoteKind::Fault, &called, "its manifest is gone");
                return Ok(());
            }
        };
        let (store, request) = (self.store, self.request);
        let what = format!("`{}`", escaped(&called));
        let faults = self.draft.faults.len();
        self.draft
            .add_one_of(request, Some(&called), &what, |draft| {
                if let Some(manifest) = store.add_manifest(draft, &digest, request)? {
                    draft.roots.push(RootManifest {
                        repository: Some(repository.clone()),
                        tag: Some(tag.clone()),
                        manifest,
                        v1: None,
                        called: what.clone(),
                    });
                }
                Ok(())
            })?;
        if self.draft.faults.len() > faults {
            self.faulty.push(digest);
        }
        Ok(())
    }

    /// Adds what is attached to an added manifest, by a tag or by its subject.
    fn attached(
        &mut self,
        repository: &Repository,
        mut left: Vec<(Digest, bool, One)>,
        skipped: &BTreeSet<Digest>,
    ) -> anyhow::Result<()> {
        let mut left_out = 0;
        // What belongs to an image that is left out is not left out for itself.
        let faulty = with_children(self.store, std::mem::take(&mut self.faulty))?;
        for hex in fsx::names(&self.path.join("_manifests/revisions/sha256"))? {
            let Ok(digest) = Digest::from_hex(&hex) else {
                continue;
            };
            let is_known = self.draft.has(&digest) || faulty.contains(&digest);
            if is_known || link(&self.revision(&digest))?.is_none() {
                continue;
            }
            left_out += 1;
            let subject = peek(self.store, &digest)?.and_then(|manifest| manifest.subject);
            left.extend(subject.map(|to| (to, false, One::Referrer(to, digest))));
        }
        // Each added manifest may be the subject of another.
        while let Some(next) = left
            .iter()
            .position(|(to, ..)| self.draft.has(to))
            .or_else(|| {
                left.iter()
                    .position(|(to, own, _)| *own && !skipped.contains(to))
            })
        {
            match left.swap_remove(next).2 {
                One::Tag(tag) => self.tag(repository, &tag)?,
                One::Referrer(subject, digest) => {
                    left_out -= 1;
                    let (store, request) = (self.store, self.request);
                    let what = format!("the manifest {digest} of {}", escaped(&self.name));
                    self.draft.add_one_of(request, None, &what, |draft| {
                        let id = store.add_manifest(draft, &digest, request)?;
                        draft.referrers.entry(subject).or_default().extend(id);
                        Ok(())
                    })?;
                }
            }
        }
        if left_out > 0 && !self.request.is_selective() {
            let what = if left_out == 1 {
                "1 untagged manifest is left out: nothing refers to it".to_owned()
            } else {
                format!("{left_out} untagged manifests are left out: nothing refers to them")
            };
            let note = NoteKind::Leftover.note(format!("{}: {what}", escaped(&self.name)));
            self.draft.notes.push(note.about(&self.name));
        }
        Ok(())
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
