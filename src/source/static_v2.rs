//! `static-v2:` a static tree of the v2 API, as registrish writes it, or a copy of the `v2` folder of a site.
//! ```text
//! v2/<name>/manifests/<tag>
//!           manifests/sha256:<hex>      or sha256%3A<hex>, or <hex>
//!           blobs/sha256:<hex>
//! ```
//! A manifest may be there by its tag alone. Hidden files belong to the server and are passed over.

use std::cell::RefCell;
use std::collections::BTreeMap;
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
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Tag;

pub const FORMAT: Format = Format {
    prefix: "static-v2",
    about: "a static `v2/<name>/{manifests,blobs}` tree, such as registrish writes",
    reads: Input::Folder { fit, load },
    has_folders: false,
};

/// Folders nested deeper than this hold no repository.
const MAX_DEPTH: usize = 16;

fn fit(folder: &Path) -> anyhow::Result<Fit> {
    Ok(match root_of(folder)? {
        Some(root) if root != folder => Fit::Detected,
        Some(_) => Fit::WithPrefix,
        None => Fit::No("it has no folder `v2` with `NAME/manifests` and `NAME/blobs`".into()),
    })
}

/// The folder `v2` in the folder, or the folder itself.
fn root_of(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let is_v2 = folder.file_name().is_some_and(|name| name == "v2");
    let itself = is_v2.then(|| folder.to_owned());
    for root in [folder.join("v2")].into_iter().chain(itself) {
        if fsx::meta(&root)?.is_some() && !repositories(&root, "", 0, true)?.is_empty() {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let root = root_of(folder)?.context("it is not a static tree")?;
    let mut drafts = Vec::new();
    for name in repositories(&root, "", 0, false)? {
        let origin = format!("`{}` in `{}`", escaped(&name), fsx::escaped_path(folder));
        let repository = Repository {
            path: root.join(&name),
            by_tag: RefCell::default(),
        };
        drafts.push(stored_repository::load(&repository, name, origin, request)?);
    }
    Ok(drafts)
}

/// The names of the repositories; with `first`, of one at most.
fn repositories(
    folder: &Path,
    name: &str,
    depth: usize,
    first: bool,
) -> anyhow::Result<Vec<String>> {
    let names = fsx::folders(folder)?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let mut found = Vec::new();
    if !name.is_empty() && has("manifests") && has("blobs") {
        found.push(name.to_owned());
    }
    for part in names {
        // No part of a name begins with `_`, as the other folders of a site do.
        let is_own = matches!(&*part, "manifests" | "blobs") && !found.is_empty();
        if depth == MAX_DEPTH || is_own || part.starts_with('_') || (first && !found.is_empty()) {
            continue;
        }
        let path = folder.join(&part);
        // A link to a parent folder would make this recurse without end.
        if !fsx::is_link(&path)? {
            let name = if name.is_empty() {
                part
            } else {
                format!("{name}/{part}")
            };
            found.extend(repositories(&path, &name, depth + 1, first)?);
        }
    }
    Ok(found)
}

struct Repository {
    path: PathBuf,
    /// The names of the files of manifests that have been read by their tags.
    by_tag: RefCell<BTreeMap<Digest, String>>,
}

impl Repository {
    fn file(&self, folder: &str, name: &str) -> anyhow::Result<Option<Content>> {
        let path = self.path.join(folder).join(name);
        match fsx::meta(&path)? {
            Some(meta) if meta.is_file => Content::file(path),
            _ => Ok(None),
        }
    }

    /// A file by the name of its digest: with a colon, escaped, or the hex digits alone.
    fn by_digest(&self, folder: &str, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let hex = digest.hex();
        for name in [digest.to_string(), format!("sha256%3A{hex}"), hex] {
            if let Some(content) = self.file(folder, &name)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }
}

impl Blobs for Repository {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        for folder in ["manifests", "blobs"] {
            if let Some(content) = self.by_digest(folder, digest)? {
                return Ok(Some(content));
            }
        }
        match self.by_tag.borrow().get(digest) {
            Some(tag) => self.file("manifests", tag),
            None => Ok(None),
        }
    }
}

impl StoredRepository for Repository {
    fn tags(&self) -> anyhow::Result<Vec<String>> {
        let mut names = fsx::files(&self.path.join("manifests"))?;
        names.retain(|name| name.parse::<Tag>().is_ok());
        Ok(names)
    }

    fn digest(&self, tag: &Tag) -> anyhow::Result<Option<Digest>> {
        let Some(content) = self.file("manifests", tag.as_str())? else {
            return Ok(None);
        };
        let bytes = content.read(MAX_JSON)?;
        // That of signed schema 1 is not the digest of the file.
        let digest = Manifest::parse(bytes.clone(), None)
            .map_or_else(|_| Digest::of(&bytes), |manifest| manifest.digest);
        self.by_tag
            .borrow_mut()
            .insert(digest, tag.as_str().to_owned());
        Ok(Some(digest))
    }

    fn manifests(&self) -> anyhow::Result<Vec<Digest>> {
        let names = fsx::names(&self.path.join("manifests"))?;
        let digests = names.iter().map(|name| name.replace("%3A", ":"));
        Ok(digests.filter_map(|name| name.parse().ok()).collect())
    }

    fn serves(&self, _: &Digest) -> anyhow::Result<bool> {
        Ok(true)
    }
}
