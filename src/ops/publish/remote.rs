//! The bucket as a site: its objects, its catalogue, and the manifests and v1 images that a merge needs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use md5::{Digest as _, Md5};

use crate::bail_invalid;
use crate::bucket::{Bucket, Listed};
use crate::site_files::catalogue::{Catalogue, Entry, Repo};
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::V1Id;

const CATALOGUE: &str = "index.json";

/// The state of the bucket before a publish.
pub(super) struct Remote<'a> {
    /// `None` for one that is only thought of, and empty.
    bucket: Option<&'a Bucket>,
    objects: HashMap<u128, Seen>,
    /// `None` for a bucket without a site.
    pub(super) catalogue: Option<Catalogue>,
    /// The digest of the catalogue, and its `ETag`.
    catalogue_seen: Option<(Digest, String)>,
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
    pub(super) fn read(bucket: &'a Bucket) -> anyhow::Result<Self> {
        let mut objects = HashMap::new();
        bucket.list(&mut |page| {
            objects.extend(page.iter().map(
                |Listed {
                     key, size, etag, ..
                 }| {
                    let (size, etag) = (*size, Etag::of(etag));
                    (short(key), Seen { size, etag })
                },
            ));
            Ok(())
        })?;
        // After the list: what another publisher writes in between is newer than what is known of it, and its
        // `ETag`s refuse what follows from the old state.
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
            catalogue,
            catalogue_seen,
        })
    }

    /// A bucket that is only thought of, and empty.
    pub(super) fn none() -> Self {
        Self {
            bucket: None,
            objects: HashMap::new(),
            catalogue: None,
            catalogue_seen: None,
        }
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
        self.objects
            .get(&short(key))
            .is_some_and(|seen| seen.size == size)
    }

    /// Compares a pointer. Where an `ETag` is no MD5, it is read.
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
            Etag::Other(_) if !is_long => Ok(match self.bucket()?.get(key)? {
                Some((stored, _)) if stored == bytes => Compared::Same,
                Some((_, etag)) => Compared::Other(etag),
                None => Compared::Missing,
            }),
            etag => Ok(Compared::Other(etag.text())),
        }
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

    /// The v1 images of the tags of a repository.
    pub(super) fn v1_tags(&self, repository: &Repository) -> anyhow::Result<BTreeMap<Tag, V1Id>> {
        let key = format!("v1/repositories/{repository}/tags");
        let Some((bytes, _)) = self.bucket()?.get(&key)? else {
            return Ok(BTreeMap::new());
        };
        let tags: BTreeMap<String, String> = serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot read `{key}` of the bucket"))?;
        tags.into_iter()
            .map(|(tag, id)| Ok((tag.parse()?, id.parse()?)))
            .collect()
    }

    /// The ids of a v1 image and of all below it, the base last.
    pub(super) fn v1_chain(&self, top: V1Id) -> anyhow::Result<Vec<V1Id>> {
        let key = format!("v1/images/{top}/ancestry");
        let (bytes, _) = self
            .bucket()?
            .get(&key)?
            .with_context(|| format!("the bucket has no `{key}`"))?;
        let ids: Vec<String> = serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot read `{key}` of the bucket"))?;
        ids.iter().map(|id| id.parse()).collect()
    }
}
