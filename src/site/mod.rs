//! An existing site: opened for reading, and [loaded](load) as images.

use std::path::Path;

use anyhow::Context as _;

use crate::error::WithHint as _;
use crate::fsx;
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::Catalogue;

pub(crate) mod load;

/// Opens a site for reading.
pub(crate) fn read(root: &Path) -> anyhow::Result<(SiteFiles, Catalogue)> {
    let files = recognise(root)?;
    let index = files.index()?.unwrap_or_default();
    let catalogue = Catalogue::parse(&index)
        .with_context(|| format!("cannot read the site {}", files.origin()))?;
    Ok((files, catalogue))
}

/// Fails if a path is not the folder of a site. Its catalogue is not parsed, unless nothing else shows that it is one.
pub(crate) fn recognise(root: &Path) -> anyhow::Result<SiteFiles> {
    let files = SiteFiles::new(root);
    let not = |why: &str| {
        let text = format!("{} is not a {why}", files.origin());
        Err(anyhow::anyhow!(text)).hint("create one with `stillage build SOURCE -o SITE`")
    };
    if root.is_file() {
        return Err(anyhow::anyhow!(
            "{} is not a site but a file",
            files.origin()
        ))
        .hint("make a site of it with `stillage build FILE -o SITE`");
    }
    if fsx::meta(&files.path("index.json"))?.is_none() {
        return not("site: it has no `index.json`");
    }
    let is_site = ["v1/_ping", "v2/index.html"]
        .iter()
        .any(|path| files.path(path).exists());
    if !is_site
        && !files
            .index()?
            .is_some_and(|index| Catalogue::is_one(&index))
    {
        return not("stillage site");
    }
    Ok(files)
}
