//! Answers with files: conditions and ranges (RFC 9110, sections 13 and 14).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use headers::{ETag, Header, HeaderMapExt as _, IfModifiedSince, IfNoneMatch, LastModified};
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use hyper::{Method, Request, Response, StatusCode};

use crate::fsx::Meta;
use crate::routes::{Route, no_such_range};
use crate::serve::reply::{Body, error, plain};

/// A file of the site.
pub(super) struct Found {
    /// The path in the site.
    pub(super) name: String,
    pub(super) file: File,
    pub(super) meta: Meta,
}

impl Found {
    /// The whole file, at most `limit` bytes.
    pub(super) fn read(&self, limit: u64) -> anyhow::Result<Vec<u8>> {
        let length = self.meta.len;
        anyhow::ensure!(
            length <= limit,
            "`{}` is too long: {length} bytes",
            self.name
        );
        let mut bytes = vec![0; usize::try_from(length)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    pub(super) fn into_body(self) -> Body {
        let left = self.meta.len;
        Body::part(self.file, 0, left)
    }
}

/// Answers with content that never changes: all of it, a range, or 304 if the client has it.
pub(super) fn immutable<T>(
    request: &Request<T>,
    route: &Route<'_>,
    found: Found,
) -> Response<Body> {
    let asked = request.headers();
    let mut response = plain(route, &found.name, Bytes::new());
    let length = found.meta.len;
    let etag = etag(&found.meta);
    let modified = found.meta.modified.map(LastModified::from);
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(etag) = &etag {
        headers.typed_insert(etag.clone());
    }
    if let Some(modified) = modified {
        headers.typed_insert(modified);
    }
    if has_it(asked, etag.as_ref(), &found.meta) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    // Ranges are defined for GET alone (RFC 9110, section 14.2).
    let in_part = request.method() == Method::GET && is_same(asked, response.headers());
    let range = asked.get(RANGE).filter(|_| in_part);
    match range.map_or(Part::Whole, |range| {
        Part::of(range.to_str().unwrap_or(""), length)
    }) {
        Part::Whole => *response.body_mut() = found.into_body(),
        Part::Beyond => {
            let mut beyond = error(
                StatusCode::RANGE_NOT_SATISFIABLE,
                no_such_range(request.uri().path()),
            );
            set_range(&mut beyond, format!("bytes */{length}"));
            return beyond;
        }
        Part::FromTo(from, to) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set_range(&mut response, format!("bytes {from}-{to}/{length}"));
            *response.body_mut() = Body::part(found.file, from, to - from + 1);
        }
    }
    response
}

fn set_range(response: &mut Response<Body>, range: String) {
    if let Ok(value) = HeaderValue::try_from(range) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

fn has_it(asked: &HeaderMap, etag: Option<&ETag>, meta: &Meta) -> bool {
    if let Some(known) = if_none_match(asked) {
        return etag.is_some_and(|etag| !known.precondition_passes(etag));
    }
    let since = asked.typed_get::<IfModifiedSince>();
    since.is_some_and(|since| meta.modified.is_some_and(|time| !since.is_modified(time)))
}

/// Whether `If-Range` lets a range be sent (RFC 9110, section 13.1.5): it has the very `ETag`, which is a strong one, or
/// the very date of `Last-Modified`. One that is neither holds for nothing.
fn is_same(asked: &HeaderMap, sent: &HeaderMap) -> bool {
    let Some(known) = asked.get(IF_RANGE) else {
        return true;
    };
    let date = LastModified::decode(&mut std::iter::once(known)).ok();
    sent.get(ETAG) == Some(known) || date.is_some() && date == sent.typed_get()
}

/// `If-None-Match`; `None` if a tag has a space within its quotes, which is not legal. The `headers` crate would parse
/// it, and panic in builds with debug assertions.
fn if_none_match(asked: &HeaderMap) -> Option<IfNoneMatch> {
    let is_one = |tag: &[u8]| !tag.contains(&b' ') && !tag.contains(&b'\t');
    let mut values = asked.get_all(IfNoneMatch::name()).iter();
    let legal = values.all(|value| {
        let quoted = value.as_bytes().split(|byte| *byte == b'"');
        quoted.skip(1).step_by(2).all(is_one)
    });
    if legal { asked.typed_get() } else { None }
}

/// Time and length, as in nginx. That is enough for content whose address identifies it.
fn etag(meta: &Meta) -> Option<ETag> {
    let time = meta.modified?.duration_since(UNIX_EPOCH).ok()?;
    format!("\"{:x}-{:x}\"", time.as_secs(), meta.len)
        .parse()
        .ok()
}

/// The part of a file that a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Also the answer to several ranges and to an invalid one, as the RFC allows.
    Whole,
    /// From the first byte to the last, both included.
    FromTo(u64, u64),
    /// The range is beyond the end of the file.
    Beyond,
}

impl Part {
    fn of(range: &str, length: u64) -> Self {
        let bounds = range
            .split_once('=')
            .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))
            .and_then(|(_, bounds)| bounds.split_once('-'));
        let Some((first, last)) = bounds else {
            return Self::Whole;
        };
        let end = length.saturating_sub(1);
        let (from, to) = match (position(first), position(last)) {
            (Some(first), None) if last.is_empty() => (first, end),
            (Some(first), Some(last)) if first <= last => (first, end.min(last)),
            (None, Some(count)) if first.is_empty() => (length - length.min(count), end),
            _ => return Self::Whole,
        };
        if from < length {
            Self::FromTo(from, to)
        } else {
            Self::Beyond
        }
    }
}

/// A position or a count in a range: digits alone, where [`str::parse`] accepts a sign too. One that is too large for
/// any file is as good as the largest.
fn position(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::spec::digest::Digest;

    /// The status and the length of the answer to a request for a file of 10 bytes, last modified at a time with
    /// a fraction of a second.
    fn answer(method: Method, asked: &[(&str, &str)]) -> (u16, u64) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        let modified = UNIX_EPOCH + Duration::from_millis(1_000_000_000_900);
        file.set_modified(modified).unwrap();
        let found = Found {
            name: String::new(),
            meta: crate::fsx::meta_of(&file, "".as_ref()).unwrap(),
            file,
        };
        let request = Request::builder().method(method);
        let request = asked.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let route = Route::Content(Digest::of(b""));
        let response = immutable(&request.body(()).unwrap(), &route, found);
        (response.status().as_u16(), response.body().len())
    }

    #[test]
    fn ranges_are_for_get_alone() {
        for (range, get) in [
            ("bytes=0-1", (206, 2)),
            ("bytes=4-", (206, 6)),
            ("bytes=+0-1", (200, 10)),
            ("bytes=20-", (416, 26)),
        ] {
            assert_eq!(answer(Method::GET, &[("Range", range)]), get, "{range}");
            let head = answer(Method::HEAD, &[("Range", range)]);
            assert_eq!(head, (200, 10), "{range}");
        }
    }

    #[test]
    fn a_range_is_sent_if_the_file_is_the_same() {
        for (known, is_same) in [
            (r#""3b9aca00-a""#, true),
            (r#"W/"3b9aca00-a""#, false),
            (r#""3b9aca00-b""#, false),
            (r#""3b9aca00-a", "x""#, false),
            (r#""3b9a ca00-a""#, false),
            ("3b9aca00-a", false),
            ("*", false),
            ("", false),
            (&date(1_000_000_000), true),
            (&date(999_999_999), false),
            (&date(1_000_000_001), false),
        ] {
            let asked = [("Range", "bytes=0-1"), ("If-Range", known)];
            let expected = if is_same { (206, 2) } else { (200, 10) };
            assert_eq!(answer(Method::GET, &asked), expected, "{known}");
        }
    }

    /// A time in seconds since 1970, as headers have it.
    fn date(seconds: u64) -> String {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let mut headers = HeaderMap::new();
        headers.typed_insert(LastModified::from(time));
        headers["last-modified"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_validator_with_a_space_is_none() {
        for value in ["\"a b\"", "\"-None-Match: \"x\"", "\"a\", \"b\tc\""] {
            let mut asked = HeaderMap::new();
            asked.insert("if-none-match", HeaderValue::from_static(value));
            assert!(if_none_match(&asked).is_none(), "{value}");
        }
        let mut asked = HeaderMap::new();
        asked.insert("if-none-match", HeaderValue::from_static("\"a\", W/\"b\""));
        assert!(if_none_match(&asked).is_some());
    }

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (range, meant) in [
            ("bytes=0-0", Part::FromTo(0, 0)),
            ("bytes=2-", Part::FromTo(2, 9)),
            ("bytes=2-99", Part::FromTo(2, 9)),
            ("bytes=-3", Part::FromTo(7, 9)),
            ("bytes=-99", Part::FromTo(0, 9)),
            ("bytes=-0", Part::Beyond),
            ("bytes=10-", Part::Beyond),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+0-1", Part::Whole),
            ("bytes=0-+1", Part::Whole),
            ("bytes=-+1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes= 0-1", Part::Whole),
            ("bytes", Part::Whole),
            ("Bytes=0-1", Part::FromTo(0, 1)),
            ("bytes=0-99999999999999999999", Part::FromTo(0, 9)),
            ("bytes=-99999999999999999999", Part::FromTo(0, 9)),
            ("bytes=99999999999999999999-", Part::Beyond),
            ("items=0-1", Part::Whole),
        ] {
            assert_eq!(Part::of(range, 10), meant, "{range}");
        }
        assert_eq!(Part::of("bytes=0-", 0), Part::Beyond);
    }
}
