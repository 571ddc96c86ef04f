//! Pages for people: see [`crate::pages`], which draws their files and makes them.

use crate::pages::{ASSETS, Page, has_pages};
use crate::plan::tree::{File, Stage, Tree};
use crate::plan::{Area, Plan};
use crate::site_files::catalogue::Catalogue;
use crate::spec::name::Repository;

pub(super) const AREA: Area = Area {
    is_in: Catalogue::has_pages,
    repository,
    lists,
};

fn repository(tree: &mut Tree, plan: &Plan<'_>, repository: &Repository) -> anyhow::Result<()> {
    let Some(known) = plan.pages.of(repository).filter(|_| has_pages(repository)) else {
        return Ok(());
    };
    for digest in &known.shown {
        let page = Page::Image(repository.clone(), *digest);
        let path = page.path();
        let file = if known.here.contains(digest) {
            File::Page(page)
        } else {
            File::OldPage
        };
        tree.insert(path, Stage::Pointer, file)?;
    }
    for page in Page::of_repository(repository) {
        let path = page.path();
        let file = if known.is_damaged && matches!(page, Page::Repository(_)) {
            File::OldPage
        } else {
            File::Page(page)
        };
        tree.insert(path, Stage::TagList, file)?;
    }
    Ok(())
}

fn lists(tree: &mut Tree, _: &Plan<'_>) -> anyhow::Result<()> {
    for (path, text) in ASSETS {
        tree.bytes(path.into(), Stage::Pointer, text.as_bytes())?;
    }
    Page::LISTS
        .into_iter()
        .try_for_each(|page| tree.insert(page.path(), Stage::List, File::Page(page)))
}
