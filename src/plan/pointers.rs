//! The paths where a repository has names: tags, referrers and lists. They are found by planning an empty
//! repository and one that has one of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use crate::images::Images;
use crate::images::v1_images::{V1Image, V1Images};
use crate::pages::{Pages, VERSION, has_pages};
use crate::plan::tree::{Stage, Tree};
use crate::plan::{Part, Plan};
use crate::routes::NO_REFERRERS;
use crate::site_files::catalogue::{Apis, Catalogue, Entry, Repo, ServedBy};
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;

/// The paths where a repository has names, relative to the root of the site.
#[derive(Debug)]
pub struct Pointers {
    /// Files that every repository has, even an empty one.
    pub lists: BTreeMap<String, Stage>,
    /// Folders with one file per name.
    pub folders: BTreeSet<String>,
    /// Folders with manifests by digest, which may also be in `folders`.
    pub manifests: BTreeSet<String>,
}

/// A repository name that stands for any other in [`SAMPLE`].
const NAME: &str = "sample/repository";

/// The paths for [`NAME`], planned once for all repositories.
static SAMPLE: LazyLock<Pointers> =
    LazyLock::new(|| Pointers::sample().expect("a sample can be planned"));

impl Pointers {
    /// The paths for a repository, under each of its names, in a site with all APIs and servers.
    pub fn of(repository: &Repository) -> Self {
        let (mut lists, mut folders, mut manifests) =
            <(BTreeMap<_, _>, BTreeSet<_>, BTreeSet<_>)>::default();
        for name in repository.aliases() {
            let path = |sample: &String| sample.replace(NAME, &name);
            // Pages lie under the first name alone.
            let has_pages = has_pages(repository) && name == repository.as_str();
            let is_there = |sample: &str| has_pages || !sample.starts_with("_pages/");
            let is_listed = SAMPLE.lists.iter().filter(|(sample, _)| is_there(sample));
            lists.extend(is_listed.map(|(sample, stage)| (path(sample), *stage)));
            let has_folder = SAMPLE.folders.iter().filter(|sample| is_there(sample));
            folders.extend(has_folder.map(path));
            manifests.extend(SAMPLE.manifests.iter().map(path));
        }
        Self {
            lists,
            folders,
            manifests,
        }
    }

    fn sample() -> anyhow::Result<Self> {
        let repository = NAME.parse()?;
        let empty = sample(&repository, false)?;
        let full = sample(&repository, true)?;
        let (mut folders, mut manifests) = (BTreeSet::new(), BTreeSet::new());
        for (path, stage, _) in full.files().filter(|(path, ..)| !empty.has(path)) {
            let folder_of = |path: &'_ str| path.rfind('/').map_or(0, |slash| slash);
            let mut folder = &path[..folder_of(path)];
            // A manifest by digest may lie in a folder of its own.
            if folder
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with("sha256:"))
            {
                folder = &folder[..folder_of(folder)];
            }
            let found = if stage < Stage::Pointer {
                &mut manifests
            } else {
                &mut folders
            };
            found.insert(folder.to_owned());
        }
        let lists = empty
            .files()
            .map(|(path, stage, _)| (path.to_owned(), stage));
        Ok(Self {
            lists: lists.collect(),
            folders,
            manifests,
        })
    }
}

/// Plans a sample repository: an empty one, or one with a tag in both APIs.
fn sample(repository: &Repository, is_full: bool) -> anyhow::Result<Tree> {
    let mut catalogue = Catalogue::empty(Apis { v1: true, v2: true });
    catalogue.servers = BTreeSet::from(ServedBy::ALL);
    catalogue.pages = Some(VERSION.into());
    let (mut images, mut v1, mut repo) = (Images::default(), V1Images::default(), Repo::default());
    if is_full {
        let manifest = Manifest::parse(Arc::from(NO_REFERRERS.as_bytes()), None)?;
        let digest = manifest.digest;
        let entry = Entry {
            media_type: manifest.media_type.to_owned(),
            size: 0,
            v1: None,
            foreign: BTreeSet::new(),
            signatures: Vec::new(),
        };
        repo.tags.insert(Tag::latest(), digest);
        repo.manifests.insert(digest, entry);
        images.manifests.insert(digest, Arc::new(manifest));
        let image = V1Image::in_site(None);
        let id = Digest::of(b"").hex().parse::<V1Id>()?;
        v1.images.insert(id, image);
        v1.tags
            .insert(repository.clone(), BTreeMap::from([(Tag::latest(), id)]));
    }
    images.repositories.insert(repository.clone(), repo);
    let plan = Plan {
        catalogue: &catalogue,
        images: &images,
        v1: &v1,
        pages: &Pages::of_images(&catalogue, &images),
    };
    plan.tree(Part::Repository(repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_where_clients_look_for_them() {
        let names = Pointers::of(&"a".parse().unwrap());
        for name in ["a", "library/a"] {
            for (folder, has_manifests) in [
                ("v1/repositories/NAME/tags", false),
                ("v2/NAME/manifests", true),
                ("v2/NAME/_types", true),
                ("v2/NAME/_tags", false),
                ("v2/NAME/referrers", false),
            ] {
                let folder = folder.replace("NAME", name);
                assert!(names.folders.contains(&folder), "{folder}");
                assert_eq!(names.manifests.contains(&folder), has_manifests, "{folder}");
            }
            for (list, stage) in [
                ("v1/repositories/NAME/images", Stage::Pointer),
                ("v1/repositories/NAME/tags/index.json", Stage::TagList),
                ("v2/NAME/tags/list", Stage::TagList),
                ("v2/NAME/manifests/.htaccess", Stage::Pointer),
            ] {
                let list = list.replace("NAME", name);
                assert_eq!(names.lists.get(&list), Some(&stage), "{list}");
            }
        }
    }
}
