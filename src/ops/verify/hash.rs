//! Hashes each file once, whatever its names and however many checksums it is part of.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::content::Content;
use crate::fsx::{self, Meta};
use crate::ops::verify::Verifier;
use crate::site_files::{self, blob_path};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::v1::{self, V1Id};

/// What was hashed.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// By device and inode.
    files: Mutex<BTreeMap<(u64, u64), Digest>>,
    /// Of the JSON and layer of v1 images.
    checksums: Mutex<BTreeMap<V1Id, Digest>>,
}

/// A file to hash.
struct Source {
    path: PathBuf,
    meta: Meta,
    /// Hashers of checksums that it is part of.
    checksums: Vec<(V1Id, Hasher)>,
}

impl Verifier<'_> {
    /// Hashes the blobs and the v1 layers with a checksum, the longest first, so that no thread is left alone with a long
    /// one at the end. Errors are ignored here: checking what needs a file finds them again.
    pub(super) fn hash_all(&self) {
        let mut sources: BTreeMap<(u64, u64), Source> = BTreeMap::new();
        let mut source = |path: PathBuf, checksum: Option<(V1Id, Hasher)>| {
            if let Ok(Some(meta)) = fsx::meta(&path)
                && meta.is_file
            {
                let source = sources.entry(meta.inode).or_insert(Source {
                    path,
                    meta,
                    checksums: Vec::new(),
                });
                source.checksums.extend(checksum);
            }
        };
        for digest in self.plan.images.blobs.keys() {
            source(self.files.path(&blob_path(digest)), None);
        }
        for id in self.plan.v1.images.keys() {
            if let (Ok(Some(_)), Ok(Some(json))) =
                (self.files.v1_checksum(*id), self.files.v1_json(*id))
            {
                let layer = self.files.path(&format!("v1/images/{id}/layer"));
                source(layer, Some((*id, v1::checksum(&json))));
            }
        }
        let mut sources: Vec<Source> = sources.into_values().collect();
        sources.sort_by_key(|source| Reverse(source.meta.len));
        let bytes = sources.iter().map(|source| source.meta.len).sum();
        self.progress.expect(sources.len() as u64, bytes);
        sources.into_iter().par_bridge().for_each(|source| {
            let _ = self.hash_source(source);
        });
    }

    fn hash_source(&self, source: Source) -> anyhow::Result<Digest> {
        let Source {
            path,
            meta,
            mut checksums,
        } = source;
        let mut hasher = Hasher::default();
        Content::file_of_len(path, meta.len).visit(&mut |bytes| {
            self.progress.add(bytes.len() as u64);
            hasher.update(bytes);
            for (_, checksum) in &mut checksums {
                checksum.update(bytes);
            }
        })?;
        self.progress.blob_done();
        let Hashes {
            files,
            checksums: known,
        } = &self.hashes;
        let digest = hasher.finish().0;
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(meta.inode, digest);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(
            checksums
                .into_iter()
                .map(|(id, hasher)| (id, hasher.finish().0)),
        );
        Ok(digest)
    }

    /// The digest of a file.
    pub(super) fn hash(&self, path: PathBuf, meta: Meta) -> anyhow::Result<Digest> {
        let known = {
            let files = &self.hashes.files;
            let files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.get(&meta.inode).copied()
        };
        known.map_or_else(
            || {
                self.hash_source(Source {
                    path,
                    meta,
                    checksums: Vec::new(),
                })
            },
            Ok,
        )
    }

    /// The checksum that a v1 image with this JSON and layer has.
    pub(super) fn checksum(
        &self,
        id: V1Id,
        json: &[u8],
        layer: &Content,
    ) -> anyhow::Result<Digest> {
        let known = {
            let known = &self.hashes.checksums;
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&id).copied()
        };
        known.map_or_else(|| site_files::checksum(json, layer), Ok)
    }
}
