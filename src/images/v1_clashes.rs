//! v1 ids that stand for different content in two places. Only one can be served under the id.

use std::collections::{BTreeMap, BTreeSet};

use crate::images::v1_images::V1Images;
use crate::note::{Note, NoteKind};
use crate::spec::v1::V1Id;
use crate::text::some;

/// Which content is served.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clash {
    /// That of one of two sources.
    OneOfSources,
    /// The derived one, not that of a source.
    Derived,
    /// That which the site has already.
    InSite,
}

/// The most names in a note.
const SHOWN: usize = 5;

impl V1Images {
    /// The notes on clashes, with the images that have the ids.
    pub(super) fn clash_notes(&self, clashes: &BTreeMap<V1Id, Clash>) -> BTreeSet<Note> {
        if clashes.is_empty() {
            return BTreeSet::new();
        }
        let mut names: BTreeMap<V1Id, Vec<String>> = BTreeMap::new();
        for (repository, tags) in &self.tags {
            for (tag, top) in tags {
                for id in self.ancestry(*top).unwrap_or_default() {
                    if clashes.contains_key(&id) {
                        let name = format!("{repository}:{tag}");
                        names.entry(id).or_default().push(name);
                    }
                }
            }
        }
        let note = |(id, clash): (&V1Id, &Clash)| {
            let names = names.get(id).map_or(&[][..], Vec::as_slice);
            note(*id, *clash, names)
        };
        clashes.iter().map(note).collect()
    }
}

fn note(id: V1Id, clash: Clash, names: &[String]) -> Note {
    let id = id.to_string();
    let id = id.get(..12).unwrap_or(&id);
    let who = match names {
        [] => "some image".to_owned(),
        names => some(names, SHOWN),
    };
    let (what, gets) = match clash {
        Clash::OneOfSources => (
            "two sources have different content for its v1 image",
            "that of one of them",
        ),
        Clash::Derived => (
            "a source has other content for its v1 image than is derived for it",
            "the derived content",
        ),
        Clash::InSite => (
            "the site has other content for its v1 image",
            "the older content",
        ),
    };
    let note = NoteKind::Choice.note(format!(
        "{who}: {what} {id}; Docker up to 1.9 gets {gets}, newer clients are not affected"
    ));
    match names {
        [one] => note.about(one),
        _ => note,
    }
}
