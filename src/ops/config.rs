//! `config`: writes the configuration with which a web server serves a site.

use std::io::Write;
use std::path::PathBuf;

use crate::error::WithHint as _;
use crate::fsx;
use crate::ops::view::View;
use crate::server_config::{Auth, Listen, Prefix, SERVERS, Server, Setup};
use crate::site;
use crate::site_files::SiteFiles;

pub struct ConfigOptions {
    pub server: &'static Server,
    pub site: PathBuf,
    pub listen: Listen,
    /// The path below which the host serves the site.
    pub prefix: Prefix,
    /// Name every tag and layer of the site.
    pub exact: bool,
    /// For an existing nginx, which includes the file.
    pub conf_d: bool,
    /// The login of clients; `None` for a public site.
    pub auth: Option<Auth>,
    /// The main file of the configuration; `None` for standard output.
    pub output: Option<PathBuf>,
}

/// Writes the configuration to its files, or to `stdout`. Returns the files written.
pub fn config(options: &ConfigOptions, stdout: &mut dyn Write) -> anyhow::Result<Vec<PathBuf>> {
    let server = options.server;
    let given = [
        ("--prefix", !options.prefix.is_root()),
        ("--exact", options.exact),
        ("--conf-d", options.conf_d),
        ("--auth", options.auth.is_some()),
    ];
    for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        if !server.options.contains(&option) {
            let others = SERVERS.iter();
            let others = others.filter(|other| other.options.contains(&option));
            let names: Vec<String> = others.map(|other| format!("`{}`", other.name)).collect();
            let verb = if names.len() == 1 {
                "supports"
            } else {
                "support"
            };
            return Err(anyhow::anyhow!(
                "`{}` does not support `{option}`",
                server.name
            ))
            .hint(format!("only {} {verb} it", names.join(", ")));
        }
    }
    if options.listen.port == 0 {
        return Err(anyhow::anyhow!(
            "a configuration cannot leave the port open"
        ))
        .hint("`--listen` needs a port, such as 5000");
    }
    let needed = server.knows.content(options.exact);
    let view = needed.then(|| View::load(&options.site)).transpose()?;
    if view.is_none() {
        site::read(&options.site)?;
    }
    // A link to the site stays: switching it switches releases.
    let site = SiteFiles::new(fsx::absolute(&options.site)?);
    let output = options
        .output
        .as_deref()
        .filter(|path| path.as_os_str() != "-");
    let output = output.map(fsx::absolute).transpose()?;
    let setup = Setup {
        site,
        listen: options.listen.clone(),
        prefix: options.prefix.clone(),
        exact: options.exact,
        conf_d: options.conf_d,
        auth: options.auth,
        output,
        plan: view.as_ref().map(View::plan).transpose()?,
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
