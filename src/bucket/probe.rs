//! What a store can: it is tried, with objects that are deleted again.

use crate::bucket::http::random;
use crate::bucket::{Bucket, Bytes, Headers, If};

/// What not every store can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Writes have conditions, so that two publishers notice each other.
    pub conditions: bool,
    /// An object can have the name of a folder of others, as `tags` beside `tags/latest`.
    pub keys_beside_folders: bool,
}

impl Bucket {
    /// Tries what the store can.
    pub fn probe(&self) -> anyhow::Result<Abilities> {
        let name = random();
        let (key, below) = (format!("_probe/{name:x}"), format!("_probe/{name:x}/below"));
        let abilities = self.probe_at(&key, &below);
        for key in [&below, &key] {
            self.delete(key)?;
        }
        abilities
    }

    fn probe_at(&self, key: &str, below: &str) -> anyhow::Result<Abilities> {
        let headers = Headers {
            media_type: "text/plain",
            cache_control: "no-store",
            digest: None,
        };
        let put = |key: &str, bytes: &[u8], condition: If<'_>| {
            self.put(key, Bytes::Memory(bytes), &headers, condition)
        };
        put(key, b"1", If::Always)?;
        let is_refused = |condition: If<'_>| put(key, b"2", condition).map(|stored| !stored);
        let conditions =
            is_refused(If::Absent)? && is_refused(If::Is("\"0123456789abcdef0123456789abcdef\""))?;
        let is_stored = put(below, b"3", If::Always).is_ok();
        let is_kept = |key: &str| Ok::<_, anyhow::Error>(self.get(key).ok().flatten().is_some());
        Ok(Abilities {
            conditions,
            keys_beside_folders: is_stored && is_kept(key)? && is_kept(below)?,
        })
    }
}
