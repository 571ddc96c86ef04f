//! Which images to take from a source, under which names, and how.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use crate::import::draft::ImportOptions;
use crate::import::selection::Selection;
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::source_name::Hosts;

/// Decides which images of a source are imported. Every format asks it about each image that it finds, before
/// it reads the image.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub rules: &'a ImportOptions,
    /// Applies to the names that the images get in the site.
    pub selection: &'a Selection,
    /// The folder of the site that they are added to.
    pub site: &'a Path,
    /// A single image of the source, as in `oci:PATH:REF`.
    pub one: Option<&'a str>,
    /// The new name for the images, as in `SOURCE=NAME[:TAG]`.
    pub name: Option<&'a Reference>,
    /// The prefix for their names, as in `SOURCE=PREFIX/`, without the slash.
    pub prefix: Option<&'a str>,
    /// The name for images without one: the path of a folder that was found in another folder.
    pub path_name: Option<&'a Reference>,
    /// Whether an image was left out because it is not wanted.
    pub passed_over: Rc<Cell<bool>>,
    /// If one image is wanted: the names of those in the source, for messages.
    pub seen: Rc<RefCell<BTreeSet<String>>>,
}

/// The most names of a source that are kept for messages.
const MAX_SEEN: usize = 10_000;

impl<'a> Request<'a> {
    /// A request for all selected images.
    pub fn new(rules: &'a ImportOptions, selection: &'a Selection, site: &'a Path) -> Self {
        Self {
            rules,
            selection,
            site,
            one: None,
            name: None,
            prefix: None,
            path_name: None,
            passed_over: Rc::default(),
            seen: Rc::default(),
        }
    }

    /// Whether only some of the images may be wanted.
    pub fn is_selective(&self) -> bool {
        self.one.is_some() || self.selection.is_any()
    }

    /// Whether images are requested by name. Images with an invalid name are then not wanted.
    pub fn is_by_name(&self) -> bool {
        self.one.is_some() || self.selection.has_only()
    }

    /// Whether all images get one new name and tag, whatever the source calls them.
    pub fn is_renamed(&self) -> bool {
        self.name.is_some_and(|name| name.tag.is_some())
    }

    /// Parses the name of an image in the source. For an invalid name the result is `None` if the image is
    /// not wanted, and an error if it may be.
    pub fn reference(&self, text: &str) -> anyhow::Result<Option<Reference>> {
        match self.parsed(text) {
            Ok(reference) => Ok(Some(reference)),
            Err(_) if self.one.is_some_and(|one| one != text) => Ok(None),
            Err(_) if self.name.is_none() && self.selection.has_only() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Parses a name in the source as the name that the site gives it, before `SOURCE=NAME`.
    pub fn parsed(&self, text: &str) -> anyhow::Result<Reference> {
        Reference::from_source(text, self.rules.hosts, self.prefix)
    }

    /// Parses the name of a repository in a storage folder, which has a host only as part of its name.
    pub fn repository(&self, name: &str) -> anyhow::Result<Repository> {
        if name.contains([':', '@']) {
            name.parse()
        } else {
            Ok(self.kept(name)?.repository)
        }
    }

    fn kept(&self, text: &str) -> anyhow::Result<Reference> {
        let hosts = match self.rules.hosts {
            Hosts::Drop => Hosts::Keep,
            hosts => hosts,
        };
        Reference::from_source(text, hosts, self.prefix)
    }

    /// What messages call an image with this name in the source.
    pub fn called(&self, text: &str) -> String {
        let parsed = self.parsed(text);
        parsed.map_or_else(
            |_| text.to_owned(),
            |reference| {
                let latest = reference.digest.is_none().then(Tag::latest);
                let tag = reference.tag.or(latest);
                let name = self.reference_of(Some(&reference.repository), tag.as_ref());
                name.unwrap_or_else(|| text.to_owned())
            },
        )
    }

    /// The reference that the site gives an image: `repository:tag`, or `repository` without a tag. `None`
    /// for an image without a name.
    pub fn reference_of(
        &self,
        repository: Option<&Repository>,
        tag: Option<&Tag>,
    ) -> Option<String> {
        let (repository, tag) = self.named(repository, tag);
        let repository = repository?;
        Some(match tag {
            Some(tag) => format!("{repository}:{tag}"),
            None => repository.to_string(),
        })
    }

    /// Whether an image is wanted, by its name in the source. `text` is the whole name, if it has one.
    pub fn takes(
        &self,
        text: Option<&str>,
        repository: Option<&Repository>,
        tag: Option<&Tag>,
        digest: Option<Digest>,
    ) -> bool {
        self.see(text, repository, tag);
        let is_one = self
            .one
            .is_none_or(|one| text == Some(one) || self.is_one(text, repository, tag, digest));
        let (repository, tag) = self.named(repository, tag);
        // An image without a name causes an error later, unless `--only` leaves it out.
        let is_wanted = is_one
            && repository.map_or(!self.selection.has_only(), |repository| {
                self.selection.wants(repository, tag.as_ref())
            });
        self.pass(is_wanted)
    }

    fn see(&self, text: Option<&str>, repository: Option<&Repository>, tag: Option<&Tag>) {
        let mut seen = self.seen.borrow_mut();
        let is_attached = tag.is_some_and(|tag| tag.attached_to().is_some());
        if self.one.is_none() || is_attached || seen.len() == MAX_SEEN {
            return;
        }
        let tagged = |repository: &Repository| match tag {
            Some(tag) => format!("{repository}:{tag}"),
            None => repository.to_string(),
        };
        seen.extend(text.map(str::to_owned).or_else(|| repository.map(tagged)));
    }

    fn pass(&self, is_wanted: bool) -> bool {
        if !is_wanted {
            self.passed_over.set(true);
        }
        is_wanted
    }

    /// Whether an attached image is kept until its subject is known to be imported. One that was asked for
    /// by its own name is imported at once.
    pub fn awaits_subject(&self, is_wanted: bool) -> bool {
        self.is_selective() && !(self.one.is_some() && is_wanted)
    }

    /// Whether an attached image is imported along with its subject.
    pub fn takes_along(&self, repository: Option<&Repository>, tag: Option<&Tag>) -> bool {
        let (repository, tag) = self.named(repository, tag);
        repository.is_none_or(|repository| !self.selection.excludes(repository, tag.as_ref()))
    }

    /// Whether any image of a repository may be wanted.
    pub fn may_take(&self, repository: &Repository) -> bool {
        let is_one = self.one.is_none_or(|one| {
            let readings = [self.parsed(one), self.kept(one)];
            let mut repositories = readings.iter().flatten().map(|reading| &reading.repository);
            repositories.any(|wanted| wanted == repository)
        });
        if !is_one {
            self.see(None, Some(repository), None);
        }
        let name = self.name.map_or(repository, |name| &name.repository);
        self.pass(is_one && self.selection.may_want(name))
    }

    fn is_one(
        &self,
        text: Option<&str>,
        repository: Option<&Repository>,
        tag: Option<&Tag>,
        digest: Option<Digest>,
    ) -> bool {
        let Some(Ok(wanted)) = self.one.map(|one| self.parsed(one)) else {
            return false;
        };
        let latest = Tag::latest();
        let host = |text: Option<&str>| Reference::host(text?).map(str::to_owned);
        let hosts = (host(self.one), host(text));
        let same_host = !matches!(hosts, (Some(wanted), Some(host)) if wanted != host);
        same_host
            && repository == Some(&wanted.repository)
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
            // Attached images keep their tag; an image with a repository but no tag gets none.
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
