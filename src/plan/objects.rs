//! The objects of a site in publishing order: content, manifests, tags, lists, catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pages::Page;
use crate::plan::tree::{File, Stage};
use crate::plan::{Part, Plan};
use crate::routes::{Cache, Route};
use crate::spec::digest::Digest;

/// Something that clients request.
#[derive(Clone, Debug)]
pub struct Object {
    /// The URL path, from the root of the host.
    pub path: String,
    /// The file to serve, relative to the root of the site.
    pub file: String,
    /// The `Content-Type`.
    pub media_type: &'static str,
    /// The `Docker-Content-Digest`, or the digest of the bytes; `None` if that takes reading the file.
    pub digest: Option<Digest>,
    /// Length in bytes; `None` if only the file tells.
    pub size: Option<u64>,
    /// The content, if the plan makes it.
    pub bytes: Option<Arc<[u8]>>,
    /// The page that it is. Its bytes are made when they are needed, and nothing else tells its size and digest.
    pub page: Option<Page>,
    /// How long a response may be cached.
    pub cache: Cache,
    pub stage: Stage,
}

impl Plan<'_> {
    /// Visits all objects in publishing order. For a v1 image this visits all the files it may have: only the
    /// site tells whether there is a `checksum`.
    pub fn objects(
        &self,
        visit: &mut dyn FnMut(&Object) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        Stage::GROUPS
            .iter()
            .try_for_each(|stages| self.objects_in(stages, visit))
    }

    /// Visits the objects of a group of stages in publishing order.
    pub fn objects_in(
        &self,
        stages: &[Stage],
        visit: &mut dyn FnMut(&Object) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // Objects of later stages in a group are few (lists), so they are collected.
        let mut later: BTreeMap<Stage, Vec<Object>> = BTreeMap::new();
        for part in self.parts() {
            for object in self.objects_of(part, stages)? {
                if object.stage == stages[0] {
                    visit(&object)?;
                } else {
                    later.entry(object.stage).or_default().push(object);
                }
            }
        }
        later.values().flatten().try_for_each(&mut *visit)
    }

    fn objects_of(&self, part: Part<'_>, stages: &[Stage]) -> anyhow::Result<Vec<Object>> {
        if let Part::V1Image(id) = part {
            let files = [
                ("layer", Stage::Content),
                ("ancestry", Stage::Manifest),
                ("checksum", Stage::Manifest),
                ("json", Stage::V1Json),
            ];
            let files = files.iter().filter(|(_, stage)| stages.contains(stage));
            let object =
                |(name, stage): &(&str, _)| object(&format!("v1/images/{id}/{name}"), *stage);
            return Ok(files.filter_map(object).collect());
        }
        if !self.may_have(part, stages) {
            return Ok(Vec::new());
        }
        let tree = self.tree(part)?;
        let files = tree.files().filter(|(_, stage, _)| stages.contains(stage));
        let objects = files.filter_map(|(file, stage, content)| {
            Some(Object {
                digest: self.digest(part, file, content),
                size: self.size(content),
                bytes: match content {
                    File::Bytes(bytes) => Some(bytes.clone()),
                    _ => None,
                },
                page: match content {
                    File::Page(page) => Some(page.clone()),
                    _ => None,
                },
                ..object(file, stage)?
            })
        });
        Ok(objects.collect())
    }

    /// Whether planning the part may give files of these stages.
    fn may_have(&self, part: Part<'_>, stages: &[Stage]) -> bool {
        let stage = match part {
            Part::Blob(digest) if self.images.manifests.contains_key(&digest) => Stage::Manifest,
            Part::Blob(_) => Stage::Content,
            Part::Lists => return !stages.contains(&Stage::Content),
            Part::Repository(_) | Part::V1Image(_) => return !stages.contains(&Stage::V1Json),
        };
        stages.contains(&stage)
    }

    fn size(&self, content: &File) -> Option<u64> {
        match content {
            File::Bytes(bytes) | File::TagLines { new: bytes, .. } => Some(bytes.len() as u64),
            File::Blob(digest) | File::Own(digest) => {
                let manifest = self.images.manifests.get(digest);
                let blob = || self.images.blobs.get(digest).map(|blob| blob.size);
                manifest.map_or_else(blob, |manifest| Some(manifest.bytes.len() as u64))
            }
            _ => None,
        }
    }

    /// The digest that clients use. For a signed schema 1 manifest it is not that of the file's bytes.
    fn digest(&self, part: Part<'_>, file: &str, content: &File) -> Option<Digest> {
        match content {
            File::Blob(digest) | File::Own(digest) | File::Kept(digest) => Some(*digest),
            File::Bytes(bytes) => {
                let typed = file.split_once("/_types/").map(|(_, name)| name);
                let tag = typed.and_then(|name| name.rsplit_once('.'));
                let tagged = match (part, tag) {
                    (Part::Repository(repository), Some((tag, _))) => {
                        let tags = &self.images.repositories[repository].tags;
                        tags.get(&tag.parse().ok()?).copied()
                    }
                    _ => None,
                };
                Some(tagged.unwrap_or_else(|| Digest::of(bytes)))
            }
            _ => None,
        }
    }
}

/// The object that a file answers, if clients request one.
fn object(file: &str, stage: Stage) -> Option<Object> {
    // A manifest is listed by its file under `_types/`, whose name tells the media type.
    let (file, typed) = match file.split_once("/_types/") {
        Some((folder, name)) => {
            let name = name.rsplit('/').next().unwrap_or(name);
            let reference = name
                .rsplit_once('.')
                .map_or(name, |(reference, _)| reference);
            (format!("{folder}/manifests/{reference}"), file)
        }
        None => (file.to_owned(), ""),
    };
    let path = match file.as_str() {
        "index.html" => "/".to_owned(),
        "v2/index.html" => "/v2/".to_owned(),
        file => format!("/{}", file.strip_suffix("/index.json").unwrap_or(file)),
    };
    let route = Route::of(&path)?;
    let is_manifest = matches!(route, Route::Tagged(..) | Route::Manifest(..));
    if (is_manifest && typed.is_empty()) || file.ends_with("/tags/index.html") {
        return None;
    }
    let (media_type, cache) = (route.media_type(typed), route.cache());
    Some(Object {
        path,
        file,
        media_type,
        digest: None,
        size: None,
        bytes: None,
        page: None,
        cache,
        stage,
    })
}
