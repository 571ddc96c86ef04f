//! What a prune found unused in a bucket, and since when: the object `_publish/unused`.
//! ```text
//! lease <seconds since 1970> <holder>     until then somebody deletes what is due
//! <seconds since 1970> <key, or repository@digest of a manifest without a tag>
//! ```
//! Only what is on the list can be deleted. A publisher that needs something of it takes it off before it relies on
//! it. While there is a lease, it waits. Both write under the condition that nobody else has, so one of them begins
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;

use crate::bucket::{self, Bucket, Bytes, Headers, If};
use crate::ops::since;

pub(super) const KEY: &str = "_publish/unused";
/// How often a lease is looked at while it is another's.
const LOOK: Duration = Duration::from_secs(2);

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
        let unused = Self::parse(&bytes).with_context(|| format!("cannot read `{KEY}`"))?;
        Ok(Seen {
            unused,
            etag: Some(etag),
        })
    }

    /// Whether somebody deletes what is due.
    fn is_leased(&self, now: u64) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
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
        let headers = Headers {
            media_type: "text/plain",
            cache_control: "no-store",
            digest: None,
        };
        let condition = match &self.etag {
            _ if !has_conditions => If::Always,
            Some(etag) => If::Is(etag),
            None => If::Absent,
        };
        let text = new.text();
        bucket.put(KEY, Bytes::Memory(text.as_bytes()), &headers, condition)
    }

    /// Fails while another holds the lease.
    pub(super) fn check_lease(&self, now: u64, holder: &str) -> anyhow::Result<()> {
        match &self.unused.lease {
            Some(lease) if lease.holder != holder && lease.until > now => Err(anyhow::anyhow!(
                "another run deletes from the bucket, at most for {} more seconds",
                lease.until - now
            )),
            _ => Ok(()),
        }
    }
}

/// Takes keys off the list. `false` if the list changed, or somebody had a lease that has ended: what is in the
/// bucket must be looked at again.
pub(super) fn take_off(
    bucket: &Bucket,
    seen: Seen,
    keys: &BTreeSet<String>,
    has_conditions: bool,
    on_wait: &mut dyn FnMut(),
) -> anyhow::Result<bool> {
    if keys.is_empty() {
        return Ok(true);
    }
    let mut seen = seen;
    if seen.unused.is_leased(bucket.now()) {
        on_wait();
        while seen.unused.is_leased(bucket.now()) {
            std::thread::sleep(LOOK);
            seen = Unused::read(bucket)?;
        }
        return Ok(false);
    }
    // Somebody who had a lease may have deleted some before it ended.
    let had_lease = seen.unused.lease.is_some();
    let mut since = seen.unused.since.clone();
    since.retain(|key, _| !keys.contains(key));
    let new = Unused { lease: None, since };
    let is_stored = seen.replace(bucket, &new, has_conditions)?;
    if !is_stored {
        std::thread::sleep(bucket::pause());
    }
    Ok(is_stored && !had_lease)
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
