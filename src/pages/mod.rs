//! Pages for people. They need no server but one that sends files, load nothing from elsewhere, and work without their
//! script but for the search.
//! ```text
//! index.html                    all repositories, or the newest of very many
//! _pages/_names.html            all repositories, by namespace and name
//! _pages/_newest.html           all repositories, the last updated first
//! _pages/_search.json           all repositories, for the search: see facts.rs
//! _pages/<name>/index.html      a repository: its images by version and by date
//! _pages/<name>/images.json     what is known of these images: see facts.rs
//! _pages/<name>/<hex>.html      an image, index or artifact
//! _pages/_style.css  _script.js  _search.js  _icon.svg
//! ```
//! No component of a name begins with `_`. The page of an image says nothing that may change while its digest stays,
//! such as its tags, and only the lists of repositories have the title of the site: so a new image changes no page but
//! its own, that of its repository and these lists.

use askama::Template as _;

use crate::content::Content;
use crate::images::Images;
use crate::images::v1_images::V1Images;
pub use crate::pages::known::{Known, Pages};
use crate::site_files::catalogue::{Catalogue, NO_PAGES};
use crate::spec::digest::Digest;
use crate::spec::name::Repository;

mod attached;
mod commands;
pub mod facts;
mod image;
mod known;
mod listing;
mod order;
mod repository;

/// The version of the pages. It must rise with any change of what they look like: then builds write all of them anew.
pub const VERSION: &str = "1";

/// The files that are the same in all sites.
pub const ASSETS: [(&str, &str); 4] = [
    ("_pages/_icon.svg", include_str!("templates/icon.svg")),
    ("_pages/_script.js", include_str!("templates/script.js")),
    ("_pages/_search.js", include_str!("templates/search.js")),
    ("_pages/_style.css", include_str!("templates/style.css")),
];

/// The path of the file of all repositories.
pub const SEARCH: &str = "_pages/_search.json";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    Index,
    Names,
    Newest,
    Search,
    Repository(Repository),
    Images(Repository),
    Image(Repository, Digest),
}

impl Page {
    /// The pages of all repositories.
    pub const LISTS: [Self; 4] = [Self::Index, Self::Names, Self::Newest, Self::Search];

    /// The path relative to the root of the site.
    pub fn path(&self) -> String {
        match self {
            Self::Index => "index.html".into(),
            Self::Names => "_pages/_names.html".into(),
            Self::Newest => "_pages/_newest.html".into(),
            Self::Search => SEARCH.into(),
            Self::Repository(name) => format!("_pages/{name}/index.html"),
            Self::Images(name) => images_path(name),
            Self::Image(name, digest) => format!("_pages/{name}/{}", image_file(digest)),
        }
    }

    /// The pages of a repository besides those of its images.
    pub fn of_repository(name: &Repository) -> [Self; 2] {
        [Self::Images(name.clone()), Self::Repository(name.clone())]
    }
}

/// The path of what is known of the images of a repository.
pub fn images_path(name: &Repository) -> String {
    format!("_pages/{name}/images.json")
}

/// Whether a repository has pages. One whose name looks like a file of another's has none.
pub fn has_pages(name: &Repository) -> bool {
    let mut parts = name.as_str().split('/');
    !parts.any(|part| is_of_repository(part) || is_image(part))
}

/// Whether it is the name of one of [`Page::of_repository`].
pub fn is_of_repository(file: &str) -> bool {
    matches!(file, "index.html" | "images.json")
}

/// The name of the page of an image, in the folder of its repository.
fn image_file(digest: &Digest) -> String {
    format!("{}.html", digest.hex())
}

/// Whether it is the name of the page of an image.
pub fn is_image(file: &str) -> bool {
    let hex = file.strip_suffix(".html");
    hex.is_some_and(|hex| Digest::from_hex(hex).is_ok())
}

/// A site as pages show it.
pub struct Shown<'a> {
    pub catalogue: &'a Catalogue,
    pub images: &'a Images,
    pub v1: &'a V1Images,
    pub pages: &'a Pages,
}

impl Shown<'_> {
    /// # Errors
    /// For a page of what is not loaded.
    pub fn render(&self, page: &Page) -> anyhow::Result<Vec<u8>> {
        let text = match page {
            Page::Index | Page::Names | Page::Newest => {
                listing::Listing::new(self, page).render()?
            }
            Page::Search => {
                let all = self.pages.summaries(self.catalogue);
                let all = all
                    .iter()
                    .filter_map(|(name, summary)| Some((name, summary.as_ref()?)));
                facts::search_file(all)?
            }
            Page::Repository(name) => repository::RepositoryPage::new(self, name)?.render()?,
            Page::Images(name) => {
                let repo = self.images.repositories.get(name);
                let (Some(repo), Some(known)) = (repo, self.pages.of(name)) else {
                    anyhow::bail!("`{name}` is not loaded");
                };
                facts::images_file(repo, known)?
            }
            Page::Image(name, digest) => image::ImagePage::new(self, name, digest)?.render()?,
        };
        Ok(text.into_bytes())
    }
}

/// What a catalogue says of pages of this version, or of none.
pub fn setting(has_pages: bool) -> String {
    if has_pages { VERSION } else { NO_PAGES }.to_owned()
}

/// Gives a site pages of this version, or none; with `None`, some unless it says that it has none. Returns whether it had
/// others, so that the pages of all repositories are to be made or deleted.
pub fn settle(catalogue: &mut Catalogue, wanted: Option<bool>) -> bool {
    let is_without = catalogue.pages.as_deref() == Some(NO_PAGES);
    let pages = Some(setting(wanted.unwrap_or(!is_without)));
    std::mem::replace(&mut catalogue.pages, pages) != catalogue.pages
}

/// Whether it is the `index.html` that a site had before it had other pages.
pub fn is_old_front_page(content: &Content) -> bool {
    let text = content.read(content.len()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.contains("<p>This folder of files is a read-only registry. Pull from it with")
}

/// The way from a page to the root of the site.
fn root(page: &Page) -> String {
    "../".repeat(page.path().matches('/').count())
}

/// The day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// Whether a text of an image is an address that a page may link to. Others might be scripts.
fn is_link(text: &str) -> bool {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    is_web && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
