//! Samples, of one reference of each repository or once for the whole server: ranges, conditional requests,
//! missing content.

use rayon::prelude::*;
use serde_json::Value;

use crate::check_url::client::Ask;
use crate::check_url::{MAX_LIST, Probe, kinds};
use crate::spec::manifest::{MAX_JSON, Manifest};

/// A digest that no content has.
const ABSENT: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// A tag that no repository has.
const ABSENT_TAG: &str = "stillage-verify-absent";

pub(super) fn once(probe: &Probe<'_>) {
    for path in ["/.stillage/lock", "/.stillage/"] {
        if let Some(answer) = probe.ask(Ask::get(path))
            && answer.status == 200
        {
            probe.add(&kinds::DOT_STILLAGE, path, "it is served");
        }
    }
    let any = probe.offer.any_name();
    if probe.offer.v2 {
        for path in [
            format!("/v2/{any}/manifests/{ABSENT_TAG}"),
            format!("/v2/{any}/manifests/{ABSENT}"),
            format!("/v2/{any}/blobs/{ABSENT}"),
        ] {
            absent(probe, &path);
        }
        absent_referrers(probe, &format!("/v2/{any}/referrers/{ABSENT}"));
        pointer(probe, "/v2/_catalog");
    }
    if probe.offer.v1 {
        search(probe);
    }
    let repositories: Vec<_> = probe.offer.repositories.iter().collect();
    repositories.par_iter().for_each(|(name, repo)| {
        let tag = repo.tags.keys().next();
        if probe.offer.v2 {
            pointer(probe, &format!("/v2/{name}/tags/list"));
            if let Some(tag) = tag {
                pointer(probe, &format!("/v2/{name}/manifests/{tag}"));
                parts_of_blob(probe, name.as_str(), tag);
            }
        }
        if probe.offer.v1 {
            let tags = format!("/v1/repositories/{name}/tags");
            pointer(probe, &tags);
            if let Some(tag) = tag {
                parts_of_layer(probe, &format!("{tags}/{tag}"));
            }
        }
    });
}

/// Searches for what no repository has in its name. (Clients search at the root of a host alone.)
fn search(probe: &Probe<'_>) {
    if !probe.client.is_at_root() {
        return;
    }
    let mut names = probe.offer.repositories.keys();
    if names.any(|name| name.as_str().contains(ABSENT_TAG)) {
        return;
    }
    let path = format!("/v1/search?q={ABSENT_TAG}");
    let plain = [("Accept-Encoding", "identity")];
    let answer = probe.client.ask(Ask::get(&path).with(&plain)).ok();
    let answer = answer.filter(|answer| answer.status == 200);
    let bytes = answer.and_then(|answer| answer.read(MAX_LIST).ok());
    let value = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let found = value.as_ref().and_then(|value| value["results"].as_array());
    if found.is_some_and(|found| !found.is_empty()) {
        let what = "a search for what no repository has finds some";
        probe.add(&kinds::WHOLE_SEARCH, &path, what);
    }
}

/// A request for missing content must give 404, and JSON.
fn absent(probe: &Probe<'_>, path: &str) {
    let Some(answer) = probe.ask(Ask::get(path)).filter(|answer| !answer.endless) else {
        return;
    };
    let what = format!("the status for missing content is {}", answer.status);
    match answer.status {
        404 => {}
        200..300 => return probe.add(&kinds::FOUND_MISSING, path, what),
        _ => probe.add(&kinds::REFUSED_MISSING, path, what),
    }
    let media_type = answer.header("Content-Type").unwrap_or_default();
    let body = answer.read(MAX_JSON).unwrap_or_default();
    match Markup::of(&media_type, &body) {
        Some(Markup::Html) => {
            let what = "the answer for missing content is an HTML page";
            probe.add(&kinds::HTML_ERROR, path, what);
        }
        Some(Markup::Xml) => {
            let what = "the answer for missing content is an XML document";
            probe.add(&kinds::XML_ERROR, path, what);
        }
        None => {}
    }
}

/// What some servers answer where clients expect JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Markup {
    Html,
    /// The errors of S3 and what imitates it.
    Xml,
}

impl Markup {
    /// By the `Content-Type`, or by how the body begins.
    fn of(media_type: &str, body: &[u8]) -> Option<Self> {
        const HTML: [&str; 5] = ["<!doctype html", "<html", "<head", "<body", "<title"];
        let media_type = media_type.to_ascii_lowercase();
        let body = body.trim_ascii_start();
        let begins = |with: &str| {
            let start = body.get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        if media_type.contains("html") || HTML.iter().any(|tag| begins(tag)) {
            Some(Self::Html)
        } else if begins("<?xml") || (media_type.contains("xml") && begins("<")) {
            Some(Self::Xml)
        } else {
            None
        }
    }
}

fn absent_referrers(probe: &Probe<'_>, path: &str) {
    let Some(answer) = probe.ask(Ask::get(path)) else {
        return;
    };
    let what = format!("the status for an unknown digest is {}", answer.status);
    match answer.status {
        200 => {}
        404 => probe.add(&kinds::NO_REFERRERS, path, what),
        _ => probe.add(&kinds::REFERRERS, path, what),
    }
}

/// Revalidates a pointer as a cache does: by its `ETag`, or by its date if it has none.
fn pointer(probe: &Probe<'_>, path: &str) {
    let Some(answer) = probe
        .ask(Ask::get(path))
        .filter(|answer| answer.status == 200)
    else {
        return;
    };
    let etag = answer.own_header("ETag");
    let date = answer.own_header("Last-Modified");
    let Some(body) = probe.body(path, answer, MAX_LIST) else {
        return;
    };
    let (condition, value) = match (&etag, &date) {
        (Some(etag), _) if is_of_time_and_length(etag, body.len()) => ("If-None-Match", etag),
        (None, Some(date)) => ("If-Modified-Since", date),
        _ => return,
    };
    if !value.is_ascii() {
        return;
    }
    let headers = [(condition, value.as_str())];
    if let Some(answer) = probe.ask(Ask::get(path).with(&headers))
        && answer.status == 304
    {
        let what = format!("the answer to `{condition}: {value}` is 304");
        probe.add(&kinds::POINTER_VALIDATOR, path, what);
    }
}

/// Whether an `ETag` contains the length of the file, as those made of time and length do (nginx and Apache:
/// in hex; Caddy: in base 36, at the end).
fn is_of_time_and_length(etag: &str, length: usize) -> bool {
    let text = etag.trim_start_matches("W/").trim_matches('"');
    let text = text.trim_end_matches("-gzip").to_ascii_lowercase();
    let in_36 = in_base_36(length);
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| part == format!("{length:x}") || part == length.to_string() || part == in_36)
        || (text.len() < 24 && text.ends_with(&in_36))
}

fn in_base_36(mut number: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
        number /= 36;
    }
    digits.reverse();
    String::from_utf8_lossy(&digits).into_owned()
}

/// Checks ranges on a layer of a manifest, as after an interrupted transfer.
fn parts_of_blob(probe: &Probe<'_>, name: &str, tag: &str) {
    let path = format!("/v2/{name}/manifests/{tag}");
    let plain = [("Accept-Encoding", "identity")];
    let answer = probe.client.ask(Ask::get(&path).with(&plain)).ok();
    let bytes = answer.and_then(|answer| answer.read(MAX_JSON).ok());
    let manifest = bytes.and_then(|bytes| Manifest::parse(bytes.into(), None).ok());
    let blobs = manifest
        .map(|manifest| manifest.blobs())
        .unwrap_or_default();
    if let Some(blob) = blobs.iter().rev().find(|blob| blob.size != Some(0)) {
        let path = format!("/v2/{name}/blobs/{}", blob.digest);
        parts(probe, &path);
    }
}

fn parts_of_layer(probe: &Probe<'_>, tag: &str) {
    let answer = probe.client.ask(Ask::get(tag)).ok();
    let bytes = answer.and_then(|answer| answer.read(MAX_JSON).ok());
    let id = bytes.and_then(|bytes| serde_json::from_slice::<String>(&bytes).ok());
    let id = id.and_then(|id| id.parse::<crate::spec::v1::V1Id>().ok());
    if let Some(id) = id {
        pointer(probe, tag);
        parts(probe, &format!("/v1/images/{id}/layer"));
    }
}

fn parts(probe: &Probe<'_>, path: &str) {
    let Some(whole) = probe.ask(Ask::get(path)) else {
        return;
    };
    let announced = whole.header("Accept-Ranges").as_deref() == Some("bytes");
    let range = [("Range", "bytes=1-")];
    let Some(answer) = probe.ask(Ask::get(path).with(&range)) else {
        return;
    };
    let part = answer.header("Content-Range").unwrap_or_default();
    match answer.status {
        206 if part.starts_with("bytes 1-") && announced => {}
        206 if part.starts_with("bytes 1-") => {
            probe.add(&kinds::NO_ACCEPT_RANGES, path, "there is no Accept-Ranges");
        }
        200 | 206 | 416 => {
            let what = format!("the status for `Range: bytes=1-` is {}", answer.status);
            probe.add(&kinds::NO_RANGE, path, what);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_and_xml_are_told_apart() {
        const S3: &str = "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code></Error>";
        for (media_type, body, markup) in [
            ("text/html; charset=utf-8", "no", Some(Markup::Html)),
            ("application/xhtml+xml", S3, Some(Markup::Html)),
            ("", "\n <!DOCTYPE HTML>", Some(Markup::Html)),
            ("text/plain", "<Title>404", Some(Markup::Html)),
            ("application/xml", S3, Some(Markup::Xml)),
            ("", S3, Some(Markup::Xml)),
            ("text/xml", " <Error/>", Some(Markup::Xml)),
            ("application/xml", "", None),
            ("application/xml", "{}", None),
            ("text/plain", "<no>", None),
            ("text/plain", "not found", None),
            ("application/json", "{}", None),
        ] {
            assert_eq!(
                Markup::of(media_type, body.as_bytes()),
                markup,
                "{media_type} {body}"
            );
        }
    }

    #[test]
    fn etags_of_time_and_length_are_known() {
        for etag in [
            "\"5f5e100-2d\"",
            "W/\"5f5e100-2d\"",
            "\"2d-62a1\"",
            "\"snmm2i19\"",
            "\"5f5e100-45-gzip\"",
        ] {
            assert!(is_of_time_and_length(etag, 45), "{etag}");
        }
        let md5 = format!("\"{}\"", "9b2d".repeat(8));
        for etag in [md5.as_str(), "\"3512526541\"", "\"abc-45x\""] {
            assert!(!is_of_time_and_length(etag, 45), "{etag}");
        }
    }
}
