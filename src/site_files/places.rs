//! Where a repository of a site has content.
//! ```text
//! blobs/sha256/<hex>
//! v2/<name>/{blobs,manifests}/<digest>    the same file, or a copy
//! v2/<name>/manifests/<tag>               a copy of a manifest with a tag
//! ```

use crate::bail_invalid;
use crate::content::Content;
use crate::site_files::catalogue::{Entry, Repo};
use crate::site_files::{SiteFiles, blob_path};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::name::Repository;

pub struct Places<'a> {
    files: &'a SiteFiles,
    /// The names of the repository.
    pub names: Vec<String>,
    /// What the catalogue says of it.
    pub repo: &'a Repo,
}

impl<'a> Places<'a> {
    pub fn new(files: &'a SiteFiles, repository: &Repository, repo: &'a Repo) -> Self {
        let names = repository.aliases();
        Self { files, names, repo }
    }

    /// Whether the files are those of an export.
    pub fn is_of_export(&self) -> bool {
        self.files.is_carried()
    }

    /// The content of a digest: what `check` makes of the first file that passes it. `None` if there is no file of that
    /// name.
    ///
    /// # Errors
    /// That of the first check, if no file passes.
    pub fn find<T>(
        &self,
        digest: &Digest,
        check: impl Fn(&Content) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let checked = |path: &str| {
            let found = self.files.content(path)?;
            found.as_ref().map(&check).transpose()
        };
        let in_repository = |name: &String| {
            ["blobs", "manifests"].map(|folder| format!("v2/{name}/{folder}/{digest}"))
        };
        let by_digest = self.names.iter().flat_map(in_repository);
        let mut first = None;
        for path in std::iter::once(blob_path(digest)).chain(by_digest) {
            match checked(&path) {
                Ok(None) => {}
                Ok(passed) => return Ok(passed),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        // A tag may have moved on.
        let tags = self.repo.tags.iter().filter(|(_, other)| *other == digest);
        for (tag, _) in tags {
            for name in &self.names {
                if let Ok(Some(passed)) = checked(&format!("v2/{name}/manifests/{tag}")) {
                    return Ok(Some(passed));
                }
            }
        }
        first.map_or(Ok(None), Err)
    }
}

/// Parses a manifest of the catalogue, and checks its digest.
pub fn read_manifest(
    content: &Content,
    digest: &Digest,
    entry: &Entry,
) -> anyhow::Result<Manifest> {
    let manifest = Manifest::parse(content.read(MAX_JSON)?, Some(&entry.media_type))
        .map_err(|error| error.context(format!("cannot read {}", content.origin())))?;
    if manifest.digest != *digest {
        bail_invalid!(
            "{} has the digest {}, not {digest}",
            content.origin(),
            manifest.digest
        );
    }
    Ok(manifest)
}
