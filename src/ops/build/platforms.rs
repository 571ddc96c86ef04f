//! `--platform` chooses from indexes. Says which images were taken for other platforms, since they are in none.

use std::collections::BTreeMap;

use crate::images::Images;
use crate::note::{Note, NoteKind};
use crate::ops::build::tags;
use crate::spec::descriptor::Platform;
use crate::spec::digest::Digest;
use crate::spec::manifest::ManifestKind;
use crate::text::some;

/// The most names in a note.
const SHOWN: usize = 5;

pub(super) fn notes(images: &Images, wanted: &[Platform]) -> Vec<Note> {
    let mut others: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeMap<Digest, Option<Platform>> = BTreeMap::new();
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
        let read = || Some(images.config(&config.digest).ok()?.1.platform.clone());
        let Some(platform) = known.entry(config.digest).or_insert_with(read) else {
            continue;
        };
        let is_wanted = wanted.iter().any(|wanted| wanted.covers(platform));
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
    let shown = some(names, SHOWN);
    let note = NoteKind::Choice.note(format!(
        "`--platform` selects from indexes; taken although for {platform}: {shown}"
    ));
    match names {
        [one] => note.about(one),
        _ => note,
    }
}
