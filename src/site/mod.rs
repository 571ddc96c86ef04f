//! An existing site: opened for reading, and [loaded](load) as images.

use std::path::Path;

use anyhow::Context as _;

use crate::error::WithHint as _;
use crate::site_files::SiteFiles;
use crate::site_files::catalogue::Catalogue;

pub(crate) mod load;

/// Opens a site for reading.
pub(crate) fn read(root: &Path) -> anyhow::Result<(SiteFiles, Catalogue)> {
    let files = SiteFiles::new(root);
    let Some(index) = files.index()? else {
        return Err(anyhow::anyhow!(
            "{} is not a site: it has no `index.json`",
            files.origin()
        ))
        .hint("create one with `stillage build SOURCE -o SITE`");
    };
    let is_site = ["v1/_ping", "v2/index.html"]
        .iter()
        .any(|path| files.path(path).exists());
    if !is_site && !Catalogue::is_one(&index) {
        return Err(anyhow::anyhow!("{} is not a stillage site", files.origin()))
            .hint("create one with `stillage build SOURCE -o SITE`");
    }
    let catalogue = Catalogue::parse(&index)
        .with_context(|| format!("cannot read the site {}", files.origin()))?;
    Ok((files, catalogue))
}
