//! The parts of answers: headers and a body.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::routes::{JSON, Route};
use crate::serve::connections::Answering;

/// How much of a file a connection holds in memory, in bytes.
const CHUNK: usize = 64 << 10;

/// An answer with the headers of a route, without validators.
pub(super) fn plain(route: &Route<'_>, file: &str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::bytes(bytes));
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(route.media_type(file));
    headers.insert(CONTENT_TYPE, media_type);
    let control = HeaderValue::from_static(route.cache().control());
    headers.insert(CACHE_CONTROL, control);
    response
}

/// An error in JSON. It is not cached: what is missing now may be published next.
pub(super) fn error(status: StatusCode, json: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::bytes(Bytes::from_static(json.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The body of an answer: bytes, or a part of a file.
pub(super) struct Body {
    bytes: Bytes,
    file: Option<File>,
    from: u64,
    left: u64,
    /// Dropped with the body.
    pub(super) answering: Option<Answering>,
}

impl Body {
    pub(super) fn none() -> Self {
        Self::bytes(Bytes::new())
    }

    pub(super) fn bytes(bytes: Bytes) -> Self {
        let left = bytes.len() as u64;
        Self {
            bytes,
            file: None,
            from: 0,
            left,
            answering: None,
        }
    }

    pub(super) fn part(file: File, from: u64, left: u64) -> Self {
        Self {
            bytes: Bytes::new(),
            file: Some(file),
            from,
            left,
            answering: None,
        }
    }

    /// The bytes left to send.
    pub(super) fn len(&self) -> u64 {
        self.left
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    /// Reads in place, as nginx does without `aio`: mostly from the page cache, which costs less than handing
    /// the read to another thread.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Some(file) = &self.file else {
            self.left = 0;
            let bytes = std::mem::take(&mut self.bytes);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        };
        let wanted = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut buffer = BytesMut::zeroed(wanted);
        if let Err(error) = file.read_exact_at(&mut buffer, self.from) {
            return Poll::Ready(Some(Err(error)));
        }
        self.from += wanted as u64;
        self.left -= wanted as u64;
        Poll::Ready(Some(Ok(Frame::data(buffer.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
