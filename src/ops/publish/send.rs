//! Stores objects, each as its kind wants it.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bucket::{Bytes, Headers, If, LONGEST_COPY, Listed, Slash};
use crate::content::Content;
use crate::error::escaped;
use crate::fsx;
use crate::ops::publish::operation::Operation;
use crate::ops::publish::remote::{Compared, is_single_tag};
use crate::ops::publish::upload::{Mode, Upload, is_at_root, locked};
use crate::plan::objects::Object;
use crate::plan::tree::Stage;
use crate::routes::{Cache, Route, V1File};
use crate::site_files::blob_path;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::writer::counts::FileChanges;

/// Content of at least so many bytes is copied by the store where that has it.
const COPY_FROM: u64 = 8 << 10;

/// Where the bytes of an object are.
enum Source<'a> {
    Bytes(&'a [u8]),
    /// A file, relative to the site.
    File(&'a str),
    /// Another object.
    Key(&'a str),
}

/// The key of an object.
pub(super) fn key(object: &Object) -> &str {
    key_of(&object.path)
}

/// The key for a URL path.
pub(super) fn key_of(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => "index.html",
        key => key,
    }
}

/// The URL path for a key.
pub(super) fn path_of(key: &str) -> String {
    match key {
        "index.html" => "/".to_owned(),
        key => format!("/{key}"),
    }
}

fn headers(object: &Object) -> Headers<'_> {
    let route = Route::of(&object.path);
    Headers {
        media_type: object.media_type,
        cache_control: object.cache.control(),
        digest: object
            .digest
            .filter(|_| route.is_some_and(|route| has_digest(route) || is_layer(route))),
    }
}

fn is_layer(route: Route<'_>) -> bool {
    matches!(route, Route::V1Image(_, V1File::Layer))
}

/// Whether an object is an empty layer of a v1 image, as no layer is: it stands for the content whose digest is in its
/// metadata.
pub(super) fn is_stand_in(listed: &Listed) -> bool {
    listed.size == 0 && Route::of(&path_of(&listed.key)).is_some_and(is_layer)
}

/// Whether a response has a `Docker-Content-Digest`.
pub(super) fn has_digest(route: Route<'_>) -> bool {
    matches!(
        route,
        Route::Content(_) | Route::Blob(..) | Route::Manifest(..) | Route::Tagged(..)
    )
}

/// The sha256 of a file that is named by a digest: the same, but of a signed manifest of schema 1, whose digest leaves
/// the signatures out.
fn sha256(object: &Object, content: &Content, digest: Digest) -> anyhow::Result<Digest> {
    if object.stage != Stage::Manifest || content.len() > MAX_JSON {
        return Ok(digest);
    }
    let bytes = content.read(MAX_JSON)?;
    let is_manifest =
        Manifest::parse(bytes.clone(), None).is_ok_and(|manifest| manifest.digest == digest);
    Ok(if is_manifest {
        Digest::of(&bytes)
    } else {
        digest
    })
}

impl Upload<'_> {
    fn report(&self, object: &Object, size: u64, source: &Source<'_>) -> anyhow::Result<()> {
        let Mode::Report(report) = self.mode else {
            return Ok(());
        };
        let headers = headers(object);
        let (mut file, mut from, mut base64) = (None, None, None);
        match source {
            Source::Bytes(bytes) => base64 = Some(STANDARD.encode(bytes)),
            Source::File(path) => file = Some(*path),
            Source::Key(key) => from = Some(*key),
        }
        report(&Operation {
            operation: if from.is_some() { "copy" } else { "put" },
            key: key(object),
            content_type: Some(headers.media_type),
            cache_control: Some(headers.cache_control),
            digest: headers.digest,
            size: Some(size),
            file,
            from,
            base64,
        })
    }

    pub(super) fn stored(&self) -> FileChanges {
        std::mem::take(&mut locked(&self.stored))
    }

    fn count_sent(&self, key: &str, bytes: u64) {
        let mut stored = locked(&self.stored);
        stored.files += 1;
        stored.bytes += bytes;
        self.count_done("sent", key);
    }

    fn count_copied(&self, key: &str, bytes: u64) {
        locked(&self.stored).links += 1;
        *locked(&self.copied) += bytes;
        self.count_done("copied", key);
    }

    fn count_done(&self, how: &str, key: &str) {
        if let Mode::Send(_, progress) = self.mode {
            progress.blob_done();
            progress.step(|| format!("{how} {}", escaped(key)));
        }
    }

    /// Immutable content that the plan makes.
    pub(super) fn made(&self, object: &Object, bytes: &[u8]) -> anyhow::Result<()> {
        if self.remote.has(key(object), bytes.len() as u64) {
            return Ok(());
        }
        self.report(object, bytes.len() as u64, &Source::Bytes(bytes))?;
        if let Mode::Send(_, progress) = self.mode {
            let (bucket, headers) = (self.remote.bucket()?, headers(object));
            bucket.put(key(object), Bytes::Memory(bytes), &headers, If::Always)?;
            progress.add(bytes.len() as u64);
        }
        self.count_sent(key(object), bytes.len() as u64);
        Ok(())
    }

    /// Content that is a file of the site.
    pub(super) fn file(&self, object: &Object) -> anyhow::Result<()> {
        let file = match object.digest {
            Some(digest) => blob_path(&digest),
            None => object.file.clone(),
        };
        let path = self.site.join(&file);
        let Some(meta) = fsx::meta(&path)? else {
            // A v1 image has only some of the files that it may have.
            return object
                .digest
                .map_or(Ok(()), |_| anyhow::bail!("`{file}` of the site is missing"));
        };
        let (key, size) = (key(object), meta.len);
        if let Some(digest) = object.digest.filter(|_| is_at_root(object)) {
            locked(&self.roots).insert(meta.inode, digest);
        }
        if self.remote.has(key, size) || self.has_layer(key)? {
            return Ok(());
        }
        if self.layers_once
            && let Some(digest) = self.layer_at_root(object, meta.inode)
        {
            return self.stand_in(object, digest);
        }
        let content = Content::file_of_len(path, size);
        let digest = self.digest(object, &content, meta.inode)?;
        let source = digest.filter(|_| !is_at_root(object));
        let source = source.and_then(|digest| self.source(&digest, size));
        let is_copied = match (self.mode, &source) {
            (Mode::Send(..), Some(source)) => {
                let bucket = self.remote.bucket()?;
                bucket.copy(source, key, &headers(object))?
            }
            (_, source) => source.is_some(),
        };
        let place = match &source {
            Some(source) => Source::Key(source),
            None => Source::File(&file),
        };
        self.report(object, size, &place)?;
        if is_copied {
            self.count_copied(key, size);
            return Ok(());
        }
        if let Mode::Send(_, progress) = self.mode {
            let counted = content.counted_as_expected(progress);
            let sha256 = digest.map(|digest| sha256(object, &content, digest));
            let sha256 = sha256.transpose()?;
            let (bucket, bytes) = (self.remote.bucket()?, Bytes::Content(&counted, sha256));
            bucket.put(key, bytes, &headers(object), If::Always)?;
        }
        self.count_sent(key, size);
        // A plan names files rather than objects that it has yet to make.
        if let Some(digest) = digest.filter(|_| is_at_root(object))
            && !matches!(self.mode, Mode::Report(_))
        {
            locked(&self.at_root).insert(digest);
        }
        Ok(())
    }

    /// The digest of a v1 layer whose bytes the bucket has at its root, where content goes first.
    fn layer_at_root(&self, object: &Object, inode: (u64, u64)) -> Option<Digest> {
        let digest = locked(&self.roots).get(&inode).copied();
        digest.filter(|_| Route::of(&object.path).is_some_and(is_layer))
    }

    /// Whether the bucket has the layer of a v1 image, in whatever encoding, or the checksum of another one: the files
    /// of an image never change. An empty layer is one only where layers are stored once.
    fn has_layer(&self, key: &str) -> anyhow::Result<bool> {
        let Some((image, file)) = key
            .rsplit_once('/')
            .filter(|_| key.starts_with("v1/images/"))
        else {
            return Ok(false);
        };
        let layer = format!("{image}/layer");
        let Some(size) = self.remote.size(&layer) else {
            return Ok(false);
        };
        Ok(match file {
            "layer" => size > 0 || self.layers_once,
            "checksum" => fsx::meta(&self.site.join(&layer))?.is_some_and(|meta| meta.len != size),
            _ => false,
        })
    }

    /// Stores an empty object that stands for content at the root of the bucket. A later publish may store the layer.
    fn stand_in(&self, object: &Object, digest: Digest) -> anyhow::Result<()> {
        let object = Object {
            digest: Some(digest),
            cache: Cache::Pointer,
            ..object.clone()
        };
        self.made(&object, &[])
    }

    /// The digest of a file's bytes. The layer of a v1 image is a link to a blob as a rule; others are hashed, but
    /// only to be sent.
    fn digest(
        &self,
        object: &Object,
        content: &Content,
        inode: (u64, u64),
    ) -> anyhow::Result<Option<Digest>> {
        let linked = || locked(&self.roots).get(&inode).copied();
        match object.digest.or_else(linked) {
            None if matches!(self.mode, Mode::Send(..)) => {
                content.hash(Hasher::default()).map(Some)
            }
            known => Ok(known),
        }
    }

    /// The key of some content at the root of the bucket that the store can copy.
    fn source(&self, digest: &Digest, size: u64) -> Option<String> {
        let key = blob_path(digest);
        let is_there = || locked(&self.at_root).contains(digest) || self.remote.has(&key, size);
        ((COPY_FROM..=LONGEST_COPY).contains(&size) && is_there()).then_some(key)
    }

    pub(super) fn pointer(&self, object: &Object, bytes: &[u8]) -> anyhow::Result<()> {
        let key = key(object);
        if self.is_left_out(key) {
            return Ok(());
        }
        if self.only.is_some_and(|only| !only.contains(&object.path)) {
            return Ok(());
        }
        // Where a store keeps no bytes at a key that ends in a slash, an empty object is all there can be.
        let is_empty = key.ends_with('/')
            && match self.mode {
                Mode::Send(can, _) => can.slash == Slash::Empty,
                _ => self.remote.has(key, 0),
            };
        let bytes = if is_empty { &[][..] } else { bytes };
        let etag = match self.remote.compare(key, bytes)? {
            Compared::Same => return Ok(()),
            Compared::Missing => None,
            Compared::Other(etag) => Some(etag),
        };
        let size = bytes.len() as u64;
        self.report(object, size, &Source::Bytes(bytes))?;
        let Mode::Send(can, progress) = self.mode else {
            self.count_pointer(object, size);
            return Ok(());
        };
        // `v2/` never changes, and real folders are there before it.
        let has_conditions = can.conditions && !key.ends_with('/');
        let condition = If::unchanged(etag.as_deref(), has_conditions);
        let (bucket, headers) = (self.remote.bucket()?, headers(object));
        let put = |condition| bucket.put(key, Bytes::Memory(bytes), &headers, condition);
        let mut is_stored = put(condition)?;
        // SeaweedFS takes the folder of `tags/<tag>` for an object `tags`.
        if !is_stored && matches!(condition, If::Absent) && bucket.get(key)?.is_none() {
            is_stored = put(If::Always)?;
        }
        if is_stored {
            progress.add(size);
            self.count_pointer(object, size);
        } else {
            self.conflict.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the store cannot keep an object. Of `tags` and `tags/<tag>` the list stays: it has all that the others
    /// say, Docker up to 1.6 asks for nothing else, and a merge reads it.
    fn is_left_out(&self, key: &str) -> bool {
        let (no_tag, no_slash) = match self.mode {
            Mode::Send(can, _) => (!can.keys_beside_folders, can.slash == Slash::Nothing),
            _ => [self.remote.lacks_single_tags(); 2].into(),
        };
        (no_tag && is_single_tag(key)) || (no_slash && key.ends_with('/'))
    }

    fn count_pointer(&self, object: &Object, bytes: u64) {
        self.count_sent(key(object), bytes);
        self.changed(&object.path);
    }

    fn changed(&self, path: &str) {
        let mut changed = locked(&self.changed);
        changed.insert(path.to_owned());
    }

    /// Has pointers deleted that nothing lists any more, or reported.
    pub(super) fn delete(
        &self,
        keys: &[String],
        delete: &mut dyn FnMut(&[String]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // Where `tags` has no folder beside it, rclone's `serve s3` would delete it instead of `tags/<tag>`.
        let keys = keys.iter().filter(|key| !self.is_left_out(key)).cloned();
        let keys: Vec<String> = keys.collect();
        if let Mode::Report(report) = self.mode {
            return keys
                .iter()
                .try_for_each(|key| report(&Operation::delete(key)));
        }
        delete(&keys)?;
        for key in &keys {
            self.changed(&path_of(key));
        }
        locked(&self.stored).deleted += keys.len() as u64;
        Ok(())
    }
}
