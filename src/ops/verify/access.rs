//! What a web server that runs as another user cannot read, and links that lead out of the site.

use std::mem::take;
use std::path::Path;
use std::sync::PoisonError;

use crate::fsx;
use crate::ops::verify::{Finding, Kind, Problem, Verifier, damaged, or_error};

impl Verifier<'_> {
    /// Looks at the mode of a planned file, and whether it is a link, unless it is planned as one. Its folders are looked
    /// at later.
    pub(super) fn access(&self, path: &str, is_link: bool) -> anyhow::Result<Option<Problem>> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        fsx::folders_above(path, &mut folders).for_each(drop);
        drop(folders);
        if is_link {
            return Ok(None);
        }
        let absolute = self.files.path(path);
        if fsx::is_link(&absolute)? && !fsx::canonical(&absolute).starts_with(&self.root) {
            return Ok(Some(damaged("it is a link that leads out of the site")));
        }
        closed(&absolute)
    }

    /// Looks at the folders of all planned files. That of the site itself is up to the user.
    pub(super) fn folders(&self) -> Vec<Finding> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = take(&mut *folders).into_iter().filter_map(|folder| {
            let problem = or_error(closed(&self.files.root().join(&folder)))?;
            Some(Finding::new(folder.to_string_lossy(), problem))
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
