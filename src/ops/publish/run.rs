//! One publish: it merges, sends, and begins again where another publisher was faster.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bucket::{Abilities, Bucket, Slash};
use crate::error::WithHint as _;
use crate::note::{Note, NoteKind};
use crate::ops::publish::merge::{self, Merged};
use crate::ops::publish::remote::{Compared, Remote};
use crate::ops::publish::send::path_of;
use crate::ops::publish::unused::{self, Held, Unused};
use crate::ops::publish::upload::{Mode, Upload, locked};
use crate::ops::publish::{PublishOptions, Published, changes, headers, prune, upload};
use crate::ops::view::View;
use crate::progress::Progress;

/// How often a publish begins again because others publish too.
const ATTEMPTS: u32 = 50;

pub(super) struct Run<'a> {
    pub(super) options: &'a PublishOptions,
    pub(super) bucket: &'a Bucket,
    pub(super) local: View,
    pub(super) progress: &'a Arc<Progress>,
    /// Called before waiting for a run that deletes.
    pub(super) on_wait: &'a mut dyn FnMut(),
    /// What the store can, once it was tried.
    pub(super) abilities: Option<Abilities>,
    pub(super) published: &'a mut Published,
}

impl Run<'_> {
    pub(super) fn publish(mut self) -> anyhow::Result<()> {
        let (options, bucket) = (self.options, self.bucket);
        for attempt in 1..=ATTEMPTS {
            // Before the bucket: what is there and not on this list stays for the grace period.
            let listed = Unused::read(bucket)?;
            let remote = Remote::read(bucket)?;
            let merged = merge::merge(&self.local, &remote, options.mirror)?;
            let changes = changes(options, &remote, &merged)?;
            if attempt == 1 {
                self.published.changes = changes;
                if remote.catalogue.is_none() && !remote.is_empty() {
                    let note = NoteKind::Choice.note("the bucket had objects, but no site: an interrupted publish may have left them");
                    self.published.notes.push(note);
                }
            }
            if self.merge(listed, &remote, &merged)? {
                self.headers(&remote, &merged)?;
                if let Some(prune) = options.prune {
                    let mut pruned = prune::prune(bucket, prune, &mut || self.can())?;
                    self.published.changed.append(&mut pruned.changed);
                    self.published.pruned = Some(pruned);
                }
                return Ok(());
            }
            std::thread::sleep(crate::bucket::pause());
        }
        Err(anyhow::anyhow!("others publish to the bucket all the time"))
            .hint("what was sent stays; try again")
    }

    /// What the store can, tried before the first write; `None` for a dry run, which writes nothing.
    fn can(&mut self) -> anyhow::Result<Option<Abilities>> {
        let options = self.options;
        if self.abilities.is_some() || options.dry_run {
            return Ok(self.abilities);
        }
        let can = *self.abilities.insert(self.bucket.probe()?);
        self.published.notes.extend(limits(can));
        let option = match options.prune {
            Some(_) => "--prune",
            None if options.mirror => "--mirror",
            None => return Ok(Some(can)),
        };
        if !can.deletes {
            return Err(anyhow::anyhow!(
                "the store does not let these credentials delete, as `{option}` has to"
            ))
            .hint("allow s3:DeleteObject for this bucket");
        }
        if !can.conditions && !options.force {
            return Err(anyhow::anyhow!(
                "the store has no conditional writes, so `{option}` might drop what another publisher adds"
            ))
            .hint("where nobody else publishes meanwhile, use `--force`");
        }
        Ok(Some(can))
    }

    /// Brings to the bucket what it lacks. `false` if another publisher has changed something.
    fn merge(
        &mut self,
        mut listed: unused::Seen,
        remote: &Remote<'_>,
        merged: &Merged,
    ) -> anyhow::Result<bool> {
        let trial = Upload {
            unused: Some(&listed.unused.since),
            ..upload(self.options, remote, Mode::Trial)
        };
        trial.content(&self.local.plan_without_pages())?;
        trial.pointers(&merged.plan())?;
        let (would, would_copy) = (trial.stored(), *locked(&trial.copied));
        let needed = std::mem::take(&mut *locked(&trial.needed));
        // A run without any change asks the store nothing more.
        if would.is_nothing() && merged.dropped.is_empty() && needed.is_empty() {
            return Ok(true);
        }
        let Some(can) = self.can()? else {
            self.published.changes.files = would;
            self.published.copied_bytes = would_copy;
            return Ok(true);
        };
        if !listed.take_off(self.bucket, &needed, can.conditions, self.on_wait)? {
            return Ok(false);
        }
        self.progress.expect(would.files + would.links, would.bytes);
        let mut upload = upload(self.options, remote, Mode::Send(can, self.progress));
        let sent = self.send(&mut upload, &listed, merged, can);
        let published = &mut *self.published;
        published.changes.files.add(&upload.stored());
        published.copied_bytes += *locked(&upload.copied);
        published.changed.append(&mut locked(&upload.changed));
        sent
    }

    /// Sends content, then pointers, and deletes those that are dropped. `false` if another publisher has changed
    /// something.
    fn send(
        &mut self,
        upload: &mut Upload<'_>,
        listed: &unused::Seen,
        merged: &Merged,
        can: Abilities,
    ) -> anyhow::Result<bool> {
        upload.content(&self.local.plan_without_pages())?;
        if merged.dropped.is_empty() {
            upload.pointers(&merged.plan())?;
            return Ok(!*upload.conflict.get_mut());
        }
        // Under the lease: another publisher may be about to list again what is dropped.
        let Some(mut held) = self.lease(listed, &merged.dropped, can)? else {
            return Ok(false);
        };
        upload.pointers(&merged.plan())?;
        let is_done = !*upload.conflict.get_mut();
        if is_done {
            upload.delete(&merged.dropped, &mut |keys| held.delete(keys))?;
        }
        let gone: BTreeSet<&str> = merged.dropped.iter().map(String::as_str).collect();
        held.end(|key| gone.contains(key))?;
        Ok(is_done)
    }

    /// Takes the lease, with keys on the list as due: where the run ends before they are deleted, the next prune does
    /// it. `None` if another publisher has changed something.
    fn lease(
        &mut self,
        listed: &unused::Seen,
        due: &[String],
        can: Abilities,
    ) -> anyhow::Result<Option<Held<'_>>> {
        if listed.unused.is_leased(self.bucket.now()) {
            unused::wait(self.bucket, self.on_wait)?;
            return Ok(None);
        }
        let mut since = listed.unused.since.clone();
        since.extend(due.iter().map(|key| (key.clone(), 0)));
        Held::take(self.bucket, listed, since, can.conditions)
    }

    /// Looks at the headers of all objects, where they may be wrong.
    fn headers(&mut self, remote: &Remote<'_>, merged: &Merged) -> anyhow::Result<()> {
        let rules = headers::rules();
        let is_known = matches!(remote.compare(headers::KEY, &rules)?, Compared::Same);
        if is_known && !self.options.check_headers {
            return Ok(());
        }
        let is_first = remote.is_empty() && !self.options.check_headers;
        let wrong = if is_first {
            Vec::new()
        } else {
            headers::wrong(self.bucket, &merged.catalogue)?
        };
        let mut paths = wrong.iter().map(|key| path_of(key)).collect();
        if (!wrong.is_empty() || !is_known)
            && let Some(can) = self.can()?
        {
            paths = headers::mend(self.bucket, &merged.catalogue, &wrong, can)?;
            headers::remember(self.bucket, &rules)?;
        }
        self.published.mended_headers = paths.len() as u64;
        self.published.changed.extend(paths);
        Ok(())
    }
}

/// What a store cannot do.
fn limits(can: Abilities) -> Vec<Note> {
    let mut notes = Vec::new();
    if !can.conditions {
        notes.push(NoteKind::Choice.note(
            "the store has no conditional writes: two publishers at once could drop each other's tags from the lists",
        ));
    }
    if !can.keys_beside_folders {
        notes.push(NoteKind::Choice.note(
            "the store keeps no object beside a folder of its name: v1 has lists of tags, but no single ones, for which Docker 1.7 to 1.9 ask",
        ));
    }
    notes.extend(match can.slash {
        Slash::Bytes => None,
        Slash::Empty => Some(NoteKind::Choice.note(
            "the store keeps no bytes at `v2/`: it is empty, which is enough for clients",
        )),
        Slash::Nothing => Some(NoteKind::Choice.note(
            "the store has no object at `v2/`: the server in front of it must answer `/v2/` with 200, or no client pulls over v2",
        )),
    });
    if !can.deletes {
        notes.push(NoteKind::Choice.note(
            "the store does not let these credentials delete: what was written to try it stays below `_probe/`",
        ));
    }
    notes
}
