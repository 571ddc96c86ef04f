//! Answers with files: conditions and ranges (RFC 9110, sections 13 and 14).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use headers::{
    ETag, Header, HeaderMapExt as _, IfModifiedSince, IfNoneMatch, IfRange, LastModified,
};
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use hyper::{Response, StatusCode};

use crate::fsx::Meta;
use crate::routes::Route;
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
pub(super) fn immutable(asked: &HeaderMap, route: &Route<'_>, found: Found) -> Response<Body> {
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
    let stale = typed::<IfRange>(asked)
        .is_some_and(|known| known.is_modified(etag.as_ref(), modified.as_ref()));
    let asked = asked.get(RANGE).filter(|_| !stale);
    match asked.map_or(Part::Whole, |range| {
        Part::of(range.to_str().unwrap_or(""), length)
    }) {
        Part::Whole => *response.body_mut() = found.into_body(),
        Part::Beyond => {
            let mut beyond = error(StatusCode::RANGE_NOT_SATISFIABLE, no_such_range(route));
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

/// The error in the form of the API. `UNSUPPORTED` is the closest of the codes that distribution-spec allows.
fn no_such_range(route: &Route<'_>) -> &'static str {
    match route {
        Route::Blob(..) | Route::Manifest(..) => {
            r#"{"errors":[{"code":"UNSUPPORTED","message":"no such range","detail":null}]}"#
        }
        _ => r#"{"error": "No such range"}"#,
    }
}

fn set_range(response: &mut Response<Body>, range: String) {
    if let Ok(value) = HeaderValue::try_from(range) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

fn has_it(asked: &HeaderMap, etag: Option<&ETag>, meta: &Meta) -> bool {
    if let Some(known) = typed::<IfNoneMatch>(asked) {
        return etag.is_some_and(|etag| !known.precondition_passes(etag));
    }
    let since = asked.typed_get::<IfModifiedSince>();
    since.is_some_and(|since| meta.modified.is_some_and(|time| !since.is_modified(time)))
}

/// A header with validators; `None` if one has a space within its quotes, which is not legal. The `headers`
/// crate would parse it, and panic in builds with debug assertions.
fn typed<H: Header>(asked: &HeaderMap) -> Option<H> {
    let is_one = |tag: &[u8]| !tag.contains(&b' ') && !tag.contains(&b'\t');
    let mut values = asked.get_all(H::name()).iter();
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
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'));
        let Some((first, last)) = bounds else {
            return Self::Whole;
        };
        let end = length.saturating_sub(1);
        let (from, to) = match (first.parse(), last.parse()) {
            (Ok(first), Err(_)) if last.is_empty() => (first, end),
            (Ok(first), Ok(last)) if first <= last => (first, end.min(last)),
            (Err(_), Ok(count)) if first.is_empty() => (length - length.min(count), end),
            _ => return Self::Whole,
        };
        if from < length {
            Self::FromTo(from, to)
        } else {
            Self::Beyond
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_with_a_space_is_none() {
        for value in ["\"a b\"", "\"-None-Match: \"x\"", "\"a\", \"b\tc\""] {
            let mut asked = HeaderMap::new();
            for name in ["if-none-match", "if-range"] {
                asked.insert(name, HeaderValue::from_static(value));
            }
            assert!(typed::<IfNoneMatch>(&asked).is_none(), "{value}");
            assert!(typed::<IfRange>(&asked).is_none(), "{value}");
        }
        let mut asked = HeaderMap::new();
        asked.insert("if-none-match", HeaderValue::from_static("\"a\", W/\"b\""));
        assert!(typed::<IfNoneMatch>(&asked).is_some());
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
            ("items=0-1", Part::Whole),
        ] {
            assert_eq!(Part::of(range, 10), meant, "{range}");
        }
        assert_eq!(Part::of("bytes=0-", 0), Part::Beyond);
    }
}
