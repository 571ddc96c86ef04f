//! The volumes of an export, in any order: they are one archive once the last of them is opened.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::bail_invalid;
use crate::content::Content;
use crate::error::{WithHint as _, escaped, invalid_input};
use crate::site_files::catalogue::Catalogue;
use crate::source::archive::Archive;
use crate::source::export::{MAX_ABOUT, catalogue, confirm, description, unpacked};
use crate::source::members::{Member, Members};
use crate::spec::digest::{Digest, Hasher};
use crate::spec::site_export::{CATALOGUE, DESCRIPTION, Held, SUMS, VOLUMES, Volumes, parse_sums};

/// The exports among the sources of a run.
#[derive(Default)]
pub struct Exports {
    /// Volumes of exports that are not complete yet, by the digest of their list.
    waiting: RefCell<BTreeMap<Digest, Waiting>>,
    /// The lists of those that are complete.
    complete: RefCell<BTreeSet<Digest>>,
    /// What the catalogue of the last one says of its site, without references.
    settings: RefCell<Option<Catalogue>>,
    /// How many there are.
    count: Cell<usize>,
}

struct Waiting {
    list: Volumes,
    /// By number, from 1 on.
    volumes: BTreeMap<u32, Archive>,
}

/// The most references that a message names.
const NAMED: usize = 3;

impl Exports {
    /// Takes an archive. Gives it back if it is no volume, and all volumes as one with the last of them.
    pub(in crate::source) fn join(&self, archive: Archive) -> anyhow::Result<Option<Archive>> {
        if !archive.has(DESCRIPTION) {
            return Ok(Some(archive));
        }
        let whole = archive.check_end();
        whole.with_context(|| format!("cannot read {}", archive.origin()))?;
        confirm(&archive)?;
        let about = description(&archive)?;
        let bytes = catalogue(&archive, &about)?;
        *self.settings.borrow_mut() = Some(Catalogue::settings(&bytes)?);
        let Some(volume) = about.volume else {
            self.count.set(self.count.get() + 1);
            return Ok(Some(archive));
        };
        if self.complete.borrow().contains(&volume.list) {
            return Ok(None); // given twice
        }
        let mut waiting = self.waiting.borrow_mut();
        let mut set = match waiting.remove(&volume.list) {
            Some(set) => set,
            None => Waiting {
                list: list(&archive, &volume.list)?,
                volumes: BTreeMap::new(),
            },
        };
        if set.list.volumes.len() != volume.of as usize || set.list.catalogue != about.catalogue {
            bail_invalid!(
                "`{DESCRIPTION}` of {} contradicts `{VOLUMES}`",
                archive.origin()
            );
        }
        set.volumes.insert(volume.number, archive);
        if set.volumes.len() < set.list.volumes.len() {
            waiting.insert(volume.list, set);
            return Ok(None);
        }
        self.complete.borrow_mut().insert(volume.list);
        self.count.set(self.count.get() + 1);
        set.joined().map(Some)
    }

    /// What the site was like that the only export is of; it lists nothing.
    pub fn settings(&self) -> Option<Catalogue> {
        let settings = self.settings.borrow().clone();
        settings.filter(|_| self.count.get() == 1)
    }

    /// Whether any volume waits for others.
    pub(in crate::source) fn is_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Fails if a volume is missing, and says what it holds.
    pub fn check(&self) -> anyhow::Result<()> {
        let waiting = self.waiting.borrow();
        let Some(set) = waiting.values().next() else {
            return Ok(());
        };
        let origins: Vec<&str> = set.volumes.values().map(Archive::origin).collect();
        let missing: Vec<String> = missing(&set.list, |number| set.volumes.contains_key(&number));
        Err(invalid_input(format!(
            "{} is not all of an export: {}",
            origins.join(", "),
            missing.join("; ")
        )))
        .hint("give all volumes to `stillage build`, in any order, or the folder that they are in")
    }
}

/// What each missing volume of an export holds.
pub(crate) fn missing(list: &Volumes, has: impl Fn(u32) -> bool) -> Vec<String> {
    let of = list.volumes.len();
    let volumes = (1..).zip(&list.volumes);
    let missing = volumes.filter(|(number, _)| !has(*number));
    missing
        .map(|(number, held)| format!("volume {number} of {of} is missing, {}", holding(held)))
        .collect()
}

fn holding(held: &[Held]) -> String {
    let sizes = held.iter().map(|held| held.size);
    let bytes = sizes.fold(0, u64::saturating_add);
    let names: BTreeSet<&str> = held.iter().map(|held| held.of.as_str()).collect();
    let shown = names.iter().take(NAMED);
    let mut shown: Vec<String> = shown.map(|name| format!("`{}`", escaped(name))).collect();
    let more = names.len().saturating_sub(NAMED);
    shown.extend((more > 0).then(|| format!("{more} more")));
    let files = held.len();
    let noun = if files == 1 { "file" } else { "files" };
    format!(
        "with {files} {noun} ({bytes} bytes) of {}",
        shown.join(", ")
    )
}

/// The list of what the volumes hold.
fn list(archive: &Archive, digest: &Digest) -> anyhow::Result<Volumes> {
    let packed = archive.required(VOLUMES)?.read(MAX_ABOUT)?;
    let damaged = |why: String| {
        invalid_input(format!(
            "`{VOLUMES}` of {} is damaged: {why}",
            archive.origin()
        ))
    };
    let bytes = unpacked(&packed[..]).map_err(|error| damaged(error.to_string()))?;
    if Digest::of(&bytes) != *digest {
        return Err(damaged("it has another digest".into()));
    }
    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
}

/// Compares a part of a file with its digest: the digest of the whole file would not say which part is damaged.
fn check_part(
    sums: &BTreeMap<String, Digest>,
    member: &str,
    content: &Content,
) -> anyhow::Result<()> {
    if sums.get(member) != Some(&content.hash(Hasher::default())?) {
        bail_invalid!(
            "{} is damaged: `{SUMS}` has another digest",
            content.origin()
        );
    }
    Ok(())
}

impl Waiting {
    /// All volumes as one archive.
    fn joined(self) -> anyhow::Result<Archive> {
        let Self { list, volumes } = self;
        let mut members = Members::default();
        let mut parts: BTreeMap<&str, Vec<Content>> = BTreeMap::new();
        for (held, archive) in list.volumes.iter().zip(volumes.values()) {
            let sums = parse_sums(&archive.required(SUMS)?.read(MAX_ABOUT)?)?;
            let mut seen = BTreeSet::new();
            for held in held {
                if !seen.insert(held.member()) {
                    bail_invalid!("`{VOLUMES}` lists `{}` twice", escaped(held.member()));
                }
                let content = archive.required(&held.member())?;
                if content.len() != held.size {
                    let text = format!(
                        "{} has {} bytes, not {}",
                        content.origin(),
                        content.len(),
                        held.size
                    );
                    return Err(invalid_input(text));
                }
                if held.part.is_some() {
                    check_part(&sums, &held.member(), &content)?;
                    parts.entry(&held.path).or_default().push(content);
                } else {
                    members.add(held.path.clone().into(), Member::File(content, None))?;
                }
            }
        }
        for (path, parts) in parts {
            let origins: Vec<&str> = parts.iter().map(|part| &**part.origin()).collect();
            let origin = origins.join(" and ");
            members.add(
                path.into(),
                Member::File(Content::joined(parts, origin), None),
            )?;
        }
        let origins: Vec<&str> = volumes.values().map(Archive::origin).collect();
        let origin = origins.join(", ");
        let first = volumes.values().next();
        let first = first.ok_or_else(|| invalid_input("there is no volume"))?;
        for name in [DESCRIPTION, CATALOGUE, SUMS] {
            members.add(name.into(), Member::File(first.required(name)?, None))?;
        }
        Ok(Archive::of(origin, members))
    }
}
