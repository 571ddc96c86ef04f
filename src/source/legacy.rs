//! `docker-archive:` the format of `docker save` before Docker 1.10.
//! ```text
//! repositories                        {"name":{"tag":"<id>"}}; missing when an id was saved
//! <id>/VERSION  <id>/json  <id>/layer.tar
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{WithHint as _, escaped};
use crate::fsx;
use crate::import::draft::{Called, Draft, ImportOptions, JobId};
use crate::import::request::Request;
use crate::note::NoteKind;
use crate::source::archive::Archive;
use crate::source::docker_archive::{add_layer, has_v1_image};
use crate::source::oci_names::RENAME;
use crate::source::v1_chain::{V1Chains, V1Store};
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::{Reference, Tag};
use crate::spec::v1::{ChainLink, V1Id};

pub const FORMAT: Format = Format {
    prefix: "docker-archive",
    about: "an archive of `docker save` before Docker 1.10",
    reads: Input::Archive { fit, load },
    has_folders: false,
};

pub const UNPACKED: Format = Format {
    reads: Input::Folder {
        fit: fit_unpacked,
        load: |folder, request| load(&Archive::unpacked(folder)?, request),
    },
    ..FORMAT
};

fn fit(archive: &Archive) -> Fit {
    let has_ids = ids(archive).next().is_some();
    let is_other = archive.has("manifest.json") || archive.has("index.json");
    Fit::by(has_ids && !is_other, "<id>/json", has_ids)
}

fn fit_unpacked(folder: &Path) -> anyhow::Result<Fit> {
    let is_newer = fsx::meta(&folder.join("manifest.json"))?.is_some();
    let has_image = has_v1_image(folder)?;
    Ok(Fit::by(has_image && !is_newer, "<id>/layer.tar", has_image))
}

fn load(archive: &Archive, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let rules = request.rules;
    let store = Store { archive, rules };
    let mut chains = V1Chains::new(&store, rules, Draft::new(archive.origin()));
    let repositories: Option<BTreeMap<String, BTreeMap<String, String>>> =
        archive.json("repositories")?;
    match repositories {
        Some(repositories) => add_named(&mut chains, &repositories, archive, request)?,
        None if request.takes(None, None, None, None) => add_heads(&mut chains, archive)?,
        None => {}
    }
    Ok(vec![chains.draft])
}

fn ids(archive: &Archive) -> impl Iterator<Item = V1Id> {
    archive
        .names()
        .filter_map(|name| name.strip_suffix("/json")?.parse().ok())
}

fn add_named(
    chains: &mut V1Chains<'_>,
    repositories: &BTreeMap<String, BTreeMap<String, String>>,
    archive: &Archive,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let entries = repositories
        .iter()
        .flat_map(|(name, tags)| tags.iter().map(move |(tag, id)| (name, tag, id)));
    for (name, tag, id) in entries {
        let separator = if tag.contains(':') { '@' } else { ':' };
        let called = format!("{name}{separator}{tag}");
        if let Err(error) = add_tag(chains, (name, tag, id), &called, request) {
            let draft = &mut chains.draft;
            draft.leave_out(request, Called::name(request.called(&called)), error)?;
        }
    }
    if request.is_by_name() {
        return Ok(());
    }
    let named = repositories.values().flat_map(BTreeMap::values);
    let named: BTreeSet<V1Id> = named.filter_map(|id| id.parse().ok()).collect();
    let heads = heads(archive, |id| Ok(parent(archive, id)))?;
    for id in heads.difference(&named) {
        chains.draft.leave_out_nameless(&format!("the image {id}"));
    }
    Ok(())
}

fn add_tag(
    chains: &mut V1Chains<'_>,
    (name, tag, id): (&str, &str, &str),
    called: &str,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let about = || format!("`repositories` of {}", chains.draft.origin);
    let id: V1Id = id.parse().with_context(about)?;
    // The digest is that of a manifest, which the archive does not have.
    let is_digest = tag.parse::<Digest>().is_ok();
    let parsed = request.reference(name).and_then(|found| match found {
        Some(reference) if is_digest => Ok(Some((reference, None))),
        Some(reference) => Ok(Some((reference, Some(tag.parse::<Tag>()?)))),
        None => Ok(None),
    });
    let (reference, tag) = match parsed {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return Ok(()),
        Err(_) if request.is_renamed() => return chains.add_root(id, None, None, called),
        Err(_) if request.is_by_name() => return Ok(()),
        Err(error) => return Err(error).with_context(about).hint(RENAME),
    };
    let Reference {
        repository,
        tag: None,
        digest: None,
    } = reference
    else {
        bail_invalid!("{}: `{}` is not a repository name", about(), escaped(name));
    };
    if !request.takes(Some(called), Some(&repository), tag.as_ref(), None) {
        return Ok(());
    }
    if tag.is_none() && request.name.is_none() {
        let note = NoteKind::Choice.note(format!(
            "`{}` has no tag: the digest in its name is not that of the manifest that is made",
            escaped(called)
        ));
        chains.draft.notes.push(note.about(repository.to_string()));
    }
    chains.add_root(id, Some(repository), tag, called)
}

/// The images that are not the parent of another.
fn heads(
    archive: &Archive,
    mut parent: impl FnMut(V1Id) -> anyhow::Result<Option<V1Id>>,
) -> anyhow::Result<BTreeSet<V1Id>> {
    let mut heads: BTreeSet<V1Id> = ids(archive).collect();
    for id in ids(archive) {
        if let Some(parent) = parent(id)? {
            heads.remove(&parent);
        }
    }
    Ok(heads)
}

/// The parent of an image that need not be imported. `None` if its JSON cannot be read.
fn parent(archive: &Archive, id: V1Id) -> Option<V1Id> {
    let content = archive.required(&format!("{id}/json")).ok()?;
    let json = content.read(MAX_JSON).ok()?;
    ChainLink::parse(&json).ok()?.parent
}

/// Without `repositories`, every head is added.
fn add_heads(chains: &mut V1Chains<'_>, archive: &Archive) -> anyhow::Result<()> {
    let heads = heads(archive, |id| chains.parent(id))?;
    // If every image is a parent, they form a cycle, which `add_root` reports for the first one.
    let first = heads.is_empty().then(|| ids(archive).next()).flatten();
    heads
        .into_iter()
        .chain(first)
        .try_for_each(|id| chains.add_root(id, None, None, &id.to_string()))
}

struct Store<'a> {
    archive: &'a Archive,
    rules: &'a ImportOptions,
}

impl V1Store for Store<'_> {
    fn json(&self, id: V1Id) -> anyhow::Result<Content> {
        self.archive.required(&format!("{id}/json"))
    }

    fn add_layer(
        &self,
        draft: &mut Draft,
        id: V1Id,
        _json: &[u8],
    ) -> anyhow::Result<(JobId, JobId)> {
        let job = add_layer(
            draft,
            self.archive,
            &format!("{id}/layer.tar"),
            None,
            self.rules,
        )?;
        Ok((job, job))
    }
}
