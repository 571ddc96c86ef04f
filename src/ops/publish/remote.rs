//! The bucket as a site: its objects, its catalogue, and the manifests and v1 images that a merge needs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use md5::{Digest as _, Md5};
use serde::de::DeserializeOwned;

use crate::bail_invalid;
use crate::bucket::{self, Bucket, Listed};
use crate::error::WithHint as _;
use crate::site_files::catalogue::{Catalogue, Entry, Repo};
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;

const CATALOGUE: &str = "index.json";
/// How often a bucket is read again because it changes meanwhile.
const ATTEMPTS: u32 = 20;

/// The state of the bucket before a publish.
pub(super) struct Remote<'a> {
    /// `None` for one that is only thought of, and empty.
    bucket: Option<&'a Bucket>,
    objects: HashMap<u128, Seen>,
    seen: SeenV1,
    /// `None` for a bucket without a site.
    pub(super) catalogue: Option<Catalogue>,
    /// The digest of the catalogue, and its `ETag`.
    catalogue_seen: Option<(Digest, String)>,
}

/// What of v1 the bucket has.
#[derive(Clone, Copy, Debug, Default)]
struct SeenV1 {
    an_image: bool,
    a_single_tag: bool,
}

/// Whether a key is one of `v1/repositories/<name>/tags/<tag>`, which are beside the list `tags`. A repository may be
/// called `<name>/tags`: a tag `tags` or `images` counts as its.
pub(super) fn is_single_tag(key: &str) -> bool {
    key.starts_with("v1/repositories/")
        && key
            .rsplit_once('/')
            .is_some_and(|(folder, tag)| folder.ends_with("/tags") && !is_list(tag))
}

fn is_list(name: &str) -> bool {
    matches!(name, "tags" | "images")
}

/// An object of the bucket.
#[derive(Clone, Debug)]
struct Seen {
    size: u64,
    etag: Etag,
}

/// `ETag`s are many, so those that are an MD5 are kept short.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Etag {
    Md5(u128),
    Other(Box<str>),
}

impl Etag {
    fn of(text: &str) -> Self {
        let hex = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let number = hex
            .filter(|hex| hex.len() == 32 && !hex.contains(|c: char| c.is_ascii_uppercase()))
            .and_then(|hex| u128::from_str_radix(hex, 16).ok());
        match number {
            Some(number) => Self::Md5(number),
            None => Self::Other(text.into()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Md5(number) => format!("\"{number:032x}\""),
            Self::Other(text) => text.to_string(),
        }
    }
}

fn md5(bytes: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(bytes).into())
}

/// A short name of a key.
pub(super) fn short(key: &str) -> u128 {
    md5(key.as_bytes())
}

/// An object of the bucket, compared with what it should be.
pub(super) enum Compared {
    Missing,
    /// Other bytes, with their `ETag`.
    Other(String),
    Same,
}

impl<'a> Remote<'a> {
    /// Reads the list of the bucket, and its catalogue as it was meanwhile: another publisher may be at work.
    pub(super) fn read(bucket: &'a Bucket) -> anyhow::Result<Self> {
        let mut before = None;
        for _ in 0..ATTEMPTS {
            let remote = Self::read_once(bucket)?;
            let listed = remote.objects.get(&short(CATALOGUE));
            let listed = listed.map(|seen| seen.etag.clone());
            let read = remote.catalogue_seen.as_ref();
            let read = read.map(|(_, etag)| Etag::of(etag));
            let is_same = listed == read;
            let tags = Some((listed, read));
            // Some stores list others, or none, which stay as they are.
            if is_same || tags == before {
                return Ok(remote);
            }
            before = tags;
            std::thread::sleep(bucket::pause());
        }
        Err(anyhow::anyhow!("others publish to the bucket all the time")).hint("try again later")
    }

    fn read_once(bucket: &'a Bucket) -> anyhow::Result<Self> {
        let mut objects = HashMap::new();
        let mut seen_v1 = SeenV1::default();
        bucket.list(&mut |page| {
            for Listed { key, size, etag } in page {
                seen_v1.an_image |= key.starts_with("v1/images/");
                seen_v1.a_single_tag |= is_single_tag(&key);
                let etag = Etag::of(&etag);
                objects.insert(short(&key), Seen { size, etag });
            }
            Ok(())
        })?;
        let (catalogue, catalogue_seen) = match bucket.get(CATALOGUE)? {
            Some((bytes, etag)) => {
                let catalogue =
                    Catalogue::parse(&bytes).context("cannot read `index.json` of the bucket")?;
                (Some(catalogue), Some((Digest::of(&bytes), etag)))
            }
            None => (None, None),
        };
        Ok(Self {
            bucket: Some(bucket),
            objects,
            seen: seen_v1,
            catalogue,
            catalogue_seen,
        })
    }

    /// A bucket that is only thought of, and empty.
    pub(super) fn none() -> Self {
        Self {
            bucket: None,
            objects: HashMap::new(),
            seen: SeenV1::default(),
            catalogue: None,
            catalogue_seen: None,
        }
    }

    /// Whether the bucket lists v1 images, but has no `tags/<tag>`, which are stored before the catalogue: the store
    /// keeps no object beside a folder of its name.
    pub(super) fn lacks_single_tags(&self) -> bool {
        self.catalogue.is_some() && self.seen.an_image && !self.seen.a_single_tag
    }

    pub(super) fn bucket(&self) -> anyhow::Result<&'a Bucket> {
        self.bucket.context("there is no bucket")
    }

    /// The repositories that the bucket lists.
    pub(super) fn repositories(&self) -> &BTreeMap<Repository, Repo> {
        static NONE: BTreeMap<Repository, Repo> = BTreeMap::new();
        let catalogue = self.catalogue.as_ref();
        catalogue.map_or(&NONE, |catalogue| &catalogue.repositories)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether the bucket has an object of this length, in bytes.
    pub(super) fn has(&self, key: &str, size: u64) -> bool {
        self.size(key) == Some(size)
    }

    /// The length of an object of the bucket, in bytes.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.objects.get(&short(key)).map(|seen| seen.size)
    }

    /// Compares a pointer. Where an `ETag` is no MD5, or unknown, it is read.
    pub(super) fn compare(&self, key: &str, bytes: &[u8]) -> anyhow::Result<Compared> {
        let Some(seen) = self.objects.get(&short(key)) else {
            return Ok(Compared::Missing);
        };
        if key == CATALOGUE {
            return Ok(match &self.catalogue_seen {
                Some((digest, _)) if *digest == Digest::of(bytes) => Compared::Same,
                Some((_, etag)) => Compared::Other(etag.clone()),
                None => Compared::Missing,
            });
        }
        let is_long = seen.size != bytes.len() as u64;
        match &seen.etag {
            Etag::Md5(stored) if !is_long && *stored == md5(bytes) => Ok(Compared::Same),
            Etag::Other(text) if !is_long || text.is_empty() => {
                Ok(match self.bucket()?.get(key)? {
                    Some((stored, _)) if stored == bytes => Compared::Same,
                    Some((_, etag)) => Compared::Other(etag),
                    None => Compared::Missing,
                })
            }
            etag => Ok(Compared::Other(etag.text())),
        }
    }

    /// The bytes of an object of the list.
    pub(super) fn get(&self, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        if !self.objects.contains_key(&short(key)) {
            return Ok(None);
        }
        Ok(self.bucket()?.get(key)?.map(|(bytes, _)| bytes))
    }

    /// A manifest of a repository.
    pub(super) fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        entry: &Entry,
    ) -> anyhow::Result<Arc<Manifest>> {
        let key = format!("v2/{repository}/manifests/{digest}");
        let (bytes, _) = self.bucket()?.get(&key)?.with_context(|| {
            format!("the bucket lists {repository}@{digest}, but has no `{key}`")
        })?;
        let manifest = Manifest::parse(bytes.into(), Some(&entry.media_type))?;
        if manifest.digest != *digest {
            bail_invalid!("`{key}` of the bucket has the digest {}", manifest.digest);
        }
        Ok(Arc::new(manifest))
    }

    /// The v1 images of the tags of a repository, by one of its names.
    pub(super) fn v1_tags(&self, name: &str) -> anyhow::Result<BTreeMap<Tag, V1Id>> {
        let tags: BTreeMap<String, String> = self
            .json(&format!("v1/repositories/{name}/tags"))?
            .unwrap_or_default();
        tags.into_iter()
            .map(|(tag, id)| Ok((tag.parse()?, id.parse()?)))
            .collect()
    }

    /// The v1 image of a tag, if it has one.
    pub(super) fn v1_tag(&self, name: &str, tag: &Tag) -> anyhow::Result<Option<V1Id>> {
        let id: Option<String> = self.json(&format!("v1/repositories/{name}/tags/{tag}"))?;
        id.map(|id| id.parse()).transpose()
    }

    /// An object of the list.
    fn json<T: DeserializeOwned>(&self, key: &str) -> anyhow::Result<Option<T>> {
        if self.objects.contains_key(&short(key)) {
            self.json_now(key)
        } else {
            Ok(None)
        }
    }

    /// An object as it is now.
    fn json_now<T: DeserializeOwned>(&self, key: &str) -> anyhow::Result<Option<T>> {
        let object = self.bucket()?.get(key)?;
        let parsed = object.map(|(bytes, _)| serde_json::from_slice(&bytes));
        parsed
            .transpose()
            .with_context(|| format!("cannot read `{key}` of the bucket"))
    }

    /// The ids of a v1 image and of all below it, the base last.
    pub(super) fn v1_chain(&self, top: V1Id) -> anyhow::Result<Vec<V1Id>> {
        let key = format!("v1/images/{top}/ancestry");
        let ids: Option<Vec<String>> = self.json_now(&key)?;
        let ids = ids.with_context(|| format!("the bucket has no `{key}`"))?;
        ids.iter().map(|id| id.parse()).collect()
    }
}
