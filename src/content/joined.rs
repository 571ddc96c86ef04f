//! Content in several files.

use std::io::{self, Read};
use std::sync::Arc;

use crate::content::{Content, Reader};

/// Reads contents one after the other, and opens each when it is its turn.
pub(super) struct Joined {
    parts: Arc<[Content]>,
    next: usize,
    current: Option<Box<Reader>>,
}

impl Joined {
    pub(super) fn new(parts: Arc<[Content]>) -> Self {
        Self {
            parts,
            next: 0,
            current: None,
        }
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = match &mut self.current {
                Some(current) => current.read(buffer)?,
                None => 0,
            };
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            let Some(part) = self.parts.get(self.next) else {
                return Ok(0);
            };
            self.next += 1;
            self.current = Some(Box::new(part.open().map_err(io::Error::other)?));
        }
    }
}
