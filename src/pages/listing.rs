//! The lists of repositories.

use std::cmp::{Ordering, Reverse};

use alphanumeric_sort::compare_str;
use askama::Template;

use crate::pages::facts::Summary;
use crate::pages::{Page, Shown, has_pages, root};
use crate::spec::name::Repository;

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
    /// Whether there are more repositories than those of this page.
    is_part: bool,
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
        let total = match all.len() {
            1 => "1 repository".into(),
            number => format!("{number} repositories"),
        };
        let is_large = all.len() > MAX_FRONT;
        let by_name = *page == Page::Names || (*page == Page::Index && !is_large);
        if !by_name {
            let updated = |summary: &Option<Summary>| Some(summary.as_ref()?.updated.clone());
            all.sort_by_cached_key(|(_, summary)| Reverse(updated(summary)));
        }
        let is_part = *page == Page::Index && is_large;
        if is_part {
            all.truncate(MAX_FRONT);
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
            is_part,
            groups: if by_name || entries.is_empty() {
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

/// Groups repositories by all but the last component of their names. Those of one component come first. Numbers in names
/// are sorted by value.
fn by_namespace(mut entries: Vec<Entry>) -> Vec<Group> {
    entries.sort_by(|a, b| {
        let (of_a, of_b) = (namespace(a), namespace(b));
        let names = [(of_a, of_b), (&a.name, &b.name)];
        let natural = |(a, b): (&str, &str)| compare_str(a, b).then_with(|| a.cmp(b));
        let by_name = names.map(natural).into_iter();
        let is_none = (!of_a.is_empty()).cmp(&!of_b.is_empty());
        by_name.fold(is_none, Ordering::then)
    });
    let mut groups: Vec<Group> = Vec::new();
    for entry in entries {
        let namespace = Some(namespace(&entry).to_owned()).filter(|name| !name.is_empty());
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

fn namespace(entry: &Entry) -> &str {
    let split = entry.name.rsplit_once('/');
    split.map_or("", |(namespace, _)| namespace)
}
