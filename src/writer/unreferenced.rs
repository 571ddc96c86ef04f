//! Finds files of a site that its catalogue does not refer to.
//!
//! Tags that move and references that are dropped leave unused content. It stays until `prune`, since a
//! client may be in the middle of a pull. Copying a newer site over an older one leaves stale names. All
//! other files under `blobs/`, `v1/` and `v2/` do not belong to the site.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::fsx;
use crate::pages::{ASSETS, Page, has_pages, is_image, is_of_repository};
use crate::plan::v2::OVER_1000;
use crate::plan::{Part, Plan};
use crate::routes::Route;
use crate::site_files::{FOLDERS, SiteFiles, v1_files};
use crate::spec::digest::Digest;
use crate::spec::media_type::MANIFEST_TYPES;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;

/// A file that the catalogue does not refer to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unreferenced {
    /// The path relative to the site.
    pub path: String,
    pub kind: FileKind,
}

/// The kind of an unreferenced file, judged by its name. Files are deleted in this order, so that a file goes
/// before those that it makes clients or a later build look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    /// A list of tags or repositories, or a ping response.
    List,
    /// A tag, a list of referrers, or a signature.
    Pointer,
    /// A manifest by digest, in a repository.
    Manifest(Digest),
    /// The JSON of a v1 image, whose presence means that the image is complete.
    V1Json(V1Id),
    /// Another file of a v1 image.
    V1Rest(V1Id),
    /// A blob by digest, in a repository.
    Blob(Digest),
    /// A blob under `blobs/`.
    Content(Digest),
    /// A file that no build writes.
    Foreign,
}

impl FileKind {
    pub(crate) fn of(path: &str) -> Self {
        Self::known(path).unwrap_or(Self::Foreign)
    }

    /// The kind, if a build could write a file of this name.
    fn known(path: &str) -> Option<Self> {
        let is_repository = |name: &str| name.parse::<Repository>().is_ok();
        let named = |name: &str, kind: Self| is_repository(name).then_some(kind);
        let tagged = |name: &str, tag: &str| named(name, Self::Pointer).filter(|_| is_tag(tag));
        let typed = |file: &str| {
            let (reference, extension) = file.rsplit_once('.')?;
            let mut types = MANIFEST_TYPES.iter();
            types.find(|(_, known)| *known == extension)?;
            Some(reference.to_owned())
        };
        if let Some((folder, file)) = path.split_once("/_types/") {
            let name = folder.strip_prefix("v2/")?;
            let (folder, file) = file.split_once('/').unwrap_or(("", file));
            let reference = typed(file)?;
            return match reference.parse() {
                // In format 1 manifests had no folders.
                Ok(digest) if folder.is_empty() || folder == reference => {
                    Some(Self::Manifest(digest))
                }
                Err(_) if folder.is_empty() => tagged(name, &reference),
                _ => None,
            };
        }
        if let Some(name) = path
            .strip_suffix(OVER_1000)
            .and_then(|name| name.strip_suffix('/'))
        {
            return named(name.strip_prefix("v2/")?, Self::Pointer);
        }
        if let Some((folder, tag)) = path.split_once("/_tags/") {
            let name = folder.strip_prefix("v2/")?;
            // A copy that follows links makes a folder of each.
            return match tag.split_once('/') {
                None => tagged(name, tag),
                Some((tag, file)) => {
                    typed(file)?.parse::<Digest>().ok()?;
                    tagged(name, tag)
                }
            };
        }
        if let Some(name) = path.strip_suffix("/manifests/.htaccess") {
            return named(name.strip_prefix("v2/")?, Self::Pointer);
        }
        if let Some(rest) = path.strip_prefix("_pages/") {
            let is_known = || Page::LISTS.iter().any(|page| page.path() == path);
            if is_known() || ASSETS.iter().any(|(asset, _)| *asset == path) {
                return Some(Self::List);
            }
            let (name, file) = rest.rsplit_once('/')?;
            name.parse().ok().filter(has_pages)?;
            if is_of_repository(file) {
                return Some(Self::List);
            }
            return is_image(file).then_some(Self::Pointer);
        }
        // A server without configuration serves it for the path of its folder.
        let path = path.strip_suffix("/index.html").unwrap_or(path);
        match Route::of(&format!("/{path}"))? {
            Route::Ping | Route::Search | Route::V2 | Route::Catalog => Some(Self::List),
            Route::V1Images(name) | Route::V1Tags(name) | Route::Tags(name) => {
                named(name, Self::List)
            }
            Route::V1Tag(name, "index.json") => named(name, Self::List),
            Route::V1Tag(name, tag) | Route::Tagged(name, tag) => tagged(name, tag),
            Route::Referrers(name, digest) => {
                named(name, Self::Pointer).filter(|_| digest.parse::<Digest>().is_ok())
            }
            Route::Manifest(_, digest) => Some(Self::Manifest(digest)),
            Route::Signature(path, _) => {
                let (name, _) = path.rsplit_once("@sha256=")?;
                named(name, Self::Pointer)
            }
            Route::Blob(_, digest) => Some(Self::Blob(digest)),
            Route::Content(digest) => Some(Self::Content(digest)),
            Route::V1Image(id, _) if path.ends_with("/json") => Some(Self::V1Json(id)),
            Route::V1Image(id, _) => Some(Self::V1Rest(id)),
            Route::Page(_) | Route::Layout(_) => None,
        }
    }

    /// Whether it is a tag or list, through which clients find other files.
    pub(crate) fn is_name(self) -> bool {
        matches!(self, Self::List | Self::Pointer)
    }

    /// Whether it is content, which stays for the grace period.
    pub(crate) fn is_content(self) -> bool {
        !self.is_name() && self != Self::Foreign
    }
}

fn is_tag(text: &str) -> bool {
    text.parse::<Tag>().is_ok()
}

/// Visits the paths of all files of a plan, and of those that a v1 image may have.
pub(crate) fn planned(plan: &Plan<'_>, visit: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    for part in plan.parts() {
        if let Part::V1Image(id) = part {
            for path in v1_files(id) {
                visit(&path);
            }
            continue;
        }
        for (path, ..) in plan.tree(part)?.files() {
            visit(path);
        }
    }
    Ok(())
}

/// Finds all files in the folders of a site that the plan of the whole site does not have, sorted by
/// kind. Symbolic links are not followed, and count as files, but for those to folders of the site. Other files in the
/// root are ignored.
pub(crate) fn find(files: &SiteFiles, plan: &Plan<'_>) -> anyhow::Result<Vec<Unreferenced>> {
    let mut planned = Paths::of(plan)?;
    // The v1 form of an image is kept as long as its manifest, even without a tag.
    let entries = plan
        .images
        .repositories
        .values()
        .flat_map(|repo| repo.manifests.values());
    for top in entries
        .filter_map(|entry| entry.v1)
        .filter(|_| plan.catalogue.apis.v1)
    {
        for id in files.v1_ids(top) {
            planned.add_v1_image(id);
        }
    }
    let root = fsx::canonical(files.root());
    let (mut found, mut linked) = (Vec::new(), Vec::new());
    for folder in FOLDERS {
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
            if planned.has(&path) {
                continue;
            }
            let kind = FileKind::of(&path);
            if kind == FileKind::Foreign
                && is_above_repository(plan, &path)
                && let Some(folder) = linked_folder(&root, entry.path())
            {
                linked.push(folder);
                continue;
            }
            found.push(Unreferenced { path, kind });
        }
    }
    // The plan has its files under the name of the link.
    found.retain(|file| {
        !linked
            .iter()
            .any(|folder| Path::new(&file.path).starts_with(folder))
    });
    found.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(found)
}

/// Whether repositories of the plan lie below a path.
fn is_above_repository(plan: &Plan<'_>, path: &str) -> bool {
    let mut names = plan
        .images
        .repositories
        .keys()
        .flat_map(Repository::aliases);
    names.any(|name| {
        let folders = [
            format!("v2/{name}"),
            format!("v1/repositories/{name}"),
            format!("_pages/{name}"),
        ];
        folders
            .iter()
            .any(|folder| Path::new(folder).starts_with(path))
    })
}

/// The folder of the site, relative to it, to which a path is a link. The root and its folders are none.
fn linked_folder(root: &Path, path: &Path) -> Option<PathBuf> {
    let target = fsx::link_target(path)
        .ok()
        .flatten()
        .map(|_| fsx::canonical(path))?;
    let folder = target.strip_prefix(root).ok()?;
    (target.is_dir() && folder.components().count() > 1).then(|| folder.to_owned())
}

fn relative(root: &Path, path: &Path) -> anyhow::Result<String> {
    let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
    Ok(relative)
}

/// A set of paths, kept as 16-byte hashes: a site of 100,000 references has millions of them.
#[derive(Debug, Default)]
pub(super) struct Paths(HashSet<[u8; 16]>);

impl Paths {
    fn of(plan: &Plan<'_>) -> anyhow::Result<Self> {
        let mut paths = Self::default();
        planned(plan, &mut |path| paths.add(path))?;
        Ok(paths)
    }

    fn key(path: &str) -> [u8; 16] {
        let digest = Sha256::digest(path.as_bytes());
        std::array::from_fn(|index| digest[index])
    }

    pub(super) fn add(&mut self, path: &str) {
        self.0.insert(Self::key(path));
    }

    fn add_v1_image(&mut self, id: V1Id) {
        for path in v1_files(id) {
            self.add(&path);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(&Self::key(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_build_writes_is_known() {
        let hex = "0".repeat(64);
        for path in [
            "v1/_ping",
            "v1/search",
            "v2/index.html",
            "v2/_catalog",
            "v2/a/tags/list",
            "v1/repositories/library/a/images",
            "v1/repositories/a/tags/index.json",
            "v1/repositories/a/tags/index.html",
            "_pages/_search.json",
            "_pages/_style.css",
            "_pages/a/b/index.html",
            "_pages/a/images.json",
        ] {
            assert_eq!(FileKind::of(path), FileKind::List, "{path}");
        }
        for path in [
            "v2/a/manifests/latest".into(),
            "v2/a/b/_types/latest.om".into(),
            "v2/a/b/_tags/latest".into(),
            "v2/a/b/_tags/-over-1000".into(),
            format!("v2/a/b/_tags/latest/sha256:{hex}.om"),
            "v2/a/manifests/.htaccess".into(),
            "v1/repositories/a/b/tags/latest".into(),
            "v1/repositories/a/tags/tags".into(),
            format!("v2/a/referrers/sha256:{hex}"),
            format!("_pages/a/{hex}.html"),
        ] {
            assert_eq!(FileKind::of(&path), FileKind::Pointer, "{path}");
        }
        for path in [
            "v1/images/x/json",
            "v2/readme.txt",
            "v2/A/tags/list",
            "v2/a/manifests/.latest.x7Yz",
            "v2/a/manifests/-",
            "v2/a/_types/latest.zz",
            "v2/a/_types/latest/latest.om",
            "v2/a/_tags/-",
            "v2/a/_tags/latest/readme",
            "v1/repositories/a/tags/-",
            "v1/index.html",
            "blobs/sha256/readme",
            "_pages/_other.html",
            "_pages/a/other.html",
            "_pages/a/index.html/index.html",
        ] {
            assert_eq!(FileKind::of(path), FileKind::Foreign, "{path}");
        }
        for path in [
            format!("v2/a/manifests/sha256:{hex}"),
            format!("v2/a/_types/sha256:{hex}.d2"),
            format!("v2/a/_types/sha256:{hex}/sha256:{hex}.d2"),
            format!("v1/images/{hex}/json"),
            format!("v1/images/{hex}/layer"),
            format!("v2/a/b/blobs/sha256:{hex}"),
            format!("blobs/sha256/{hex}"),
        ] {
            assert!(FileKind::of(&path).is_content(), "{path}");
        }
        assert_eq!(
            FileKind::of(&format!("v2/a/_types/sha256:{hex}.zz")),
            FileKind::Foreign
        );
    }
}
