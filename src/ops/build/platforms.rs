//! `--platform` chooses from indexes. Says which images were taken for other platforms, since they are in none.

use std::collections::BTreeMap;

use crate::images::Images;
use crate::note::{Note, NoteKind};
use crate::ops::build::tags;
use crate::spec::descriptor::Platform;
use crate::spec::manifest::ManifestKind;

/// The most names in a note.
const SHOWN: usize = 5;

pub(super) fn notes(images: &Images, wanted: &[Platform]) -> Vec<Note> {
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if wanted.is_empty() {
        return Vec::new();
    }
    for (repository, tag, digest) in tags(images) {
        let manifest = &images.manifests[&digest];
        let ManifestKind::Image {
            config: Some(config),
            ..
        } = &manifest.kind
        else {
            continue;
        };
        // One that cannot be read is reported elsewhere.
        let Ok((_, parsed)) = images.config(&config.digest) else {
            continue;
        };
        let platform = parsed.platform;
        let is_wanted = wanted.iter().any(|wanted| wanted.covers(&platform));
        if manifest.is_image() && !is_wanted {
            let names = others.entry(platform.to_string()).or_default();
            names.push(format!("{repository}:{tag}"));
        }
    }
    others
        .iter()
        .map(|(platform, names)| note(platform, names))
        .collect()
}

fn note(platform: &str, names: &[String]) -> Note {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let note = NoteKind::Choice.note(format!(
        "`--platform` selects from indexes; taken although for {platform}: {shown}{more}"
    ));
    match names {
        [one] => note.about(one),
        _ => note,
    }
}
