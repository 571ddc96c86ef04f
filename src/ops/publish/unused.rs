//! What is unused in a bucket, and since when: the object `_publish/unused`.
//! ```text
//! lease <seconds since 1970> <holder>     until then somebody deletes what is due; 0 when that is over
//! <seconds since 1970> <key, or repository@digest of a manifest without a tag>
//! ```
//! Only what is on the list can be deleted, and only by who holds the lease. A publisher reads the list before the
//! bucket, and takes off what it needs before it relies on it; while there is a lease, it waits. Before it sends
//! anything, the list must be as it was read. All write under the condition that nobody else has, so one of them
//! begins again. A lease that is over stays on the list: who has missed it sees that the list is another.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;

use anyhow::Context as _;
use rayon::prelude::*;

use crate::bucket::{self, Bucket, Bytes, Headers, If};
use crate::error::WithHint as _;
use crate::ops::since;
use crate::writer::unreferenced::FileKind;

pub(super) const KEY: &str = "_publish/unused";
/// How often a lease is looked at while it is another's.
const LOOK: Duration = Duration::from_secs(2);
/// How long a lease lasts, in seconds. It is renewed when less than this is left, and nothing is deleted when a request
/// could outlast it.
const LEASE: u64 = 30 * 60;
const RENEW: u64 = 25 * 60;
const LONGEST_REQUEST: u64 = 15 * 60;
/// How many objects are deleted before the lease is looked at again.
const CHUNK: usize = 256;
/// How often the end of a lease is tried.
const ATTEMPTS: u32 = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unused {
    pub(super) lease: Option<Lease>,
    /// Seconds since 1970 by key.
    pub(super) since: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// In seconds since 1970.
    pub(super) until: u64,
    pub(super) holder: String,
}

/// A list, and the `ETag` of its object; `None` if there is none.
pub(super) struct Seen {
    pub(super) unused: Unused,
    etag: Option<String>,
}

impl Unused {
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = str::from_utf8(bytes).context("it is not text")?;
        let mut unused = Self::default();
        for line in text.lines() {
            if let Some((until, holder)) = line
                .strip_prefix("lease ")
                .and_then(|rest| rest.split_once(' '))
            {
                let (until, holder) = (until.parse()?, holder.to_owned());
                unused.lease = Some(Lease { until, holder });
            } else {
                let (key, time) = since::parse(line).context("a line has no time")?;
                unused.since.insert(key, time);
            }
        }
        Ok(unused)
    }

    fn text(&self) -> String {
        let lease = self.lease.iter();
        let lease = lease.map(|Lease { until, holder }| format!("lease {until} {holder}\n"));
        lease.chain(since::lines(&self.since)).collect()
    }

    pub(super) fn read(bucket: &Bucket) -> anyhow::Result<Seen> {
        let Some((bytes, etag)) = bucket.get(KEY)? else {
            return Ok(Seen {
                unused: Self::default(),
                etag: None,
            });
        };
        let unused = Self::parse(&bytes)
            .with_context(|| format!("cannot read `{KEY}`"))
            .hint("delete that object: the grace period begins again")?;
        Ok(Seen {
            unused,
            etag: Some(etag),
        })
    }

    /// Whether somebody deletes what is due.
    pub(super) fn is_leased(&self, now: u64) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }

    fn end_lease(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.until = 0;
        }
    }
}

impl Seen {
    /// Stores a list in place of the one that was seen. `false` if somebody else was faster.
    pub(super) fn replace(
        &self,
        bucket: &Bucket,
        new: &Unused,
        has_conditions: bool,
    ) -> anyhow::Result<bool> {
        let headers = Headers::unserved("text/plain");
        let condition = If::unchanged(self.etag.as_deref(), has_conditions);
        let text = new.text();
        bucket.put(KEY, Bytes::Memory(text.as_bytes()), &headers, condition)
    }

    /// Fails while somebody holds the lease.
    pub(super) fn check_lease(&self, now: u64) -> anyhow::Result<()> {
        match &self.unused.lease {
            Some(lease) if self.unused.is_leased(now) => Err(anyhow::anyhow!(
                "another run deletes from the bucket, at most for {} more seconds",
                lease.until - now
            ))
            .hint("try again when it is done"),
            _ => Ok(()),
        }
    }

    /// Takes keys off the list. `false` if the list is no longer as it was seen, or somebody had a lease: what is in
    /// the bucket must be looked at again.
    pub(super) fn take_off(
        &mut self,
        bucket: &Bucket,
        keys: &BTreeSet<String>,
        has_conditions: bool,
        on_wait: &mut dyn FnMut(),
    ) -> anyhow::Result<bool> {
        if keys.is_empty() {
            return Ok(Unused::read(bucket)?.etag == self.etag);
        }
        if self.unused.is_leased(bucket.now()) {
            wait(bucket, on_wait)?;
            return Ok(false);
        }
        // Who had a lease that has run out may have deleted some.
        let is_left_behind = matches!(&self.unused.lease, Some(lease) if lease.until > 0);
        let mut new = self.unused.clone();
        new.end_lease();
        new.since.retain(|key, _| !keys.contains(key));
        let is_stored = self.replace(bucket, &new, has_conditions)?;
        if is_stored {
            *self = Unused::read(bucket)?;
        }
        Ok(is_stored && !is_left_behind && self.unused == new)
    }
}

/// Waits until nobody holds the lease.
pub(super) fn wait(bucket: &Bucket, on_wait: &mut dyn FnMut()) -> anyhow::Result<()> {
    on_wait();
    while Unused::read(bucket)?.unused.is_leased(bucket.now()) {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The lease, held by this run.
pub(super) struct Held<'a> {
    bucket: &'a Bucket,
    has_conditions: bool,
    lease: Lease,
}

impl<'a> Held<'a> {
    /// Takes the lease, with a new list in place of the one that was seen. `None` if somebody else was faster.
    pub(super) fn take(
        bucket: &'a Bucket,
        seen: &Seen,
        since: BTreeMap<String, u64>,
        has_conditions: bool,
    ) -> anyhow::Result<Option<Self>> {
        let lease = Lease {
            until: bucket.now() + LEASE,
            holder: format!("{:x}", bucket::random()),
        };
        let new = Unused {
            lease: Some(lease.clone()),
            since,
        };
        let is_taken = seen.replace(bucket, &new, has_conditions)?;
        Ok(is_taken.then_some(Self {
            bucket,
            has_conditions,
            lease,
        }))
    }

    /// Makes sure that the lease lasts for longer than a request.
    pub(super) fn keep(&mut self) -> anyhow::Result<()> {
        if self.lease.until > self.bucket.now() + RENEW {
            return Ok(());
        }
        let seen = Unused::read(self.bucket)?;
        let mut new = seen.unused.clone();
        self.lease.until = self.bucket.now() + LEASE;
        let is_ours = new
            .lease
            .replace(self.lease.clone())
            .is_some_and(|lease| lease.holder == self.lease.holder);
        if !is_ours || !seen.replace(self.bucket, &new, self.has_conditions)? {
            anyhow::bail!("another run has taken the lease");
        }
        Ok(())
    }

    /// Deletes objects, those of a kind at the same time: lists before what they list.
    pub(super) fn delete(&mut self, keys: &[String]) -> anyhow::Result<()> {
        let mut keys: Vec<(FileKind, &String)> =
            keys.iter().map(|key| (FileKind::of(key), key)).collect();
        keys.sort();
        for of_kind in keys.chunk_by(|(a, _), (b, _)| discriminant(a) == discriminant(b)) {
            for some in of_kind.chunks(CHUNK) {
                self.keep()?;
                let this = &*self;
                some.par_iter()
                    .try_for_each(|(_, key)| this.delete_one(key))?;
            }
        }
        Ok(())
    }

    fn delete_one(&self, key: &str) -> anyhow::Result<()> {
        if self.bucket.now() + LONGEST_REQUEST > self.lease.until {
            anyhow::bail!("the store is too slow to delete while the lease lasts");
        }
        self.bucket.delete(key)
    }

    /// Ends the lease, and takes keys off the list. Another run may have taken over a lease that has run out.
    pub(super) fn end(self, gone: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        for _ in 0..ATTEMPTS {
            let seen = Unused::read(self.bucket)?;
            let mut new = seen.unused.clone();
            if new.lease.as_ref().map(|lease| &lease.holder) != Some(&self.lease.holder) {
                return Ok(());
            }
            new.end_lease();
            new.since.retain(|key, _| !gone(key));
            if seen.replace(self.bucket, &new, self.has_conditions)? {
                return Ok(());
            }
        }
        anyhow::bail!("cannot end the lease")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        let unused = Unused {
            lease: Some(Lease {
                until: 7,
                holder: "a b".into(),
            }),
            since: BTreeMap::from([("v2/a b".into(), 3), ("lease".into(), 4)]),
        };
        assert_eq!(Unused::parse(unused.text().as_bytes()).unwrap(), unused);
        assert!(unused.is_leased(6) && !unused.is_leased(7));
        for text in ["x", "lease x y", "1", "-1 a"] {
            assert!(Unused::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
