//! Exports and their volumes, each by itself, and whether all volumes are there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::content::Content;
use crate::error::invalid_input;
use crate::fsx;
use crate::ops::verify::finding::{Finding, Kind, damaged};
use crate::progress::Progress;
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

/// Checks archives that `export` wrote. `progress` counts the bytes that are read.
///
/// # Errors
/// When a file cannot be read. Anything wrong in it is a finding, a volume that is missing too.
pub fn verify_exports(
    paths: &[PathBuf],
    progress: &Arc<Progress>,
) -> anyhow::Result<(Vec<Finding>, Vec<String>)> {
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
    let mut others = Vec::new();
    for found in sets.into_values() {
        let missing = missing(&found.list, |number| found.numbers.contains(&number));
        if paths.len() == 1 {
            others = missing;
            break;
        }
        let missing = missing.into_iter();
        findings.extend(missing.map(|text| Finding::new(&found.path, (Kind::Missing, text))));
    }
    Ok((findings, others))
}
