//! The headers of objects, which only a request for each tells.
//!
//! `_publish/headers.json` has the rules by which the objects of the bucket were stored. Where they are others than
//! those of this version, every object is looked at; so it is when the user asks, since other tools that copy into
//! the bucket set headers of their own.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::bucket::{Abilities, Bucket, Bytes, Headers, If, Listed};
use crate::error::WithHint as _;
use crate::ops::publish::operation::{Operation, Report};
use crate::ops::publish::remote::Remote;
use crate::ops::publish::send::{has_digest, is_stand_in, path_of};
use crate::routes::{Cache, Route};
use crate::site_files::blob_path;
use crate::site_files::catalogue::{Catalogue, Entry};
use crate::spec::digest::Digest;
use crate::spec::manifest::Manifest;
use crate::spec::name::{Repository, Tag};

pub(super) const KEY: &str = "_publish/headers.json";

/// Addresses of each kind.
const KINDS: [&str; 14] = [
    "/",
    "/_pages/a/index.html",
    "/_pages/_script.js",
    "/index.json",
    "/blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
    "/v1/_ping",
    "/v1/images/0000000000000000000000000000000000000000000000000000000000000000/json",
    "/v1/images/0000000000000000000000000000000000000000000000000000000000000000/layer",
    "/v1/repositories/a/tags/1",
    "/v2/",
    "/v2/a/manifests/1",
    "/v2/a/manifests/sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "/v2/a/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "/v2/a/referrers/sha256:0000000000000000000000000000000000000000000000000000000000000000",
];

/// The bytes of the object: `Content-Type`, `Cache-Control` and whether there is a digest, by kind of address.
pub(super) fn rules() -> Vec<u8> {
    let routes = KINDS
        .iter()
        .filter_map(|path| Some((path, Route::of(path)?)));
    let rules: BTreeMap<_, _> = routes
        .map(|(path, route)| {
            let control = route.cache().control();
            (path, (route.media_type(""), control, has_digest(route)))
        })
        .collect();
    serde_json::to_vec(&rules).unwrap_or_default()
}

const ITS_HEADERS: Headers<'_> = Headers::unserved("application/json");

/// Stores the rules.
pub(super) fn remember(bucket: &Bucket, rules: &[u8]) -> anyhow::Result<()> {
    bucket.put(KEY, Bytes::Memory(rules), &ITS_HEADERS, If::Always)?;
    Ok(())
}

/// Reports what another uploader does instead. It does not look at the headers of objects that are there.
pub(super) fn plan(remote: &Remote<'_>, report: &Report<'_>) -> anyhow::Result<()> {
    if !remote.is_empty() {
        return Ok(());
    }
    report(&Operation::put(KEY, &ITS_HEADERS, &rules()))
}

/// The headers of an object by its key; `None` for one that is no part of the site.
fn expected<'a>(key: &str, catalogue: &'a Catalogue) -> Option<Headers<'a>> {
    let path = path_of(key);
    let route = Route::of(&path)?;
    let (digest, media_type) = match route {
        Route::Tagged(name, tag) => {
            let repo = catalogue
                .repositories
                .get(&name.parse::<Repository>().ok()?)?;
            let digest = repo.tags.get(&tag.parse::<Tag>().ok()?)?;
            (Some(*digest), media_type(repo.manifests.get(digest)?))
        }
        Route::Manifest(name, digest) => {
            let repo = catalogue
                .repositories
                .get(&name.parse::<Repository>().ok()?)?;
            (Some(digest), media_type(repo.manifests.get(&digest)?))
        }
        Route::Blob(_, digest) | Route::Content(digest) => (Some(digest), route.media_type("")),
        _ => (None, route.media_type("")),
    };
    Some(Headers {
        media_type,
        cache_control: route.cache().control(),
        digest,
    })
}

fn media_type(entry: &Entry) -> &str {
    &entry.media_type
}

/// Looks at each object. Returns the keys of those with wrong headers.
pub(super) fn wrong(bucket: &Bucket, catalogue: &Catalogue) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    bucket.list(&mut |page| {
        let found: Vec<Option<String>> = page
            .into_par_iter()
            .map(|listed| Ok(is_wrong(bucket, &listed, catalogue)?.then_some(listed.key)))
            .collect::<anyhow::Result<_>>()?;
        wrong.extend(found.into_iter().flatten());
        Ok(())
    })?;
    Ok(wrong)
}

fn is_wrong(bucket: &Bucket, listed: &Listed, catalogue: &Catalogue) -> anyhow::Result<bool> {
    // Some stores keep neither bytes nor headers at `v2/`.
    let is_kept = listed.size > 0 || !listed.key.ends_with('/');
    let Some(headers) = expected(&listed.key, catalogue).filter(|_| is_kept) else {
        return Ok(false);
    };
    let Some(stored) = bucket.head(&listed.key)? else {
        return Ok(false);
    };
    if is_stand_in(listed) {
        let blob = stored.digest.and_then(|digest| digest.parse().ok());
        let blob = blob.map(|digest: Digest| blob_path(&digest));
        // Its other headers come from the blob.
        return match blob.map(|blob| bucket.head(&blob)).transpose()?.flatten() {
            Some(_) => Ok(false),
            None => Err(anyhow::anyhow!(
                "`{}` is empty, and stands for no blob of the bucket",
                listed.key
            ))
            .hint("delete the object, and publish a site that has the image"),
        };
    }
    let digest = headers.digest.as_ref().map(Digest::to_string);
    Ok(stored.media_type != headers.media_type
        || stored.cache_control != headers.cache_control
        || stored.digest != digest)
}

/// Stores objects again with their headers. Returns the URL paths of those that another publisher has not stored
/// meanwhile.
pub(super) fn mend(
    bucket: &Bucket,
    catalogue: &Catalogue,
    keys: &[String],
    can: Abilities,
) -> anyhow::Result<BTreeSet<String>> {
    let mended: Vec<Option<String>> = keys
        .par_iter()
        .map(|key| match expected(key, catalogue) {
            Some(headers) => Ok(store_again(bucket, key, &headers, can)?.then(|| path_of(key))),
            None => Ok(None),
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(mended.into_iter().flatten().collect())
}

/// `false` if another publisher has stored it meanwhile.
fn store_again(
    bucket: &Bucket,
    key: &str,
    headers: &Headers<'_>,
    can: Abilities,
) -> anyhow::Result<bool> {
    if headers.cache_control == Cache::Immutable.control() {
        if bucket.copy(key, key, headers)? {
            return Ok(true);
        }
        if bucket.head(key)?.is_none() {
            return Ok(false);
        }
        return Err(anyhow::anyhow!(
            "cannot set the headers of `{key}`: the store does not copy it"
        ))
        .hint("delete the object, and publish again");
    }
    // A copy has no condition on what it replaces.
    let Some((bytes, etag)) = bucket.get(key)? else {
        return Ok(false);
    };
    // Another publisher may have moved the tag since the catalogue was read.
    if let Some(digest) = headers.digest
        && Manifest::parse(bytes.clone().into(), Some(headers.media_type))?.digest != digest
    {
        return Ok(false);
    }
    let condition = If::unchanged(Some(&etag), can.conditions);
    bucket.put(key, Bytes::Memory(&bytes), headers, condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_have_every_kind_once() {
        let text = String::from_utf8(rules()).unwrap();
        assert_eq!(text.matches("max-age").count(), KINDS.len());
        assert!(text.contains("immutable") && text.contains("must-revalidate"));
    }
}
