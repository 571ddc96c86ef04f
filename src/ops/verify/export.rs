//! Exports and their volumes, each by itself, and whether all volumes are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::content::Content;
use crate::error::invalid_input;
use crate::fsx;
use crate::note::{Note, NoteKind};
use crate::ops::base::exports_in;
use crate::ops::verify::finding::{Finding, Kind, damaged};
use crate::progress::Progress;
use crate::site;
use crate::site_files::SiteFiles;
use crate::source::export::check::{Checked, check};
use crate::source::export::volumes::missing;
use crate::spec::digest::Digest;
use crate::spec::site_export::Volumes;

/// The volumes of an export that were found.
struct Found {
    /// The path of the first.
    path: String,
    list: Volumes,
    numbers: Vec<u32>,
}

/// A volume without the others of its export.
pub struct AloneVolume {
    pub number: u32,
    /// What the others hold.
    pub notes: Vec<Note>,
}

/// The files to verify as exports, each once, if `paths` are files or a folder with volumes.
///
/// # Errors
/// If a folder cannot be read.
pub fn exports(paths: &[PathBuf]) -> anyhow::Result<Option<Vec<PathBuf>>> {
    if let [folder] = paths
        && folder.is_dir()
    {
        let is_site = site::is_site(&SiteFiles::new(folder))?;
        let exports = if is_site {
            Vec::new()
        } else {
            exports_in(folder)?
        };
        return Ok(Some(exports).filter(|exports| !exports.is_empty()));
    }
    if paths.iter().any(|path| !path.is_file()) {
        return Ok(None);
    }
    let mut seen = BTreeSet::new();
    let mut once = paths.to_vec();
    once.retain(|path| seen.insert(fsx::canonical(path)));
    Ok(Some(once))
}

/// Checks archives that `export` wrote. `progress` counts the bytes that are read.
///
/// # Errors
/// When a file cannot be read. Anything wrong in it is a finding, a volume that is missing too.
pub fn verify_exports(
    paths: &[PathBuf],
    progress: &Arc<Progress>,
) -> anyhow::Result<(Vec<Finding>, Option<AloneVolume>)> {
    let mut findings = Vec::new();
    let mut sets: BTreeMap<Digest, Found> = BTreeMap::new();
    for path in paths {
        let shown = fsx::escaped_path(path);
        let content = Content::file(path.clone())?;
        let content = content.ok_or_else(|| invalid_input(format!("`{shown}` does not exist")))?;
        let checked = check(path, &content.counted(progress));
        let Checked { volume, problems } = match checked {
            Err(error) if paths.len() > 1 => Checked {
                volume: None,
                problems: vec![error.root_cause().to_string()],
            },
            checked => checked?,
        };
        let path = path.to_string_lossy().into_owned();
        findings.extend(
            problems
                .into_iter()
                .map(|text| Finding::new(&path, damaged(text))),
        );
        if let Some((volume, list)) = volume {
            let found = sets.entry(volume.list).or_insert_with(|| Found {
                path,
                list,
                numbers: Vec::new(),
            });
            found.numbers.push(volume.number);
        }
    }
    let mut alone = None;
    for found in sets.into_values() {
        let missing = missing(&found.list, |number| found.numbers.contains(&number));
        if paths.len() == 1 {
            alone = found.numbers.first().map(|number| AloneVolume {
                number: *number,
                notes: missing
                    .iter()
                    .map(|text| NoteKind::Choice.note(text))
                    .collect(),
            });
            break;
        }
        let missing = missing.into_iter();
        findings.extend(missing.map(|text| Finding::new(&found.path, (Kind::Missing, text))));
    }
    Ok((findings, alone.filter(|alone| !alone.notes.is_empty())))
}
