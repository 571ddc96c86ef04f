//! `site:` a site as a source: the OCI layout at its root, its names, and the v1 images that came with the
//! sources it was built from. See [`crate::site_files::catalogue`] and `crate::site`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bail_invalid;
use crate::error::invalid_input;
use crate::import::draft::{Draft, RootManifest, StoredV1, peek, with_children};
use crate::import::ingest::Work;
use crate::import::request::Request;
use crate::layer;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::site_files::{SiteFiles, V1File};
use crate::source::{Format, Input, oci};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::{Repository, Tag};
use crate::spec::v1::{self, V1Id};

pub const FORMAT: Format = Format {
    prefix: "site",
    about: "a site that stillage built",
    reads: Input::Folder { detect, load },
    has_folders: false,
};

fn detect(folder: &Path) -> anyhow::Result<bool> {
    let index = SiteFiles::new(folder).index()?;
    Ok(index.is_some_and(|bytes| Catalogue::is_one(&bytes)))
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let files = SiteFiles::new(folder);
    let index = files.index()?;
    let catalogue =
        Catalogue::parse(&index.ok_or_else(|| invalid_input("`index.json` is missing"))?)?;
    let mut loading = Loading {
        files: &files,
        request,
        draft: Draft::new(files.origin()),
    };
    for (repository, repo) in &catalogue.repositories {
        if request.may_take(repository) {
            loading.repository(repository, repo)?;
        }
    }
    Ok(vec![loading.draft])
}

fn called(repository: &Repository, tag: Option<&Tag>, digest: &Digest) -> String {
    tag.map_or_else(
        || format!("{repository}@{digest}"),
        |tag| format!("{repository}:{tag}"),
    )
}

struct Loading<'a> {
    files: &'a SiteFiles,
    request: &'a Request<'a>,
    draft: Draft,
}

impl Loading<'_> {
    fn repository(&mut self, repository: &Repository, repo: &Repo) -> anyhow::Result<()> {
        let (request, blobs) = (self.request, oci::Folder(self.files.root()));
        let takes = |tag: Option<&Tag>, digest: &Digest| {
            let called = called(repository, tag, digest);
            request.takes(Some(&called), Some(repository), tag, Some(*digest))
        };
        let (mut left, mut skipped) = (Vec::new(), BTreeSet::new());
        let mut attach = |tag: Option<Tag>, digest: Digest, to: Digest, is_wanted: bool| {
            if request.takes_along(Some(repository), tag.as_ref()) {
                left.push((to, is_wanted, tag, digest));
            }
        };
        for (tag, digest) in &repo.tags {
            let is_wanted = takes(Some(tag), digest);
            match tag.attached_to() {
                Some(to) if request.is_selective() && request.one.is_none_or(|_| !is_wanted) => {
                    attach(Some(tag.clone()), *digest, to, is_wanted);
                }
                _ if is_wanted => self.add(repository, repo, Some(tag), digest)?,
                _ => drop(skipped.insert(*digest)),
            }
        }
        let skipped = with_children(&blobs, skipped)?;
        let with_tag: BTreeSet<&Digest> = repo.tags.values().collect();
        for digest in repo.manifests.keys() {
            if with_tag.contains(digest) || (skipped.contains(digest) && request.one.is_none()) {
                continue;
            }
            let is_wanted = takes(None, digest);
            let subject = match (request.is_selective(), is_wanted && request.one.is_some()) {
                (true, false) => peek(&blobs, digest)?.and_then(|manifest| manifest.subject),
                _ => None,
            };
            match subject {
                Some(to) => attach(None, *digest, to, is_wanted),
                None if is_wanted => self.add(repository, repo, None, digest)?,
                None => {}
            }
        }
        let mut here = self.brought(repository);
        while let Some(next) = left
            .iter()
            .position(|(to, ..)| here.contains(to))
            .or_else(|| {
                left.iter()
                    .position(|(to, own, ..)| *own && !skipped.contains(to))
            })
        {
            let (_, _, tag, digest) = left.swap_remove(next);
            self.add(repository, repo, tag.as_ref(), &digest)?;
            here.insert(digest);
        }
        Ok(())
    }

    /// The digests of the manifests added so far for a repository.
    fn brought(&self, repository: &Repository) -> BTreeSet<Digest> {
        let draft = &self.draft;
        let roots = draft.roots.iter();
        roots
            .filter(|root| root.repository.as_ref() == Some(repository))
            .flat_map(|root| draft.members(root))
            .filter_map(|id| draft.manifests[id].digest())
            .collect()
    }

    fn add(
        &mut self,
        repository: &Repository,
        repo: &Repo,
        tag: Option<&Tag>,
        digest: &Digest,
    ) -> anyhow::Result<()> {
        let entry = &repo.manifests[digest];
        let descriptor = Descriptor {
            media_type: entry.media_type.clone(),
            digest: *digest,
            size: entry.size,
            artifact_type: None,
            annotations: None,
            platform: None,
        };
        let blobs = oci::Folder(self.files.root());
        let (request, rules) = (self.request, self.request.rules);
        let v1 = entry.v1.filter(|_| rules.v1);
        let name = called(repository, tag, digest);
        let what = format!("`{name}`");
        let roots = self.draft.roots.len();
        self.draft
            .add_one_of(request, Some(&name), &what, |draft| {
                let manifest = draft.add_manifest(&blobs, &descriptor, rules)?;
                let manifest = manifest.ok_or_else(|| {
                    invalid_input(format!(
                        "the manifest {digest} is missing in {}",
                        draft.origin
                    ))
                })?;
                draft.roots.push(RootManifest {
                    repository: Some(repository.clone()),
                    tag: tag.cloned(),
                    manifest,
                    v1,
                    called: what.clone(),
                });
                Ok(())
            })?;
        match v1 {
            Some(top) if self.draft.roots.len() > roots => self.add_chain(top),
            _ => Ok(()),
        }
    }

    fn add_chain(&mut self, top: V1Id) -> anyhow::Result<()> {
        for (id, image) in self.files.v1_chain(top)? {
            if !self.draft.v1.contains_key(&id) {
                self.check_known(id, &image)?;
                let layer = self
                    .draft
                    .add_job(image.layer, Work::Verbatim { diff_id: false });
                self.draft.v1.insert(
                    id,
                    StoredV1 {
                        json: image.json,
                        parent: image.parent,
                        layer,
                    },
                );
            }
        }
        Ok(())
    }

    /// Whether the JSON can be derived from its id and parent alone, or from a config of the site.
    fn is_derived(&self, id: V1Id, image: &V1File) -> anyhow::Result<bool> {
        if *image.json == *v1::dependency_json(id, image.parent) {
            return Ok(true);
        }
        let Some(config) = self.files.blob(&id.digest())? else {
            return Ok(false);
        };
        let config = config.read(MAX_JSON)?;
        Ok(v1::top_json(&config, id, image.parent).is_ok_and(|json| json == *image.json))
    }

    /// Without a checksum, the JSON must be derived and the layer a blob of the site: the layer file could be
    /// a link to anything.
    fn check_known(&self, id: V1Id, image: &V1File) -> anyhow::Result<()> {
        if self.files.v1_checksum(id)?.is_none() {
            if !self.is_derived(id, image)? {
                bail_invalid!(
                    "the v1 image {id} of {} has no checksum, and its JSON cannot be derived",
                    self.draft.origin
                );
            }
            let digest = layer::keep(&image.layer, &mut std::io::sink(), false)?.digest;
            if self.files.blob(&digest)?.is_none() {
                bail_invalid!(
                    "the v1 image {id} of {} has no checksum, and its layer is not a blob of the site",
                    self.draft.origin
                );
            }
        }
        Ok(())
    }
}
