//! Formats results as text for people and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::error::escaped;
use crate::fsx::quoted_path;
use crate::note::Note;
use crate::ops::build::Summary;
use crate::ops::changes::{Changes, Named};
use crate::ops::diff::Difference;
use crate::ops::edit::Edited;
use crate::ops::prune::Pruned;
#[cfg(feature = "publish")]
use crate::ops::publish::Published;
use crate::ops::verify::{Finding, Kind};
use crate::text::{bytes, count};

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// References as clients take them: `app:1@sha256:..`, one a line.
pub(super) fn references(references: &[Named]) -> String {
    let line = |reference: &Named| {
        let name = reference.to_string();
        match &reference.tag {
            Some(_) => format!("{name}@{}\n", reference.digest),
            None => name + "\n",
        }
    };
    references.iter().map(line).collect()
}

pub(super) fn built(summary: &Summary, dry_run: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let Changes {
        moved,
        removed,
        files,
        ..
    } = &summary.changes;
    lines.extend(
        moved
            .iter()
            .map(|tag| format!("moved {} from {}", tag.to, tag.from)),
    );
    lines.extend(removed.iter().map(|name| format!("removed {name}")));
    lines.extend(summary.notes.iter().map(note));
    let references = count(summary.references.len() as u64, "reference");
    let [write, delete] = if dry_run {
        ["would write", "would delete"]
    } else {
        ["wrote", "deleted"]
    };
    if files.is_nothing() {
        lines.push(format!("{references}: nothing to do"));
        return lines;
    }
    let mut text = format!(
        "{references}: {write} {} ({}) and {}",
        count(files.files, "file"),
        bytes(files.bytes),
        count(files.links, "link")
    );
    if files.deleted > 0 {
        let _ = write!(text, ", {delete} {}", count(files.deleted, "stale file"));
    }
    lines.push(text);
    lines
}

/// What `publish` did.
#[cfg(feature = "publish")]
pub(super) fn published(published: &Published, dry_run: bool) -> Vec<String> {
    let Changes {
        added,
        moved,
        removed,
        files,
    } = &published.changes;
    let mut lines: Vec<String> = added.iter().map(|name| format!("added {name}")).collect();
    let moves = moved.iter();
    lines.extend(moves.map(|tag| format!("moved {} from {}", tag.to, tag.from)));
    lines.extend(removed.iter().map(|name| format!("removed {name}")));
    lines.extend(published.notes.iter().map(note));
    let pruned = published.pruned.iter();
    let pruned: Vec<String> = pruned.flat_map(|done| unpublished(done, dry_run)).collect();
    let mended = published.mended_headers;
    if mended > 0 {
        let set = if dry_run { "would set" } else { "set" };
        lines.push(format!("{set} the headers of {}", count(mended, "object")));
    }
    if files.is_nothing() {
        if pruned.is_empty() && mended == 0 {
            lines.push("nothing to do".to_owned());
        }
        lines.extend(pruned);
        return lines;
    }
    let send = if dry_run { "would send" } else { "sent" };
    let mut text = format!(
        "{send} {} ({})",
        count(files.files, "object"),
        bytes(files.bytes)
    );
    if files.links > 0 {
        let copied = bytes(published.copied_bytes);
        let copied_by = if dry_run { "would copy" } else { "copied" };
        let _ = write!(text, "; the store {copied_by} {} more", files.links);
        let _ = write!(text, " ({copied} that the bucket has more than once)");
    }
    lines.push(text);
    lines.extend(pruned);
    lines
}

/// What `publish --prune` deleted.
#[cfg(feature = "publish")]
fn unpublished(pruned: &crate::ops::publish::Pruned, dry_run: bool) -> Vec<String> {
    let [remove, delete, mend, end] = if dry_run {
        ["would remove", "would delete", "would mend", "would end"]
    } else {
        ["removed", "deleted", "mended", "ended"]
    };
    let removed = pruned.removed.iter();
    let mut lines: Vec<String> = removed.map(|name| format!("{remove} {name}")).collect();
    if dry_run {
        let keys = pruned.deleted.iter();
        lines.extend(keys.map(|key| format!("{delete} {}", escaped(key))));
    }
    let size = bytes(pruned.bytes);
    let of = |number: u64, noun: &str| (number > 0).then(|| count(number, noun));
    let deleted = of(pruned.deleted.len() as u64, "object");
    lines.extend(deleted.map(|objects| format!("{delete} {objects} ({size})")));
    if pruned.mended > 0 {
        let mended = pruned.mended;
        lines.push(format!(
            "{mend} tags and lists that differed from the catalogue: {mended}"
        ));
    }
    let uploads = of(pruned.uploads, "interrupted upload");
    lines.extend(uploads.map(|uploads| format!("{end} {uploads}")));
    for (number, noun, what) in [
        (pruned.waiting, "object", "unused"),
        (pruned.untagged, "manifest", "without a tag"),
    ] {
        let waiting = of(number, noun);
        lines
            .extend(waiting.map(|some| format!("{some} {what}, kept until the grace period ends")));
    }
    lines
}

/// What `tag` or `remove` did.
pub(super) fn edited(edited: &Edited, dry_run: bool) -> Vec<String> {
    let [tag, moves, remove] = if dry_run {
        ["would tag", "would move", "would remove"]
    } else {
        ["tagged", "moved", "removed"]
    };
    let changes = &edited.changes;
    let mut lines = Vec::new();
    lines.extend(changes.added.iter().map(|name| format!("{tag} {name}")));
    let to_other = changes.moved.iter();
    lines.extend(to_other.map(|tag| format!("{moves} {} from {}", tag.to, tag.from)));
    lines.extend(
        changes
            .removed
            .iter()
            .map(|name| format!("{remove} {name}")),
    );
    lines.extend(edited.notes.iter().map(note));
    if lines.is_empty() {
        lines.push("nothing to do".into());
    }
    lines
}

/// How a site differs from another.
pub(super) fn difference(difference: &Difference) -> String {
    let mut lines = Vec::new();
    let named = |verb: &str, names: &[Named]| -> Vec<String> {
        let line = |name: &Named| format!("{verb} {name} {}", name.digest);
        names.iter().map(line).collect()
    };
    lines.extend(named("added", &difference.added));
    let moved = difference.moved.iter();
    lines.extend(moved.map(|tag| format!("moved {} {} from {}", tag.to, tag.to.digest, tag.from)));
    lines.extend(named("removed", &difference.removed));
    let site = difference.site_lacks.as_ref();
    let sides = [
        ("the other lacks", Some(&difference.other_lacks)),
        ("the site lacks", site),
    ];
    for (who, lacking) in sides {
        if let Some(lacking) = lacking.filter(|lacking| lacking.blobs > 0) {
            let blobs = count(lacking.blobs, "blob");
            lines.push(format!("{who} {blobs} ({})", bytes(lacking.bytes)));
        }
    }
    if lines.is_empty() {
        lines.push("no difference".to_owned());
    }
    lines.join("\n") + "\n"
}

pub(super) fn notes(notes: &[Note]) -> Vec<String> {
    notes.iter().map(note).collect()
}

fn note(note: &Note) -> String {
    format!("note: {}", note.message)
}

/// What `prune` did; `each` also names the files.
pub(super) fn pruned(pruned: &Pruned, dry_run: bool, each: bool) -> Vec<String> {
    let (remove, delete) = if dry_run {
        ("would remove", "would delete")
    } else {
        ("removed", "deleted")
    };
    let named = |verb: &str, names: &[String]| {
        let line = |name: &String| format!("{verb} {}", escaped(name));
        names.iter().map(line).collect::<Vec<_>>()
    };
    let expired = pruned.expired.iter();
    let mut lines: Vec<String> = expired
        .map(|tag| format!("{remove} {} ({})", tag.name, escaped(&tag.rule)))
        .collect();
    let removed = pruned.removed.iter();
    lines.extend(removed.map(|name| format!("{remove} {name}")));
    if dry_run || each {
        lines.extend(named(delete, &pruned.names));
        lines.extend(named(delete, &pruned.files));
    }
    lines.extend(named(
        "note: not a file of the site, left alone:",
        &pruned.foreign,
    ));
    if !pruned.names.is_empty() {
        let stale = count(pruned.names.len() as u64, "stale file");
        lines.push(format!(
            "{delete} {stale}: tags and lists that the catalogue does not have"
        ));
    }
    lines.extend(pruned.notes.iter().map(note));
    let files = count(pruned.files.len() as u64, "file");
    lines.push(format!("{delete} {files}, {}", bytes(pruned.bytes)));
    if let Some(until) = &pruned.waiting_until {
        let waiting = count(pruned.waiting, "file");
        let size = bytes(pruned.waiting_bytes);
        lines.push(format!(
            "{waiting} unused, {size}, the first of which can be deleted from {until} on"
        ));
    }
    if pruned.untagged > 0 {
        let waiting = count(pruned.untagged, "manifest");
        lines.push(format!(
            "{waiting} without a tag, kept until the grace period ends"
        ));
    }
    lines
}

pub(super) fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let _ = write!(text, "{}: {}", escaped(&finding.path), finding.message);
        if let [name, others @ ..] = finding.needed_by.as_slice() {
            let _ = write!(text, "; needed by `{name}`");
            if !others.is_empty() {
                let _ = write!(text, " and {} more", others.len());
            }
        }
        text.push('\n');
    }
    text
}

/// Hints on how to repair a site, one for each kind of finding.
pub(super) fn remedies(findings: &[Finding], site: &Path) -> Vec<String> {
    let site = quoted_path(site);
    let key = |finding: &Finding| {
        let is_lost = matches!(finding.kind, Kind::Missing | Kind::Damaged);
        (finding.is_derived && is_lost, finding.kind)
    };
    let keys: BTreeSet<(bool, Kind)> = findings.iter().map(key).collect();
    let remedy = |(is_derived, kind)| match kind {
        _ if is_derived => {
            format!("`stillage build {site} -o {site}` rebuilds lists, links and pages")
        }
        Kind::Missing => {
            "rebuild from the sources to restore missing files that they still have".into()
        }
        Kind::Damaged => "delete the damaged files, then rebuild from the sources".into(),
        Kind::Closed => {
            "a build into the site, of whatever it has, restores the modes of its files".into()
        }
        Kind::Stale => format!(
            "`stillage prune {site}` deletes stale files now, and unused content after the grace period"
        ),
        Kind::Foreign => "files that do not belong to the site stay until you delete them".into(),
    };
    let texts = keys.into_iter().map(remedy);
    let mut lines: Vec<String> = texts.map(|text: String| format!("hint: {text}")).collect();
    lines.dedup();
    lines
}

/// Formats rows below their heads, with each column as wide as its longest cell, but not wider than `widest`.
pub(super) fn table<const N: usize>(
    head: &[String; N],
    rows: &[[String; N]],
    widest: [usize; N],
) -> String {
    let mut widths = [0; N];
    for row in std::iter::once(head).chain(rows) {
        for ((width, cell), widest) in widths.iter_mut().zip(row).zip(widest) {
            *width = cell.chars().count().min(widest).max(*width);
        }
    }
    let mut text = String::new();
    for row in std::iter::once(head).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
