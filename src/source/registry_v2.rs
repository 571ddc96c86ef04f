//! `registry-v2:` the storage folder of distribution, the registry of Docker, also while it runs.
//! ```text
//! docker/registry/v2/
//! ├── blobs/sha256/<2 hex>/<hex>/data
//! └── repositories/<name>/
//!     ├── _manifests/tags/<tag>/current/link              sha256:<hex>
//!     ├── _manifests/revisions/sha256/<hex>/link          every manifest
//!     ├── _layers/
//!     └── _uploads/                                       unfinished, passed over
//! ```
//! Source: distribution `registry/storage/paths.go`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::content::Content;
use crate::draft::{Blobs, Draft, ManifestId, Root, Rules, naming};
use crate::error::shown;
use crate::fsx;
use crate::note::Kind;
use crate::source::{Format, Opened};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::{Repository, Tag};

/// A storage folder of distribution.
#[derive(Debug)]
pub struct RegistryV2;

const ROOT: &str = "docker/registry/v2";

impl Format for RegistryV2 {
    fn prefix(&self) -> &'static str {
        "registry-v2"
    }

    fn about(&self) -> &'static str {
        "the storage folder of distribution, the registry of Docker"
    }

    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        let Some(folder) = opened.folder() else {
            return Ok(false);
        };
        Ok(root_of(folder)?.is_some())
    }

    fn load(
        &self,
        opened: &Opened,
        selected: Option<&str>,
        rules: &Rules,
    ) -> anyhow::Result<Vec<Draft>> {
        let folder = opened.folder().context("it is no folder")?;
        let root = root_of(folder)?.context("it is no storage folder")?;
        let store = Store {
            blobs: root.join("blobs/sha256"),
        };
        let mut drafts = Vec::new();
        for name in repositories(&root.join("repositories"), "")? {
            let origin = format!("`{}` of `{}`", shown(&name), fsx::shown_path(folder));
            let path = root.join("repositories").join(&name);
            let mut loading = Loading {
                store: &store,
                rules,
                path,
                name,
                draft: Draft::new(origin),
            };
            loading.load()?;
            if let Some(name) = selected {
                naming::select_one(&mut loading.draft, name, rules)?;
                loading.draft.notes.clear();
            }
            drafts.push(loading.draft);
        }
        Ok(drafts)
    }
}

/// The folder with `blobs` and `repositories`: the storage folder of a configuration, or what is in it.
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

/// The names of all repositories: folders with a part that begins with `_`, as no name does.
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
        // Links to folders above would go round and round, two of them in ever more ways.
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

struct Loading<'a> {
    store: &'a Store,
    rules: &'a Rules,
    path: PathBuf,
    name: String,
    draft: Draft,
}

impl Loading<'_> {
    fn load(&mut self) -> anyhow::Result<()> {
        let repository = match self.name.parse::<Repository>() {
            Ok(repository) => repository,
            Err(error) => {
                let name = self.name.clone();
                self.leave_out(Kind::Fault, &name, &error.to_string());
                return Ok(());
            }
        };
        for name in fsx::names(&self.path.join("_manifests/tags"))? {
            let called = format!("{}:{name}", self.name);
            self.tag(&repository, &name, &called)?;
        }
        self.untagged()?;
        if self.draft.roots.is_empty() {
            let name = self.name.clone();
            self.leave_out(Kind::Leftover, &name, "it has no manifest with a tag");
        }
        Ok(())
    }

    fn leave_out(&mut self, kind: Kind, name: &str, why: &str) {
        let note = kind.note(format!("{} is left out: {why}", shown(name)));
        self.draft.notes.push(note.about(name));
    }

    fn tag(&mut self, repository: &Repository, name: &str, called: &str) -> anyhow::Result<()> {
        let digest = link(
            &self
                .path
                .join("_manifests/tags")
                .join(name)
                .join("current/link"),
        )?;
        // A tag outlives its manifest when that is deleted by its digest.
        let served = |digest: &Digest| {
            Ok::<_, anyhow::Error>(
                link(&self.revision(digest))?.is_some() && self.store.blob(digest)?.is_some(),
            )
        };
        let digest = match digest {
            Some(digest) if served(&digest)? => digest,
            _ => {
                self.leave_out(Kind::Fault, called, "its manifest is gone");
                return Ok(());
            }
        };
        let tag: Tag = match name.parse() {
            Ok(tag) => tag,
            Err(error) => {
                self.leave_out(Kind::Fault, called, &error.to_string());
                return Ok(());
            }
        };
        if let Some(manifest) = self.manifest(&digest)? {
            let called = format!("`{}`", shown(called));
            self.draft.roots.push(Root {
                repository: Some(repository.clone()),
                tag: Some(tag),
                manifest,
                v1: None,
                called,
            });
        }
        Ok(())
    }

    /// What has no tag comes along when it is attached to something that comes along.
    fn untagged(&mut self) -> anyhow::Result<()> {
        let mut left_out = 0;
        for hex in fsx::names(&self.path.join("_manifests/revisions/sha256"))? {
            let Ok(digest) = Digest::from_hex(&hex) else {
                continue;
            };
            if self.draft.has(&digest) || link(&self.revision(&digest))?.is_none() {
                continue;
            }
            let subject = self.subject(&digest)?;
            match (
                subject,
                subject.map_or(Ok(None), |_| self.manifest(&digest))?,
            ) {
                (Some(subject), Some(id)) => {
                    self.draft.referrers.entry(subject).or_default().push(id);
                }
                _ => left_out += 1,
            }
        }
        if left_out > 0 {
            let note = Kind::Leftover.note(format!(
                "{}: {left_out} manifests without a tag are left out: nothing refers to them",
                shown(&self.name)
            ));
            self.draft.notes.push(note.about(&self.name));
        }
        Ok(())
    }

    /// What a manifest is attached to; it may be one that is of no use otherwise.
    fn subject(&self, digest: &Digest) -> anyhow::Result<Option<Digest>> {
        let Some(content) = self
            .store
            .blob(digest)?
            .filter(|content| content.len() <= MAX_JSON)
        else {
            return Ok(None);
        };
        Ok(Manifest::parse(content.read(MAX_JSON)?, None)
            .ok()
            .and_then(|manifest| manifest.subject))
    }

    fn manifest(&mut self, digest: &Digest) -> anyhow::Result<Option<ManifestId>> {
        let Some(content) = self.store.blob(digest)? else {
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
        self.draft.add_manifest(self.store, &descriptor, self.rules)
    }

    fn revision(&self, digest: &Digest) -> PathBuf {
        self.path
            .join("_manifests/revisions/sha256")
            .join(digest.hex())
            .join("link")
    }
}

/// The digest in a link; `None` when there is no link, or one that a running registry is writing.
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
