//! One publish: it merges, sends, and begins again where another publisher was faster.

use std::sync::Arc;

use crate::bucket::{Abilities, Bucket, Slash};
use crate::error::WithHint as _;
use crate::note::{Note, NoteKind};
use crate::ops::publish::merge::{self, Merged};
use crate::ops::publish::remote::{Compared, Remote};
use crate::ops::publish::unused::{self, Unused};
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
    pub(super) published: Published,
}

impl Run<'_> {
    pub(super) fn publish(mut self) -> anyhow::Result<Published> {
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
                    let note = NoteKind::Choice.note("the bucket had objects, but no site");
                    self.published.notes.push(note);
                }
            }
            if self.merge(listed, &remote, &merged)? {
                self.headers(&remote, &merged)?;
                if let Some(prune) = options.prune {
                    let can = self.can()?;
                    let mut pruned = prune::prune(bucket, prune, can)?;
                    self.published.changed.append(&mut pruned.changed);
                    self.published.pruned = Some(pruned);
                }
                return Ok(self.published);
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
        listed: unused::Seen,
        remote: &Remote<'_>,
        merged: &Merged,
    ) -> anyhow::Result<bool> {
        let trial = Upload {
            unused: Some(&listed.unused.since),
            ..upload(self.options, remote, Mode::Trial)
        };
        trial.content(&self.local.plan())?;
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
        if !unused::take_off(self.bucket, listed, &needed, can.conditions, self.on_wait)? {
            return Ok(false);
        }
        self.progress.expect(would.files + would.links, would.bytes);
        let mut upload = upload(self.options, remote, Mode::Send(can, self.progress));
        upload.content(&self.local.plan())?;
        upload.pointers(&merged.plan())?;
        let is_done = !*upload.conflict.get_mut();
        if is_done {
            upload.delete(&merged.dropped)?;
        }
        let published = &mut self.published;
        published.changes.files.add(&upload.stored());
        published.copied_bytes += *locked(&upload.copied);
        published.changed.append(&mut locked(&upload.changed));
        Ok(is_done)
    }

    /// Looks at the headers of all objects, where they may be wrong.
    fn headers(&mut self, remote: &Remote<'_>, merged: &Merged) -> anyhow::Result<()> {
        let rules = headers::rules();
        let is_known = matches!(remote.compare(headers::KEY, &rules)?, Compared::Same);
        let is_asked = self.options.check_headers;
        if is_known && !is_asked {
            return Ok(());
        }
        let can = self.can()?;
        if is_asked || !remote.is_empty() {
            self.published.mended_headers = headers::mend(self.bucket, &merged.catalogue, can)?;
        }
        if can.is_some() && !is_known {
            headers::remember(self.bucket, &rules)?;
        }
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
