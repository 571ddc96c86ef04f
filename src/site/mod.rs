//! An existing site: opened for reading, and [loaded](load) as images.

use std::path::Path;

use crate::error::Hint;
use crate::fsx;
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::Catalogue;

pub(crate) mod load;
mod other;

pub(crate) use other::{enclosing, is_export};

/// Opens a site for reading.
pub(crate) fn read(root: &Path) -> anyhow::Result<(SiteFiles, Catalogue)> {
    let files = recognise(root)?;
    let index = files.index()?.unwrap_or_default();
    let catalogue = parse(&files, &index)?;
    Ok((files, catalogue))
}

/// Parses the `index.json` of a site.
pub(crate) fn parse(files: &SiteFiles, index: &[u8]) -> anyhow::Result<Catalogue> {
    let catalogue = Catalogue::parse(index);
    catalogue.map_err(|error| {
        let origin = files.origin();
        // One of a newer format is not damaged, and says what to do.
        if error.downcast_ref::<Hint>().is_some() {
            return error.context(format!("cannot read the site {origin}"));
        }
        let error = error.context(format!("`index.json` of the site {origin} is damaged"));
        error.context(Hint(
            "restore it from a copy, or build a new site from the sources".into(),
        ))
    })
}

/// Fails if a path is not the folder of a site. Its catalogue is not parsed, unless nothing else shows that it is one.
pub(crate) fn recognise(root: &Path) -> anyhow::Result<SiteFiles> {
    let files = SiteFiles::new(root);
    if is_site(&files)? {
        Ok(files)
    } else {
        Err(other::error(root))
    }
}

/// Whether a folder is one.
pub(crate) fn is_site(files: &SiteFiles) -> anyhow::Result<bool> {
    if fsx::meta(&files.path("index.json"))?.is_none() {
        return Ok(false);
    }
    let mut own = ["v1/_ping", "v2/index.html"].iter();
    if own.any(|path| files.path(path).exists()) {
        return Ok(true);
    }
    let index = files.index()?;
    Ok(index.is_some_and(|index| Catalogue::is_one(&index)))
}
