//! The v2 API: tags, manifests, blobs and referrers of a repository, under each of its names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde_json::Value;

use crate::check_url::client::{Answer, Ask};
use crate::check_url::offer::OfferedRepo;
use crate::check_url::{MAX_LIST, Probe, kinds};
use crate::error::escaped;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::manifest::{Blob, MAX_JSON, Manifest};
use crate::spec::media_type::OCI_INDEX;
use crate::spec::name::Repository;

/// The digests of all layers of all manifests.
#[derive(Default)]
pub(super) struct Layers(Mutex<BTreeSet<Digest>>);

impl Layers {
    fn add(&self, blobs: &BTreeMap<Digest, Blob>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(
            blobs
                .values()
                .filter(|blob| blob.kind.is_some())
                .map(|blob| blob.digest),
        );
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains(digest)
    }
}

/// What a manifest points to.
struct Points {
    digest: Digest,
    blobs: Vec<Blob>,
    children: Vec<Digest>,
    subject: Option<Digest>,
}

pub(super) fn repository(
    probe: &Probe<'_>,
    repository: &Repository,
    repo: &OfferedRepo,
    layers: &Layers,
) {
    let names = repository.aliases();
    let asked = if probe.options.fast { 1 } else { names.len() };
    names[..asked].par_iter().for_each(|name| {
        Named { probe, name, repo }.check(layers);
    });
}

/// A repository under one of its names.
struct Named<'a> {
    probe: &'a Probe<'a>,
    name: &'a str,
    repo: &'a OfferedRepo,
}

impl Named<'_> {
    fn check(&self, layers: &Layers) {
        self.tags_list();
        let one = if self.probe.options.fast {
            1
        } else {
            usize::MAX
        };
        let tags: Vec<_> = self.repo.tags.iter().take(one).collect();
        let tagged: Vec<Points> = tags
            .par_iter()
            .filter_map(|(tag, digest)| self.manifest(tag, **digest))
            .collect();
        let mut wanted: BTreeSet<Digest> = self.repo.manifests.keys().copied().collect();
        if !self.probe.offer.exact || (self.probe.options.fast && !tagged.is_empty()) {
            wanted = tagged.iter().map(|points| points.digest).collect();
        } else if self.probe.options.fast {
            wanted = wanted.into_iter().take(1).collect();
        }
        let mut found = self.manifests(&wanted, true);
        if !self.probe.offer.exact && !self.probe.options.fast {
            // The site may lack some of the manifests that an index lists.
            let children = found.iter().flat_map(|points| &points.children).copied();
            let children = children.filter(|child| !wanted.contains(child)).collect();
            found.extend(self.manifests(&children, false));
        }
        let blobs = found.iter().flat_map(|points| &points.blobs);
        let blobs: BTreeMap<Digest, Blob> = blobs.map(|blob| (blob.digest, *blob)).collect();
        layers.add(&blobs);
        blobs.par_iter().for_each(|(_, blob)| self.blob(blob));
        found
            .par_iter()
            .for_each(|points| self.referrers(points, &found));
    }

    fn manifests(&self, digests: &BTreeSet<Digest>, listed: bool) -> Vec<Points> {
        digests
            .par_iter()
            .filter_map(|digest| {
                let path = format!("/v2/{}/manifests/{digest}", self.name);
                let there = listed || self.probe.ask(Ask::head(&path))?.status == 200;
                there.then(|| self.manifest(&digest.to_string(), Some(*digest)))?
            })
            .collect()
    }

    fn tags_list(&self) {
        let path = format!("/v2/{}/tags/list", self.name);
        let Some(value) = self.probe.json(&path, MAX_LIST) else {
            return;
        };
        let wrong = |what: String| self.probe.add(&kinds::LISTS, &path, what);
        if value["name"].as_str() != Some(self.name) {
            wrong("it is the list of another repository".into());
        }
        let tags = value["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let listed: BTreeSet<&str> = tags.collect();
        let known: BTreeSet<&str> = self.repo.tags.keys().map(String::as_str).collect();
        if let Some(tag) = known.difference(&listed).next() {
            wrong(format!("the tag `{}` is missing", escaped(tag)));
        }
        if let Some(tag) = listed.difference(&known).next() {
            wrong(format!(
                "the tag `{}` is not in the catalogue",
                escaped(tag)
            ));
        }
    }

    /// Checks a manifest by tag or digest: its body, type, digest, and the same by HEAD.
    fn manifest(&self, reference: &str, expected: Option<Digest>) -> Option<Points> {
        let path = format!("/v2/{}/manifests/{reference}", self.name);
        let probe = self.probe;
        let answer = probe.get(&path)?;
        let said = Said::of(&answer);
        let bytes = probe.body(&path, answer, MAX_JSON)?;
        let length = bytes.len() as u64;
        let entry = expected.and_then(|digest| self.repo.manifests.get(&digest));
        let described = entry.map(|entry| entry.media_type.as_str());
        let manifest = match Manifest::parse(bytes.into(), described) {
            Ok(manifest) => manifest,
            Err(error) => {
                probe.add(&kinds::WRONG_CONTENT, &path, format!("{error:#}"));
                return None;
            }
        };
        let by_tag = reference.parse::<Digest>().is_err();
        let wrong = expected.filter(|expected| *expected != manifest.digest);
        if let Some(expected) = wrong {
            let known = by_tag && self.repo.manifests.contains_key(&manifest.digest);
            let kind = if known {
                &kinds::STALE_TAG
            } else {
                &kinds::WRONG_CONTENT
            };
            let what = format!("its digest is {}, not {expected}", manifest.digest);
            probe.add(kind, &path, what);
        }
        // Damaged content may have the right headers; another manifest must have its own.
        if wrong.is_none() || by_tag {
            said.judge(probe, &path, &manifest);
            self.head(&path, &manifest, length);
        }
        if wrong.is_some() {
            return None;
        }
        if by_tag && said.digest.is_none() {
            probe.add(
                &kinds::NO_TAG_DIGEST,
                &path,
                "there is no Docker-Content-Digest",
            );
        }
        Some(Points {
            digest: manifest.digest,
            blobs: manifest.blobs(),
            children: manifest
                .children()
                .iter()
                .map(|child| child.digest)
                .collect(),
            subject: manifest.subject,
        })
    }

    fn head(&self, path: &str, manifest: &Manifest, length: u64) {
        let probe = self.probe;
        let Some(answer) = probe.ask(Ask::head(path)) else {
            return;
        };
        if answer.status != 200 {
            probe.add(
                &kinds::HEAD_REFUSED,
                path,
                format!("the status for HEAD is {}", answer.status),
            );
            return;
        }
        let said = Said::of(&answer);
        said.judge(probe, path, manifest);
        match answer.length() {
            None if said.digest.is_some() => {
                probe.add(
                    &kinds::HEAD_LENGTH,
                    path,
                    "the HEAD response has no Content-Length",
                );
            }
            None => probe.add(
                &kinds::NO_LENGTH,
                path,
                "the HEAD response has no Content-Length",
            ),
            Some(said) if said != length => probe.add(
                &kinds::WRONG_LENGTH,
                path,
                format!("HEAD says {said} bytes, but the manifest has {length}"),
            ),
            Some(_) => {}
        }
    }

    fn blob(&self, blob: &Blob) {
        let path = format!("/v2/{}/blobs/{}", self.name, blob.digest);
        let wrong = |found: Digest| {
            let what = format!("its digest is {found}");
            self.probe.add(&kinds::WRONG_CONTENT, &path, what);
        };
        if blob.kind.is_none()
            && let Some(bytes) = self.probe.read(&path, MAX_JSON)
            && Digest::of(&bytes) != blob.digest
        {
            wrong(Digest::of(&bytes));
        }
        let Some(answer) = there(self.probe, &path) else {
            return;
        };
        if let (Some(size), Some(length)) = (blob.size, answer.length())
            && size != length
        {
            let what = format!("it has {length} bytes, but the manifest says {size}");
            self.probe.add(&kinds::WRONG_LENGTH, &path, what);
        } else if self.probe.options.deep && blob.kind.is_some() {
            let hashed = hash(
                self.probe,
                &path,
                Hasher::default(),
                blob.size.or(answer.length()),
            );
            if let Some(found) = hashed.filter(|found| *found != blob.digest) {
                wrong(found);
            }
        }
    }

    fn referrers(&self, points: &Points, all: &[Points]) {
        let path = format!("/v2/{}/referrers/{}", self.name, points.digest);
        let probe = self.probe;
        let wrong = |what: String| probe.add(&kinds::REFERRERS, &path, what);
        let Some(answer) = probe.ask(Ask::get(&path)).filter(|answer| !answer.endless) else {
            return;
        };
        if answer.status != 200 {
            return wrong(format!("the status is {}", answer.status));
        }
        let said = Said::of(&answer);
        let Some(bytes) = probe.body(&path, answer, MAX_JSON) else {
            return;
        };
        if said.media_type.as_deref() != Some(OCI_INDEX) {
            wrong(format!(
                "the Content-Type is {}, not that of an index",
                said.shown_type()
            ));
        }
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let Some(list) = value["manifests"].as_array() else {
            return wrong("it is not an index".into());
        };
        let mut digests = list.iter().filter_map(|item| item["digest"].as_str());
        let attached = all
            .iter()
            .filter(|other| other.subject == Some(points.digest));
        for other in attached {
            let digest = other.digest.to_string();
            if !digests.clone().any(|listed| listed == digest) {
                wrong(format!("the attached {digest} is missing"));
            }
        }
        if let Some(digest) = digests.find(|digest| digest.parse::<Digest>().is_err()) {
            wrong(format!(
                "it lists `{}`, which is not a digest",
                escaped(digest)
            ));
        }
    }
}

/// The headers of something long that must exist, by HEAD. If the server refuses HEAD, by GET: only for
/// manifests do clients need HEAD.
pub(super) fn there(probe: &Probe<'_>, path: &str) -> Option<Answer> {
    let answer = probe
        .ask(Ask::head(path))
        .filter(|answer| !answer.endless)?;
    if answer.status != 200 {
        return probe.get(path);
    }
    if answer.length().is_none() {
        probe.add(
            &kinds::NO_LENGTH,
            path,
            "the HEAD response has no Content-Length",
        );
    }
    Some(answer)
}

/// Downloads something and returns its digest. `length` is its expected length in bytes, if known.
pub(super) fn hash(
    probe: &Probe<'_>,
    path: &str,
    hasher: Hasher,
    length: Option<u64>,
) -> Option<Digest> {
    let plain = Ask::get(path).with(&[("Accept-Encoding", "identity")]);
    let answer = probe.ask(plain).filter(|answer| !answer.endless)?;
    if answer.status != 200 {
        probe.add(
            &kinds::MISSING,
            path,
            format!("the status is {}", answer.status),
        );
        return None;
    }
    match answer.hash(hasher, length) {
        Ok(digest) => Some(digest),
        Err(error) => {
            probe.add(&kinds::WRONG_LENGTH, path, format!("{error:#}"));
            None
        }
    }
}

/// What the headers of an answer say about a manifest.
struct Said {
    media_type: Option<String>,
    digest: Option<String>,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        Self {
            media_type: answer.header("Content-Type"),
            digest: answer.header("Docker-Content-Digest"),
        }
    }

    fn shown_type(&self) -> String {
        self.media_type
            .as_ref()
            .map_or("missing".into(), |said| format!("`{said}`"))
    }

    fn judge(&self, probe: &Probe<'_>, path: &str, manifest: &Manifest) {
        let said = self.media_type.as_deref().unwrap_or_default();
        let bare = said.split(';').next().unwrap_or_default().trim_end();
        if bare != manifest.media_type {
            let what = format!(
                "the Content-Type is {}, not `{}`",
                self.shown_type(),
                manifest.media_type
            );
            probe.add(&kinds::MANIFEST_TYPE, path, what);
        } else if bare != said {
            let what = format!("the Content-Type is {}", self.shown_type());
            probe.add(&kinds::TYPE_PARAMETER, path, what);
        }
        if let Some(digest) = &self.digest
            && *digest != manifest.digest.to_string()
        {
            let what = format!(
                "Docker-Content-Digest is `{digest}`, but the digest of the body is {}",
                manifest.digest
            );
            probe.add(&kinds::WRONG_DIGEST, path, what);
        }
    }
}
