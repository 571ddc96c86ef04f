//! What a web server that runs as another user cannot read, and links that lead out of the site.

use std::collections::BTreeSet;
use std::path::Path;

use crate::fsx;
use crate::ops::verify::{Finding, Kind, Problem, Verifier, damaged};

impl Verifier<'_> {
    /// Looks at the mode of a planned file, and whether it is a link. Its folders are looked at later.
    pub(super) fn access(&self, path: &str) -> anyhow::Result<Option<Problem>> {
        if let Ok(mut folders) = self.folders.lock() {
            for folder in Path::new(path).ancestors().skip(1) {
                let name = folder.to_string_lossy();
                // Those above it are known too.
                if name.is_empty() || !folders.insert(name.into_owned()) {
                    break;
                }
            }
        }
        let absolute = self.files.path(path);
        if fsx::is_link(&absolute)? && !fsx::canonical(&absolute).starts_with(&self.root) {
            return Ok(Some(damaged("it is a link that leads out of the site")));
        }
        closed(&absolute)
    }

    /// Looks at the folders of all planned files. That of the site itself is up to the user.
    pub(super) fn folders(&self) -> Vec<Finding> {
        let folders: BTreeSet<String> = self.folders.lock().map(|f| f.clone()).unwrap_or_default();
        let closed = folders.into_iter().filter_map(|folder| {
            let problem = super::or_error(closed(&self.files.path(&folder)))?;
            Some(Finding::new(folder, problem))
        });
        closed.collect()
    }
}

fn closed(path: &Path) -> anyhow::Result<Option<Problem>> {
    let Some(meta) = fsx::meta(path)? else {
        return Ok(None);
    };
    let [needed, what] = if meta.is_dir {
        ["755", "others may not enter and read this folder"]
    } else {
        ["644", "others may not read this file"]
    };
    let is_open = meta.is_open();
    Ok((!is_open).then(|| {
        let mode = meta.mode & 0o777;
        let text = format!("{what}: its mode is {mode:o}, not {needed}");
        (Kind::Closed, text)
    }))
}
