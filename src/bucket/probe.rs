//! What a store can: it is tried, with objects that are deleted again. What counts is what the store has afterwards:
//! some refuse by an error of their own, some say that they have stored what they have not.

use std::time::Duration;

use ureq::http::Method;

use crate::bucket::http::{Answer, Ask, Body, random};
use crate::bucket::{Bucket, Headers, If, conditions, stored_with};

/// What not every store can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Writes have conditions, so that two publishers notice each other.
    pub conditions: bool,
    /// An object can have the name of a folder of others, as `tags` beside `tags/latest`.
    pub keys_beside_folders: bool,
    pub slash: Slash,
    pub deletes: bool,
}

/// What a store keeps at a key that ends in a slash and has others below, as `v2/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slash {
    Bytes,
    /// An object without its bytes.
    Empty,
    /// No object, or not beside what is below.
    Nothing,
}

/// Stores with real folders answer 500 to what they cannot do, as those do that fail for a moment: such a request is
/// repeated more often than others, and with shorter waits.
const ATTEMPTS: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(10);

impl Bucket {
    /// Tries what the store can.
    pub fn probe(&self) -> anyhow::Result<Abilities> {
        let name = format!("_probe/{:x}", random());
        let abilities = self.probe_at(&name);
        let mut deletes = true;
        for key in ["key/below", "key", "folder/below", "folder/"] {
            deletes &= self.delete(&format!("{name}/{key}")).is_ok();
        }
        Ok(Abilities {
            deletes,
            ..abilities?
        })
    }

    fn probe_at(&self, name: &str) -> anyhow::Result<Abilities> {
        let key = format!("{name}/key");
        let conditions = self.probe_conditions(&key)?;
        let below = format!("{key}/below");
        self.try_put(&below, b"below", If::Always)?;
        let is_beside = self.has(&key)?.is_some() && self.has(&below)?.is_some();
        Ok(Abilities {
            conditions,
            keys_beside_folders: is_beside,
            slash: self.probe_slash(&format!("{name}/folder/"))?,
            deletes: true,
        })
    }

    /// Whether conditions that hold let a write pass, and others do not. Leaves an object at the key.
    fn probe_conditions(&self, key: &str) -> anyhow::Result<bool> {
        self.try_condition(key, b"1", If::Absent)?;
        let Some((_, etag)) = self.get(key)? else {
            let answer = self.try_put(key, b"1", If::Always)?;
            return if answer.status == 200 {
                Ok(false)
            } else {
                Err(answer.unexpected(&format!("store `{key}`")))
            };
        };
        self.try_condition(key, b"2", If::Absent)?;
        self.try_condition(key, b"3", If::Is("\"0123456789abcdef0123456789abcdef\""))?;
        let is = |bytes: &[u8]| {
            let stored = self.get(key)?;
            anyhow::Ok(stored.is_some_and(|(stored, _)| stored == bytes))
        };
        if !is(b"1")? {
            return Ok(false);
        }
        self.try_condition(key, b"4", If::Is(&etag))?;
        is(b"4")
    }

    /// Writes an object under a condition. A store that fails has not shown that it has none.
    fn try_condition(&self, key: &str, bytes: &[u8], condition: If<'_>) -> anyhow::Result<()> {
        let answer = self.try_put(key, bytes, condition)?;
        match answer.status {
            429 | 500 | 502..=504 => Err(answer.unexpected(&format!("store `{key}`"))),
            _ => Ok(()),
        }
    }

    fn probe_slash(&self, key: &str) -> anyhow::Result<Slash> {
        // Before anything below: rclone's `serve s3` loses a folder that is written to as if it were an object.
        self.try_put(key, b"{}", If::Always)?;
        if self.has(key)?.is_none() {
            self.try_put(key, b"", If::Always)?;
        }
        let below = format!("{key}below");
        self.try_put(&below, b"below", If::Always)?;
        let is_kept = self.has(&below)?.is_some();
        Ok(match self.has(key)?.as_deref() {
            Some(b"{}") if is_kept => Slash::Bytes,
            Some(b"") if is_kept => Slash::Empty,
            _ => Slash::Nothing,
        })
    }

    /// Writes an object, which may be refused.
    fn try_put(&self, key: &str, bytes: &[u8], condition: If<'_>) -> anyhow::Result<Answer> {
        let mut headers = stored_with(&Headers::unserved("text/plain"));
        headers.extend(conditions(condition));
        let ask = Ask {
            headers,
            body: Body::Bytes(bytes),
            ..Ask::new(Method::PUT, self.path(key))
        };
        self.client.send_within(&ask, ATTEMPTS, FIRST_WAIT)
    }

    /// The bytes of an object; `None` if the store does not give it.
    fn has(&self, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let ask = Ask::new(Method::GET, self.path(key));
        let answer = self.client.send_within(&ask, ATTEMPTS, FIRST_WAIT)?;
        Ok((answer.status == 200).then_some(answer.body))
    }
}
