//! Files of a site that its catalogue does not ask for.
//!
//! Content that nothing names any more is left by tags that move and by what is dropped: it stays until
//! `prune`, since a client may be in the middle of a pull. Anything else where a registry looks is
//! not the site's.

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::endpoint::Endpoint;
use crate::plan::{Part, Plan};
use crate::site_files::SiteFiles;
use crate::spec::digest::Digest;
use crate::spec::media_type::MANIFEST_TYPES;
use crate::spec::v1::V1Id;
use crate::tree::Stage;

/// A file that the catalogue does not ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unplanned {
    /// Its path relative to the root of the site.
    pub path: String,
    /// What it is by its name.
    pub kind: Kind,
}

/// What a file is that the catalogue does not ask for, by its name. The order is the one in which such
/// files may go: first what makes clients or a later build look for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A manifest by its digest, in a repository.
    Manifest(Digest),
    /// The JSON of a v1 image, which says that the rest of it is there.
    V1Json(V1Id),
    /// The rest of a v1 image.
    V1Rest(V1Id),
    /// A blob by its digest, in a repository.
    Blob(Digest),
    /// Content under `blobs/`.
    Content(Digest),
    /// No file that a build writes.
    Foreign,
}

impl Kind {
    fn of(path: &str) -> Self {
        if let Some((folder, name)) = path.split_once("/_types/") {
            let digest = name.rsplit_once('.').and_then(|(digest, extension)| {
                let known = MANIFEST_TYPES.iter().any(|(_, known)| *known == extension);
                digest.parse().ok().filter(|_| known)
            });
            return match digest {
                Some(digest) if folder.starts_with("v2/") => Self::Manifest(digest),
                _ => Self::Foreign,
            };
        }
        match Endpoint::of(&format!("/{path}")) {
            Some(Endpoint::Manifest(_, digest)) => Self::Manifest(digest),
            Some(Endpoint::Blob(_, digest)) => Self::Blob(digest),
            Some(Endpoint::Content(digest)) => Self::Content(digest),
            Some(Endpoint::V1Image(id, _)) if path.ends_with("/json") => Self::V1Json(id),
            Some(Endpoint::V1Image(id, _)) => Self::V1Rest(id),
            _ => Self::Foreign,
        }
    }
}

/// Finds all files under `blobs/`, `v1/` and `v2/` that the plan of the whole site does not name, sorted
/// by their kind. Links are not followed: one is a file like any other. Other files in the root are
/// nobody's business.
///
/// # Errors
/// When a folder cannot be read.
pub fn find(files: &SiteFiles, plan: &Plan<'_>) -> anyhow::Result<Vec<Unplanned>> {
    let mut planned = Paths::of(plan)?;
    // The form that an image came with is kept as long as the image, even without a tag.
    let entries = plan
        .images
        .repositories
        .values()
        .flat_map(|repo| repo.manifests.values());
    for top in entries
        .filter_map(|entry| entry.v1)
        .filter(|_| plan.catalogue.apis.v1)
    {
        for (id, _) in files.v1_chain(top)? {
            planned.add_v1_image(id);
        }
    }
    let mut found = Vec::new();
    for folder in ["blobs", "v1", "v2"] {
        let folder = files.path(folder);
        if !folder.exists() {
            continue;
        }
        for entry in WalkDir::new(&folder).min_depth(1) {
            let entry = entry?;
            if entry.file_type().is_dir() {
                continue;
            }
            let path = relative(files.root(), entry.path())?;
            if !planned.has(&path) {
                let kind = Kind::of(&path);
                found.push(Unplanned { path, kind });
            }
        }
    }
    found.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(found)
}

fn relative(root: &Path, path: &Path) -> anyhow::Result<String> {
    let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
    Ok(relative)
}

/// Paths, 16 bytes each: a site of 100,000 references has millions of them.
struct Paths(HashSet<[u8; 16]>);

impl Paths {
    fn of(plan: &Plan<'_>) -> anyhow::Result<Self> {
        let mut paths = Self(HashSet::new());
        for part in plan.parts() {
            if let Part::V1Image(id) = part {
                paths.add_v1_image(id);
                continue;
            }
            for stage in Stage::ALL {
                for (path, _) in plan.tree(part, stage)?.files() {
                    paths.add(path);
                }
            }
        }
        Ok(paths)
    }

    fn key(path: &str) -> [u8; 16] {
        let digest = Sha256::digest(path.as_bytes());
        std::array::from_fn(|index| digest[index])
    }

    fn add(&mut self, path: &str) {
        self.0.insert(Self::key(path));
    }

    fn add_v1_image(&mut self, id: V1Id) {
        for name in ["ancestry", "checksum", "json", "layer"] {
            self.add(&format!("v1/images/{id}/{name}"));
        }
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(&Self::key(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_build_writes_is_content() {
        let hex = "0".repeat(64);
        for path in [
            "v2/a/tags/list",
            "v2/a/manifests/latest",
            "v2/a/_types/latest.om",
            "v1/images/x/json",
            "v2/readme.txt",
            "blobs/sha256/readme",
        ] {
            assert_eq!(Kind::of(path), Kind::Foreign, "{path}");
        }
        for path in [
            format!("v2/a/manifests/sha256:{hex}"),
            format!("v2/a/_types/sha256:{hex}.d2"),
            format!("v1/images/{hex}/json"),
            format!("v1/images/{hex}/layer"),
            format!("v2/a/b/blobs/sha256:{hex}"),
            format!("blobs/sha256/{hex}"),
        ] {
            assert_ne!(Kind::of(&path), Kind::Foreign, "{path}");
        }
        assert_eq!(
            Kind::of(&format!("v2/a/_types/sha256:{hex}.zz")),
            Kind::Foreign
        );
        assert_eq!(
            Kind::of(&format!("v2/a/referrers/sha256:{hex}")),
            Kind::Foreign
        );
    }
}
