//! The v2 API (OCI distribution-spec).
//! ```text
//! v2/index.html                                {}
//! v2/_catalog                                  {"repositories":[..]}
//! v2/<name>/tags/list                          {"name":..,"tags":[..]}
//! v2/<name>/manifests/<tag|digest>
//! v2/<name>/_types/<tag>.<om|oi|d2|dl|s1|s0>   the same, for servers that set the type by extension
//! v2/<name>/_types/<digest>/<digest>.<ext>     the same by digest, each in a folder of its own
//! v2/<name>/_tags/<tag> -> ../_types/<digest>  from which servers learn the digest of a tag
//! v2/<name>/_tags/-over-1000                   if it has more tags: servers that cannot count them look for it
//! v2/<name>/blobs/<digest>
//! v2/<name>/referrers/<digest>                 an index, possibly empty, for every manifest and for every
//!                                              missing subject
//! ```

use std::collections::BTreeSet;

use serde_json::json;

use crate::images::Images;
use crate::images::damage::is_lost;
use crate::plan::tree::{File, Stage, Tree};
use crate::plan::{Area, Plan};
use crate::site_files::catalogue::{Format, Repo};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::media_type::{self, OCI_INDEX};
use crate::spec::name::{Repository, Tag};

pub(super) const AREA: Area = Area {
    is_in: |catalogue| catalogue.apis.v2,
    repository,
    lists,
};

/// The files of one repository, under each of its names.
fn repository(tree: &mut Tree, plan: &Plan<'_>, repository: &Repository) -> anyhow::Result<()> {
    let images = plan.images;
    let repo = &images.repositories[repository];
    for name in repository.aliases() {
        blobs(tree, images, repo, &name)?;
        manifests(tree, plan, repo, &name)?;
        pointers(tree, images, repo, &name)?;
        if plan.catalogue.format > Format::One {
            tag_links(tree, repo, &name)?;
        }
    }
    Ok(())
}

fn blobs(tree: &mut Tree, images: &Images, repo: &Repo, name: &str) -> anyhow::Result<()> {
    let mut digests: BTreeSet<Digest> = BTreeSet::new();
    for (digest, entry) in &repo.manifests {
        let blobs = images.manifests[digest].blobs();
        digests.extend(blobs.iter().map(|blob| blob.digest));
        digests.extend(&entry.foreign);
    }
    digests.into_iter().try_for_each(|digest| {
        let path = format!("v2/{name}/blobs/{digest}");
        tree.insert(path, Stage::Content, File::content(images, &digest))
    })
}

fn manifests(tree: &mut Tree, plan: &Plan<'_>, repo: &Repo, name: &str) -> anyhow::Result<()> {
    let (images, format) = (plan.images, plan.catalogue.format);
    for digest in repo.manifests.keys() {
        let extension = extension(images, digest);
        for path in [
            format!("v2/{name}/manifests/{digest}"),
            typed(format, name, digest, extension),
        ] {
            tree.insert(path, Stage::Manifest, File::content(images, digest))?;
        }
    }
    Ok(())
}

/// Says that a repository has more than 1,000 tags. No tag has this name.
pub(crate) const OVER_1000: &str = "_tags/-over-1000";

/// The second name of a manifest by digest, whose extension is its type.
fn typed(format: Format, name: &str, digest: &Digest, extension: &str) -> String {
    match format {
        Format::One => format!("v2/{name}/_types/{digest}.{extension}"),
        Format::Two => format!("v2/{name}/_types/{digest}/{digest}.{extension}"),
    }
}

/// A link for each tag to the folder of its manifest. A server that resolves it knows the digest, and answers
/// with the file of that digest, so that header and body agree whatever is published meanwhile.
fn tag_links(tree: &mut Tree, repo: &Repo, name: &str) -> anyhow::Result<()> {
    if repo.tags.len() > 1000 {
        tree.bytes(format!("v2/{name}/{OVER_1000}"), Stage::Pointer, *b"")?;
    }
    repo.tags.iter().try_for_each(|(tag, digest)| {
        let target = File::Link(format!("../_types/{digest}"));
        tree.insert(format!("v2/{name}/_tags/{tag}"), Stage::Pointer, target)
    })
}

fn pointers(tree: &mut Tree, images: &Images, repo: &Repo, name: &str) -> anyhow::Result<()> {
    for (tag, digest) in &repo.tags {
        let file = if is_lost(&images.manifests[digest]) {
            File::Kept(*digest)
        } else {
            File::Bytes(images.manifests[digest].bytes.clone())
        };
        let extension = extension(images, digest);
        for path in [
            format!("v2/{name}/manifests/{tag}"),
            format!("v2/{name}/_types/{tag}.{extension}"),
        ] {
            tree.insert(path, Stage::Pointer, file.clone())?;
        }
    }
    let attached = images.referrers(repo);
    let none = BTreeSet::new();
    // A subject may be missing (distribution-spec, "Pushing Manifests with Subject").
    let named = attached.iter().filter(|(_, by)| !by.is_empty());
    let named = named.map(|(subject, _)| subject);
    let subjects: BTreeSet<&Digest> = repo.manifests.keys().chain(named).collect();
    for subject in subjects {
        let referrers = attached
            .get(subject)
            .unwrap_or(&none)
            .iter()
            .map(|digest| images.manifests[digest].referrer());
        let referrers: Vec<Descriptor> = referrers.collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": referrers});
        tree.bytes(
            format!("v2/{name}/referrers/{subject}"),
            Stage::Pointer,
            serde_json::to_vec(&index)?,
        )?;
    }
    tree.bytes(
        format!("v2/{name}/tags/list"),
        Stage::TagList,
        tag_list(repo, name)?,
    )
}

/// The list of the tags of a repository under one of its names.
pub(crate) fn tag_list(repo: &Repo, name: &str) -> anyhow::Result<Vec<u8>> {
    let tags: Vec<&str> = repo.tags.keys().map(Tag::as_str).collect();
    Ok(serde_json::to_vec(&json!({"name": name, "tags": tags}))?)
}

/// The file extension of a manifest under `_types/`.
pub(super) fn extension(images: &Images, digest: &Digest) -> &'static str {
    media_type::extension(images.manifests[digest].media_type).unwrap_or("om")
}

fn lists(tree: &mut Tree, plan: &Plan<'_>) -> anyhow::Result<()> {
    let names: Vec<&str> = plan
        .catalogue
        .repositories
        .keys()
        .map(Repository::as_str)
        .collect();
    tree.bytes(
        "v2/_catalog".into(),
        Stage::List,
        serde_json::to_vec(&json!({"repositories": names}))?,
    )?;
    tree.bytes("v2/index.html".into(), Stage::Pointer, *b"{}")
}
