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

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::content::Content;
use crate::error::escaped;
use crate::fsx;
use crate::import::draft::{Blobs, Draft};
use crate::import::request::Request;
use crate::source::stored_repository::{self, StoredRepository};
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;
use crate::spec::name::Tag;

pub const FORMAT: Format = Format {
    prefix: "registry-v2",
    about: "the storage folder of distribution, Docker's registry",
    reads: Input::Folder { fit, load },
    has_folders: false,
};

const ROOT: &str = "docker/registry/v2";

fn fit(folder: &Path) -> anyhow::Result<Fit> {
    let lacks = format!("neither it nor `{ROOT}` in it has `blobs/sha256` and `repositories`");
    Ok(root_of(folder)?.map_or(Fit::No(lacks), |_| Fit::Detected))
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let root = root_of(folder)?.context("it is not a storage folder")?;
    let mut drafts = Vec::new();
    for name in repositories(&root.join("repositories"), "")? {
        let origin = format!("`{}` in `{}`", escaped(&name), fsx::escaped_path(folder));
        let repository = Repository {
            blobs: root.join("blobs/sha256"),
            path: root.join("repositories").join(&name),
        };
        drafts.push(stored_repository::load(&repository, name, origin, request)?);
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
    let (own, nested): (Vec<_>, Vec<_>) = fsx::folders(folder)?
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

struct Repository {
    blobs: PathBuf,
    path: PathBuf,
}

impl Blobs for Repository {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let hex = digest.hex();
        Content::file(self.blobs.join(&hex[..2]).join(&hex).join("data"))
    }
}

impl StoredRepository for Repository {
    fn tags(&self) -> anyhow::Result<Vec<String>> {
        fsx::folders(&self.path.join("_manifests/tags"))
    }

    fn digest(&self, tag: &Tag) -> anyhow::Result<Option<Digest>> {
        let tags = self.path.join("_manifests/tags");
        link(&tags.join(tag.as_str()).join("current/link"))
    }

    fn manifests(&self) -> anyhow::Result<Vec<Digest>> {
        let names = fsx::names(&self.path.join("_manifests/revisions/sha256"))?;
        let digests = names.iter().filter_map(|hex| Digest::from_hex(hex).ok());
        let mut served = Vec::new();
        for digest in digests {
            if self.serves(&digest)? {
                served.push(digest);
            }
        }
        Ok(served)
    }

    /// Deleting a manifest by its digest deletes this link, but not its tags.
    fn serves(&self, digest: &Digest) -> anyhow::Result<bool> {
        let revisions = self.path.join("_manifests/revisions/sha256");
        Ok(link(&revisions.join(digest.hex()).join("link"))?.is_some())
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
