//! `registry-v1:` the storage folder of the Python docker-registry (0.6 to 0.9), which may be running.
//! ```text
//! images/<id>/json  layer  ancestry     as they were pushed
//!             _checksum                 ["sha256:.."], in old ones a bare tarsum
//!             _inprogress               the upload never finished
//! repositories/<ns>/<repo>/tag_<tag>    the bare id
//!                          _private     the repository is private
//! ```
//! Namespaces and tags are percent-encoded once, repositories twice (`deep%252Fname`). Observed with
//! docker-registry 0.9.1; see its `lib/storage` and `lib/checksums.py`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::content::{Content, Packing};
use crate::error::{escaped, invalid_input};
use crate::fsx;
use crate::import::check::Check;
use crate::import::draft::{Called, Draft, JobId};
use crate::import::ingest::Work;
use crate::import::request::Request;
use crate::layer::Compression;
use crate::note::NoteKind;
use crate::site_files;
use crate::source::v1_chain::{V1Chains, V1Store};
use crate::source::{Fit, Format, Input};
use crate::spec::digest::Digest;
use crate::spec::name::Tag;
use crate::spec::v1::V1Id;

pub const FORMAT: Format = Format {
    prefix: "registry-v1",
    about: "the storage folder of the Python docker-registry",
    reads: Input::Folder { fit, load },
    has_folders: false,
};

fn fit(folder: &Path) -> anyhow::Result<Fit> {
    for name in ["images", "repositories"] {
        if !fsx::meta(&folder.join(name))?.is_some_and(|meta| meta.is_dir) {
            return Ok(Fit::No(format!("it has no folder `{name}`")));
        }
    }
    let images = fsx::folders(&folder.join("images"))?;
    let are_ids = images.iter().all(|name| name.parse::<V1Id>().is_ok());
    Ok(Fit::by(are_ids, "images", true))
}

fn load(root: &Path, request: &Request<'_>) -> anyhow::Result<Vec<Draft>> {
    let store = Store {
        images: root.join("images"),
        packing: request.rules.packing,
        v1: request.rules.v1,
        finished: RefCell::default(),
    };
    let mut chains = V1Chains::new(
        &store,
        request.rules,
        Draft::new(format!("`{}`", fsx::escaped_path(root))),
    );
    let repositories = root.join("repositories");
    for namespace in fsx::folders(&repositories)? {
        for repository in fsx::folders(&repositories.join(&namespace))? {
            let folder = repositories.join(&namespace).join(&repository);
            let name = format!(
                "{}/{}",
                unquoted(&namespace),
                unquoted(&unquoted(&repository))
            );
            add_repository(&mut chains, &store, &folder, &name, request)?;
        }
    }
    Ok(vec![chains.draft])
}

fn add_repository(
    chains: &mut V1Chains<'_>,
    store: &Store,
    folder: &Path,
    name: &str,
    request: &Request<'_>,
) -> anyhow::Result<()> {
    let repository = request.repository(name);
    let may_take = match &repository {
        Ok(repository) => request.may_take(repository),
        Err(_) => !request.is_by_name(),
    };
    if !may_take {
        return Ok(());
    }
    let files = fsx::names(folder)?;
    if !request.rules.private && files.iter().any(|file| file == "_private") {
        let note = NoteKind::Choice.note(format!(
            "{} is left out: it is private; include it with --include-private",
            escaped(name)
        ));
        let reference = repository.map_or_else(|_| name.to_owned(), |name| name.to_string());
        chains.draft.notes.push(note.about(reference));
        return Ok(());
    }
    for file in &files {
        let Some(quoted) = file.strip_prefix("tag_") else {
            continue;
        };
        let called = format!("{name}:{}", unquoted(quoted));
        let parsed = match &repository {
            Ok(repository) => unquoted(quoted)
                .parse::<Tag>()
                .map(|tag| (repository.clone(), tag)),
            Err(error) => Err(invalid_input(error.to_string())),
        };
        let is_wanted = match &parsed {
            Ok((repository, tag)) => {
                request.takes(Some(&called), Some(repository), Some(tag), None)
            }
            Err(_) => !request.is_by_name(),
        };
        if !is_wanted {
            continue;
        }
        // Properties such as `tag_<tag>_json` lie beside the tags; only a tag file holds an id.
        let Some(id) = tag_of(&folder.join(file))? else {
            continue;
        };
        let reference = match &parsed {
            Ok((repository, tag)) => request.reference_of(Some(repository), Some(tag)),
            Err(_) => None,
        };
        let added = match (parsed, store.unfinished(id)?) {
            (Err(error), _) => Err(error),
            (_, Some(id)) => Err(invalid_input(format!("the upload of {id} never finished"))),
            (Ok((repository, tag)), None) => {
                chains.add_root(id, Some(repository), Some(tag), &called)
            }
        };
        if let Err(error) = added {
            let called = Called::name(reference.unwrap_or(called));
            chains.draft.leave_out(request, called, error)?;
        }
    }
    Ok(())
}

fn tag_of(path: &Path) -> anyhow::Result<Option<V1Id>> {
    let Some(content) = Content::file(path.to_path_buf())?.filter(|content| content.len() <= 80)
    else {
        return Ok(None);
    };
    Ok(String::from_utf8_lossy(&content.read(80)?)
        .trim()
        .parse()
        .ok())
}

struct Store {
    images: PathBuf,
    packing: Packing,
    v1: bool,
    /// Images that were uploaded completely, as were all their ancestors.
    finished: RefCell<BTreeSet<V1Id>>,
}

impl Store {
    fn file(&self, id: V1Id, name: &str) -> anyhow::Result<Option<Content>> {
        Content::file(self.images.join(id.to_string()).join(name))
    }

    fn required(&self, id: V1Id, name: &str) -> anyhow::Result<Content> {
        let missing = || {
            invalid_input(format!(
                "`{name}` of the image {id} is missing in `{}`",
                fsx::escaped_path(&self.images)
            ))
        };
        self.file(id, name)?.ok_or_else(missing)
    }

    /// The first image of a chain, from the top, whose upload never finished. Stops at a missing image, which
    /// is reported when the chain is read.
    fn unfinished(&self, top: V1Id) -> anyhow::Result<Option<V1Id>> {
        let mut next = Some(top);
        let mut seen = Vec::new();
        for _ in 0..site_files::MAX_CHAIN {
            let Some(id) = next.filter(|id| !self.finished.borrow().contains(id)) else {
                break;
            };
            seen.push(id);
            if self.file(id, "_inprogress")?.is_some() {
                return Ok(Some(id));
            }
            let json = self
                .file(id, "json")?
                .map(|content| content.read(crate::spec::manifest::MAX_JSON))
                .transpose()?;
            next = json
                .and_then(|json| crate::spec::v1::ChainLink::parse(&json).ok())
                .and_then(|link| link.parent);
        }
        self.finished.borrow_mut().extend(seen);
        Ok(None)
    }

    /// The check of the checksum that the registry stored; `None` if there is none, or only a tarsum, which only the
    /// client could compute.
    fn check(&self, id: V1Id, json: &[u8]) -> anyhow::Result<Option<Check>> {
        let Some(content) = self.file(id, "_checksum")? else {
            return Ok(None);
        };
        let bytes = content.read(1 << 16)?;
        let list: Vec<String> = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| vec![String::from_utf8_lossy(&bytes).trim().into()]);
        let any_of: Vec<Digest> = list.iter().filter_map(|sum| sum.parse().ok()).collect();
        Ok((!any_of.is_empty()).then(|| Check::Checksum {
            id,
            json: json.into(),
            any_of,
            origin: content.origin().clone(),
        }))
    }
}

impl V1Store for Store {
    fn json(&self, id: V1Id) -> anyhow::Result<Content> {
        self.required(id, "json")
    }

    /// v1 serves the layer byte for byte. v2 serves the same bytes if they are gzip, otherwise
    /// the layer compressed.
    fn add_layer(
        &self,
        draft: &mut Draft,
        id: V1Id,
        json: &[u8],
    ) -> anyhow::Result<(JobId, JobId)> {
        let content = self.required(id, "layer")?;
        let check = self.check(id, json)?;
        if check.is_none() {
            draft.notes.push(
                NoteKind::Choice.note(format!("v1 image {id}: its checksum cannot be verified")),
            );
        }
        let compression = Compression::of(&content)?;
        let kept = draft.add_job(content.clone(), Work::Verbatim { diff_id: true });
        let blob = match compression {
            Compression::Gzip => kept,
            _ => draft.add_job(
                content,
                Work::Compress {
                    claimed: None,
                    packing: self.packing,
                },
            ),
        };
        // Without v1, nothing but the blob is needed.
        let checked = if self.v1 { kept } else { blob };
        draft.jobs[checked].checks.extend(check);
        Ok((blob, kept))
    }
}

/// Decodes one level of percent-encoding.
fn unquoted(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_undone_once() {
        assert_eq!(unquoted("deep%252Fname"), "deep%2Fname");
        assert_eq!(unquoted(&unquoted("deep%252Fname")), "deep/name");
        assert_eq!(unquoted("100%"), "100%");
        assert_eq!(unquoted("%zz%4"), "%zz%4");
        assert_eq!(unquoted("%+1"), "%+1");
    }
}
