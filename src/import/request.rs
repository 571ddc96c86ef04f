//! What is asked of a source: which of its images, under which names, taken how.

use std::cell::Cell;
use std::rc::Rc;

use crate::import::draft::ImportOptions;
use crate::import::selection::Selection;
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};

/// What is asked of a source. A format asks it of each image that it finds, before it reads anything else of it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// How the images are taken.
    pub rules: &'a ImportOptions,
    /// Which images the user selects, by the names that the site gives them.
    pub selection: &'a Selection,
    /// The one image that is meant, as in `oci:PATH:REF`.
    pub one: Option<&'a str>,
    /// The name that the user gives the images.
    pub name: Option<&'a Reference>,
    /// The name of images that have none: the path of a folder that was found in another.
    pub path_name: Option<&'a Reference>,
    /// Whether an image was passed over, since it was not asked for.
    pub passed_over: Rc<Cell<bool>>,
}

impl<'a> Request<'a> {
    /// Asks for all that is selected.
    pub fn new(rules: &'a ImportOptions, selection: &'a Selection) -> Self {
        Self {
            rules,
            selection,
            one: None,
            name: None,
            path_name: None,
            passed_over: Rc::default(),
        }
    }

    /// Whether not everything is asked for.
    pub fn is_selective(&self) -> bool {
        self.one.is_some() || self.selection.is_any()
    }

    /// Whether an image whose name is illegal cannot be what is asked for.
    pub fn is_by_name(&self) -> bool {
        self.one.is_some() || self.selection.has_only()
    }

    /// Reads the name of an image, as the source has it. `None` where it is illegal and the image cannot be
    /// what is asked for.
    ///
    /// # Errors
    /// When it is illegal and the image may be asked for.
    pub fn reference(&self, text: &str) -> anyhow::Result<Option<Reference>> {
        match self.rules.reference(text) {
            Ok(reference) => Ok(Some(reference)),
            Err(_) if self.one.is_some_and(|one| one != text) => Ok(None),
            Err(_) if self.name.is_none() && self.selection.has_only() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an image is asked for, by what the source calls it: `text` is its whole name, if it has one.
    pub fn takes(
        &self,
        text: Option<&str>,
        repository: Option<&Repository>,
        tag: Option<&Tag>,
        digest: Option<Digest>,
    ) -> bool {
        let is_one = self
            .one
            .is_none_or(|one| text == Some(one) || self.is_one(repository, tag, digest));
        let (repository, tag) = self.named(repository, tag);
        // What has no name is an error later, unless only some names are wanted.
        let is_wanted = is_one
            && repository.map_or(!self.selection.has_only(), |repository| {
                self.selection.wants(repository, tag.as_ref())
            });
        self.pass(is_wanted)
    }

    fn pass(&self, is_wanted: bool) -> bool {
        if !is_wanted {
            self.passed_over.set(true);
        }
        is_wanted
    }

    /// Whether something that is attached to an image comes along with it.
    pub fn takes_along(&self, repository: Option<&Repository>, tag: Option<&Tag>) -> bool {
        let (repository, tag) = self.named(repository, tag);
        repository.is_none_or(|repository| !self.selection.excludes(repository, tag.as_ref()))
    }

    /// Whether any image of a repository may be asked for.
    pub fn may_take(&self, repository: &Repository) -> bool {
        let wanted = self.one.map(|one| self.rules.reference(one));
        let is_one = wanted
            .is_none_or(|wanted| wanted.is_ok_and(|reference| reference.repository == *repository));
        let name = self.name.map_or(repository, |name| &name.repository);
        self.pass(is_one && self.selection.may_want(name))
    }

    fn is_one(
        &self,
        repository: Option<&Repository>,
        tag: Option<&Tag>,
        digest: Option<Digest>,
    ) -> bool {
        let Some(Ok(wanted)) = self.one.map(|one| self.rules.reference(one)) else {
            return false;
        };
        let latest = Tag::latest();
        repository == Some(&wanted.repository)
            && match (wanted.digest, &wanted.tag) {
                (Some(wanted), _) => digest == Some(wanted),
                (None, wanted) => tag == Some(wanted.as_ref().unwrap_or(&latest)),
            }
    }

    /// The name that the site gives an image.
    fn named<'b>(
        &'b self,
        repository: Option<&'b Repository>,
        tag: Option<&Tag>,
    ) -> (Option<&'b Repository>, Option<Tag>) {
        if let Some(name) = self.name {
            // What is attached keeps its tag, and what has none but a repository gets none.
            if tag.map_or(repository.is_some(), |tag| tag.attached_to().is_some()) {
                return (Some(&name.repository), tag.cloned());
            }
            let tag = name.tag.as_ref().or(tag).cloned();
            return (Some(&name.repository), tag.or_else(|| Some(Tag::latest())));
        }
        match (repository, self.path_name) {
            (None, Some(name)) => {
                let tag = tag.or(name.tag.as_ref()).cloned();
                (Some(&name.repository), tag.or_else(|| Some(Tag::latest())))
            }
            _ => (repository, tag.cloned()),
        }
    }
}
