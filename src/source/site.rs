//! `site:` a site as a source: the OCI layout at its root, its names, and the v1 images that came with the
//! sources it was built from. See [`crate::site_files::catalogue`] and `crate::site`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::invalid_input;
use crate::import::check::Check;
use crate::import::draft::{
    Attached, Blobs, Called, Draft, Fault, Part, RootManifest, StoredV1, peek, with_children,
};
use crate::import::ingest::Work;
use crate::import::request::Request;
use crate::note::NoteKind;
use crate::site_files::catalogue::{Catalogue, Repo};
use crate::site_files::places::{Places, read_manifest};
use crate::site_files::{SiteFiles, V1File, blob_path, signature_path};
use crate::source::export::There;
use crate::source::{Fit, Format, Input};
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::{Digest, Hasher};
use crate::spec::manifest::MAX_JSON;
use crate::spec::name::{Reference, Repository, Tag};
use crate::spec::signature::MAX_SIGNATURE;
use crate::spec::v1::{self, V1Id};

pub const FORMAT: Format = Format {
    prefix: "site",
    about: "a site that stillage built",
    reads: Input::Folder { fit, load },
    has_folders: false,
};

fn fit(folder: &Path) -> anyhow::Result<Fit> {
    Ok(match SiteFiles::new(folder).index()? {
        Some(bytes) if Catalogue::is_one(&bytes) => Fit::Detected,
        Some(_) => Fit::No("its `index.json` is not that of a site".into()),
        None => Fit::No("`index.json` is missing".into()),
    })
}

fn load(folder: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let files = SiteFiles::new(folder);
    let index = files.index()?;
    let catalogue =
        Catalogue::parse(&index.ok_or_else(|| invalid_input("`index.json` is missing"))?)?;
    Ok(vec![load_listed(&files, &catalogue, request, None)?])
}

/// Reads what a catalogue lists; `there` is the site that it is added to, if the files are those of an export.
pub(super) fn load_listed(
    files: &SiteFiles,
    catalogue: &Catalogue,
    request: &Request<'_>,
    there: Option<&There>,
) -> anyhow::Result<Draft> {
    let mut draft = Draft::new(files.origin());
    draft.is_export = files.is_carried();
    for (repository, repo) in &catalogue.repositories {
        let name = request.repository(repository.as_str())?;
        let loading = Loading {
            files,
            request,
            blobs: Places::new(files, repository, repo),
            there,
        };
        if request.may_take(&name) {
            loading.repository(&mut draft, &name, repo)?;
        }
    }
    Ok(draft)
}

fn called(repository: &Repository, tag: Option<&Tag>, digest: &Digest) -> String {
    tag.map_or_else(
        || format!("{repository}@{digest}"),
        |tag| format!("{repository}:{tag}"),
    )
}

/// Also content that has lost its name below `blobs/`.
impl Blobs for Places<'_> {
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        let Some(entry) = self.repo.manifests.get(digest) else {
            return self.find(digest, |content| Ok(content.clone()));
        };
        let found = self.find(digest, |content| {
            read_manifest(content, digest, entry)?;
            Ok(content.clone())
        })?;
        let lost = || invalid_input(format!("the manifest {digest} is missing in the site"));
        found.map_or_else(|| Err(lost()), |content| Ok(Some(content)))
    }

    /// What an export does not list is not meant, though the site that it adds to may have it.
    fn child(&self, digest: &Digest) -> anyhow::Result<Option<Content>> {
        if self.is_of_export() && !self.repo.manifests.contains_key(digest) {
            return Ok(None);
        }
        self.blob(digest)
    }

    fn serves_foreign(&self, manifest: &Digest, layer: &Digest) -> bool {
        let entry = self.repo.manifests.get(manifest);
        entry.is_some_and(|entry| entry.foreign.contains(layer))
    }
}

struct Loading<'a> {
    files: &'a SiteFiles,
    request: &'a Request<'a>,
    blobs: Places<'a>,
    there: Option<&'a There>,
}

impl Loading<'_> {
    fn repository(
        &self,
        draft: &mut Draft,
        repository: &Repository,
        repo: &Repo,
    ) -> anyhow::Result<()> {
        let (request, blobs) = (self.request, &self.blobs);
        let takes = |tag: Option<&Tag>, digest: &Digest| {
            let called = called(repository, tag, digest);
            request.takes(Some(&called), Some(repository), tag, Some(*digest))
        };
        let (mut left, mut skipped) = (Vec::new(), BTreeSet::new());
        let mut attach = |tag: Option<Tag>, digest: Digest, to: Digest, is_wanted: bool| {
            if request.takes_along(Some(repository), tag.as_ref()) {
                left.push(Attached {
                    repository: Some(repository.clone()),
                    to,
                    is_wanted,
                    image: (tag, digest),
                });
            }
        };
        for (tag, digest) in &repo.tags {
            let is_wanted = takes(Some(tag), digest);
            match tag.attached_to() {
                Some(to) if request.awaits_subject(is_wanted) => {
                    attach(Some(tag.clone()), *digest, to, is_wanted);
                }
                _ if is_wanted => self.add(draft, repository, repo, Some(tag), digest)?,
                _ => drop(skipped.insert(*digest)),
            }
        }
        let skipped = with_children(blobs, skipped)?;
        let with_tag: BTreeSet<&Digest> = repo.tags.values().collect();
        for digest in repo.manifests.keys() {
            if with_tag.contains(digest) || (skipped.contains(digest) && request.one.is_none()) {
                continue;
            }
            let is_wanted = takes(None, digest);
            let subject = match (request.is_selective(), is_wanted && request.one.is_some()) {
                (true, false) => peek(blobs, digest)?.and_then(|manifest| manifest.subject),
                _ => None,
            };
            match subject {
                Some(to) => attach(None, *digest, to, is_wanted),
                None if is_wanted => self.add(draft, repository, repo, None, digest)?,
                None => {}
            }
        }
        draft.add_attached(left, &skipped, |draft, (tag, digest)| {
            self.add(draft, repository, repo, tag.as_ref(), &digest)
        })
    }

    fn add(
        &self,
        draft: &mut Draft,
        repository: &Repository,
        repo: &Repo,
        tag: Option<&Tag>,
        digest: &Digest,
    ) -> anyhow::Result<()> {
        let entry = &repo.manifests[digest];
        let descriptor = Descriptor::new(&*entry.media_type, *digest, entry.size);
        let (request, rules) = (self.request, self.request.rules);
        let name = called(repository, tag, digest);
        if let Some(there) = self.there {
            let reference = Reference {
                repository: repository.clone(),
                tag: tag.cloned(),
                digest: Some(*digest),
            };
            let is_plain = !request.is_selective() && request.name.is_none();
            if is_plain && there.lists(&reference, entry, self.files) {
                draft.listed.push(reference);
                return Ok(());
            }
            if there.lacks(&name, digest, &self.blobs, self.files)? {
                return Ok(());
            }
        }
        let v1 = entry.v1.filter(|_| rules.v1);
        draft.add_one_of(request, Called::name(&name), |draft| {
            let manifest = draft.add_manifest(&self.blobs, &descriptor, rules)?;
            let manifest = manifest.context("a manifest of the catalogue is never absent")?;
            // Without its own v1 form, its v1 id would be another.
            if let Some(top) = v1 {
                self.add_chain(draft, top)?;
            }
            let mut root = RootManifest {
                repository: Some(repository.clone()),
                tag: tag.cloned(),
                v1,
                ..RootManifest::nameless(manifest, format!("`{name}`"))
            };
            self.add_signatures(draft, repo, &mut root)?;
            draft.roots.push(root);
            Ok(())
        })?;
        // What an index lacks was said when it came into the site.
        let said = |fault: &Fault| matches!(fault.part, Part::Absent(_) | Part::Unsupported(_));
        draft.faults.retain(|fault| !said(fault));
        Ok(())
    }

    /// Adds the signatures of a manifest and of what belongs to it.
    fn add_signatures(
        &self,
        draft: &mut Draft,
        repo: &Repo,
        root: &mut RootManifest,
    ) -> anyhow::Result<()> {
        for id in draft.members(root) {
            let Some(digest) = draft.manifests[id].digest() else {
                continue;
            };
            let entry = repo.manifests.get(&digest);
            let signatures = entry.map_or(&[][..], |entry| &entry.signatures);
            for (number, signature) in (1..).zip(signatures) {
                if let Some(content) = self.signature(&digest, number, signature)? {
                    let job = draft.add_blob(content, *signature, None, false);
                    root.signatures.push((digest, job));
                    continue;
                }
                let note = NoteKind::Fault.note(format!(
                    "the signature {signature} of {} is left out: it is missing in {}",
                    root.called,
                    self.files.origin()
                ));
                draft.notes.push(note.about(root.called.trim_matches('`')));
            }
        }
        Ok(())
    }

    /// A signature, by either of its names.
    fn signature(
        &self,
        signed: &Digest,
        number: usize,
        signature: &Digest,
    ) -> anyhow::Result<Option<Content>> {
        let names = self.blobs.names.iter();
        let beside = names.map(|name| signature_path(name, signed, number));
        for path in std::iter::once(blob_path(signature)).chain(beside) {
            let content = self.files.content(&path)?;
            let Some(content) = content.filter(|content| content.len() <= MAX_SIGNATURE) else {
                continue;
            };
            if content.hash(Hasher::default())? == *signature {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Adds a chain of v1 images that came with a source.
    fn add_chain(&self, draft: &mut Draft, top: V1Id) -> anyhow::Result<()> {
        let chain = self.files.v1_chain(top)?;
        let new = chain
            .into_iter()
            .filter(|(id, _)| !draft.v1.contains_key(id));
        let checked = new.map(|(id, image)| Ok((id, self.check(id, &image)?, image)));
        for (id, check, image) in checked.collect::<anyhow::Result<Vec<_>>>()? {
            let layer = draft.add_job(image.layer, Work::Verbatim { diff_id: false });
            draft.jobs[layer].digest = self.files.v1_layer_digest(id);
            draft.jobs[layer].checks.extend(check);
            let (json, parent) = (image.json, image.parent);
            let stored = StoredV1 {
                json,
                parent,
                layer,
            };
            draft.v1.insert(id, stored);
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

    /// How its layer is checked. Without a checksum, the JSON must be derived and the layer a blob of the site: the
    /// layer file could be a link to anything.
    fn check(&self, id: V1Id, image: &V1File) -> anyhow::Result<Option<Check>> {
        let files = self.files;
        if let Some(checksum) = files.v1_checksum(id)? {
            let origin = format!("`v1/images/{id}/checksum` of {}", files.origin());
            return Ok(Some(Check::Checksum {
                id,
                json: image.json.clone(),
                any_of: vec![checksum],
                origin: origin.into(),
            }));
        }
        if !self.is_derived(id, image)? {
            bail_invalid!(
                "the v1 image {id} of {} has no checksum, and its JSON cannot be derived",
                files.origin()
            );
        }
        let folder = files.path("blobs/sha256");
        let is_blob = files.v1_layer_digest(id).is_some();
        Ok((!is_blob).then_some(Check::Listed { id, folder }))
    }
}
