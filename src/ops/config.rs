//! `config`: writes the configuration with which a web server serves a site.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;

use crate::error::WithHint as _;
use crate::fsx;
use crate::ops::view::View;
use crate::server_config::{DependsOn, Listen, Server, Setup};
use crate::site;
use crate::site_files::SiteFiles;

pub struct ConfigOptions {
    pub server: &'static Server,
    pub site: PathBuf,
    /// Where the server listens.
    pub listen: Listen,
    /// Name every tag and layer of the site.
    pub exact: bool,
    /// The main file of the configuration; `None` for standard output.
    pub output: Option<PathBuf>,
}

/// Writes the configuration to its files, or to `stdout`. Returns the files written.
pub fn config(options: &ConfigOptions, stdout: &mut dyn Write) -> anyhow::Result<Vec<PathBuf>> {
    let server = options.server;
    if options.exact && server.knows != DependsOn::ContentIfExact {
        bail!("`{}` does not support `--exact`", server.name);
    }
    let needed = server.knows.content(options.exact);
    let view = needed.then(|| View::load(&options.site)).transpose()?;
    if view.is_none() {
        site::read(&options.site)?;
    }
    let site = SiteFiles::new(fsx::canonical(&options.site));
    let output = options.output.as_deref().map(fsx::absolute).transpose()?;
    let setup = Setup {
        site,
        listen: options.listen.clone(),
        exact: options.exact,
        output,
        plan: view.as_ref().map(View::plan),
    };
    let files = (server.render)(&setup)?;
    let Some(output) = &setup.output else {
        if files.len() > 1 {
            return Err(anyhow::anyhow!(
                "the configuration consists of {} files",
                files.len()
            ))
            .hint("name the first with `-o FILE`; the others are written beside it");
        }
        files.iter().try_for_each(|file| file.write(stdout))?;
        return Ok(Vec::new());
    };
    let mut written = Vec::new();
    // The main file refers to the others, so it is written last.
    for file in files.iter().rev() {
        let mut path = output.clone().into_os_string();
        path.push(file.suffix);
        let path = PathBuf::from(path);
        fsx::replace(&path, |out| file.write(out))?;
        written.push(path);
    }
    written.reverse();
    Ok(written)
}
