//! The lists of repositories.

use std::cmp::Reverse;

use askama::Template;

use crate::pages::facts::Summary;
use crate::pages::{Page, Shown, has_pages, root};
use crate::spec::name::Repository;
use crate::text;

/// The front page lists as many repositories at most, so that it opens as fast for 10,000.
const MAX_FRONT: usize = 200;
const TITLE: &str = "Container images";

#[derive(Template)]
#[template(path = "listing.html", config = "src/pages/askama.toml")]
pub(super) struct Listing {
    root: String,
    title: String,
    /// The number of repositories.
    total: String,
    /// Label, address, and whether it is that of this page.
    orders: Vec<(&'static str, String, bool)>,
    note: Option<String>,
    groups: Vec<Group>,
}

struct Group {
    namespace: Option<String>,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    href: Option<String>,
    summary: Option<Summary>,
}

impl Listing {
    pub(super) fn new(shown: &Shown<'_>, page: &Page) -> Self {
        let mut all = shown.pages.summaries(shown.catalogue);
        let root = root(page);
        let total =
            text::count(all.len() as u64, "repository").replace("repositorys", "repositories");
        let is_large = all.len() > MAX_FRONT;
        let by_name = *page == Page::Names || (*page == Page::Index && !is_large);
        if !by_name {
            let updated = |summary: &Option<Summary>| Some(summary.as_ref()?.updated.clone());
            all.sort_by_cached_key(|(_, summary)| Reverse(updated(summary)));
        }
        let mut note = None;
        if *page == Page::Index && is_large {
            all.truncate(MAX_FRONT);
            note = Some(format!("The {MAX_FRONT} that were last updated."));
        }
        let entry = |(name, summary): (Repository, Option<Summary>)| Entry {
            href: (summary.is_some() && has_pages(&name))
                .then(|| root.clone() + &Page::Repository(name.clone()).path()),
            name: name.to_string(),
            summary,
        };
        let entries: Vec<Entry> = all.into_iter().map(entry).collect();
        let names = if is_large { Page::Names } else { Page::Index };
        let orders = [
            ("name", names, by_name),
            ("date", Page::Newest, *page == Page::Newest),
        ];
        Self {
            title: shown
                .catalogue
                .title
                .clone()
                .unwrap_or_else(|| TITLE.into()),
            total,
            orders: orders
                .map(|(label, page, is_current)| (label, root.clone() + &page.path(), is_current))
                .into(),
            note,
            groups: if by_name {
                by_namespace(entries)
            } else {
                vec![Group {
                    namespace: None,
                    entries,
                }]
            },
            root,
        }
    }
}

/// Groups repositories by all but the last component of their names. Those of one component come first.
fn by_namespace(mut entries: Vec<Entry>) -> Vec<Group> {
    let namespace = |entry: &Entry| {
        entry
            .name
            .rsplit_once('/')
            .map(|(namespace, _)| namespace.to_owned())
    };
    entries.sort_by_cached_key(|entry| (namespace(entry), entry.name.clone()));
    let mut groups: Vec<Group> = Vec::new();
    for entry in entries {
        let namespace = namespace(&entry);
        match groups.last_mut() {
            Some(group) if group.namespace == namespace => group.entries.push(entry),
            _ => groups.push(Group {
                namespace,
                entries: vec![entry],
            }),
        }
    }
    groups
}
