//! References that a site does not have, and what their user may mean.

use std::path::Path;

use crate::error::{Hint, escaped};
use crate::fsx::quoted_path;
use crate::site;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::spec::digest::Digest;
use crate::spec::name::{Reference, Repository, Tag};
use crate::text::{nearest, some};

/// What a name without tag and digest stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alone {
    /// The tag `latest`.
    Latest,
    /// The whole repository.
    Whole,
}

/// The most names in a message.
const SHOWN: usize = 10;

/// The characters of a v1 id that are enough, as `list` shows them.
pub(super) const SHORT_ID: usize = 12;

/// Whether a site has a reference, with the name that the site has for its repository.
pub(super) fn has(catalogue: &Catalogue, reference: &Reference, alone: Alone) -> bool {
    let repo = catalogue.repositories.get(&reference.repository);
    repo.is_some_and(|repo| is_in(repo, reference, alone))
}

fn is_in(repo: &Repo, reference: &Reference, alone: Alone) -> bool {
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => repo.manifests.contains_key(digest),
        (None, Some(tag)) => repo.tags.contains_key(tag),
        (None, None) => alone == Alone::Whole || repo.tags.contains_key(&Tag::latest()),
    }
}

/// Fails if a site lacks any of these references.
pub(super) fn check<'a>(
    catalogue: &Catalogue,
    site: &Path,
    references: impl Iterator<Item = &'a Reference>,
    alone: Alone,
) -> anyhow::Result<()> {
    let missing = references.filter(|reference| !has(catalogue, reference, alone));
    let missing: Vec<&Reference> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    // To look for what one may mean takes a look at all references.
    let mut hints = missing.iter().take(SHOWN);
    let hint = hints.find_map(|reference| meant(catalogue, reference, alone));
    let none = if names.len() > 1 { "none of" } else { "no" };
    let text = format!("the site has {none} {}", quoted(&names));
    Err(error(text, hint, site))
}

/// The error for globs that match nothing in a site.
pub fn unmatched(root: &Path, globs: &[String]) -> anyhow::Error {
    let catalogue = match site::read(root) {
        Ok((_, catalogue)) => catalogue,
        Err(error) => return error,
    };
    let below = |glob: &&String| {
        let end = format!("/{glob}");
        let mut names = catalogue.repositories.keys();
        names.any(|name| name.as_str().ends_with(&end))
    };
    let hint = if let Some(glob) = globs.iter().find(below) {
        Some(format!(
            "globs match whole names: did you mean `**/{glob}`?"
        ))
    } else {
        let references = globs.iter().filter_map(|glob| glob.parse().ok());
        let references = references.map(|reference| catalogue.in_site(&reference));
        let mut hints =
            references.filter_map(|reference| meant(&catalogue, &reference, Alone::Whole));
        hints.next()
    };
    error(format!("nothing matches {}", quoted(globs)), hint, root)
}

fn quoted(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("`{}`", escaped(name)));
    some(&quoted.collect::<Vec<_>>(), SHOWN)
}

fn error(text: String, hint: Option<String>, site: &Path) -> anyhow::Error {
    let hint = hint.unwrap_or_else(|| {
        let site = quoted_path(site);
        format!("`stillage list {site}` lists what it has")
    });
    anyhow::Error::msg(text).context(Hint(hint))
}

/// What somebody may mean who gives a reference that a site does not have.
fn meant(catalogue: &Catalogue, reference: &Reference, alone: Alone) -> Option<String> {
    let name = reference.repository.as_str();
    if let Some(hint) = of_digest(catalogue, reference) {
        return Some(hint);
    }
    let did_you_mean = |found: String| Some(format!("did you mean `{found}`?"));
    let host = Reference::host(name).and_then(|host| name.strip_prefix(host)?.strip_prefix('/'));
    if let Some(repository) = host.and_then(|rest| rest.parse::<Repository>().ok()) {
        let without = catalogue.in_site(&Reference {
            repository,
            ..reference.clone()
        });
        if has(catalogue, &without, alone) {
            return did_you_mean(without.to_string());
        }
    }
    let own = catalogue.repositories.get_key_value(&reference.repository);
    let all = catalogue.repositories.iter();
    // Of a repository that the site has, only the tag is mistyped.
    let repos = all.filter(|repo| own.is_none_or(|own| own.0 == repo.0));
    let known = repos.flat_map(|repo| alike(repo, reference, alone));
    if let Some(found) = nearest(&reference.to_string(), known) {
        return did_you_mean(found);
    }
    let is_hex = name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex
        || reference.tag.is_some()
        || name.len() < 4
        || alone == Alone::Whole && name.len() < SHORT_ID
    {
        return None;
    }
    Some(if name.len() < SHORT_ID {
        format!("give at least {SHORT_ID} characters of a v1 id")
    } else {
        "give a name: a v1 id is only taken by `stillage get`".into()
    })
}

/// Somebody may give a digest without a name, which is read as the repository `sha256`.
fn of_digest(catalogue: &Catalogue, reference: &Reference) -> Option<String> {
    let tag = reference.tag.as_ref();
    let hex = tag.filter(|_| reference.repository.as_str() == "sha256")?;
    let digest = Digest::from_hex(hex.as_str()).ok();
    let mut all = catalogue.repositories.iter();
    let has = |repo: &Repo| digest.is_some_and(|digest| repo.manifests.contains_key(&digest));
    let found = all.find(|(_, repo)| has(repo));
    Some(match found.zip(digest) {
        Some(((name, _), digest)) => format!("did you mean `{name}@{digest}`?"),
        None => "a digest is given with a name: `NAME@sha256:HEX`, in full".into(),
    })
}

/// The references of a repository that are written like another.
fn alike((name, repo): (&Repository, &Repo), reference: &Reference, alone: Alone) -> Vec<String> {
    let same = Reference {
        repository: name.clone(),
        ..reference.clone()
    };
    if reference.tag.is_none() && is_in(repo, &same, alone) {
        return vec![same.to_string()];
    }
    let tags = repo.tags.keys().filter(|tag| tag.attached_to().is_none());
    tags.map(|tag| format!("{name}:{tag}")).collect()
}
