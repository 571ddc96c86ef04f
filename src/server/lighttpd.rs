//! lighttpd: a configuration with the folder and the port set, and the Lua script that it names.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::server::{Server, Setup};

const TEMPLATE: &str = include_str!("lighttpd.conf");
const SCRIPT: &str = include_str!("lighttpd.lua");

/// What is appended to the name of the main file to name the script.
const LUA: &str = ".lua";

pub(super) struct Lighttpd;

impl Server for Lighttpd {
    fn name(&self) -> &'static str {
        "lighttpd"
    }

    fn about(&self) -> &'static str {
        "a complete configuration and its Lua script; start it with `lighttpd -D -f FILE`"
    }

    fn files(&self, _exact: bool) -> &'static [&'static str] {
        &["", LUA]
    }

    fn write(&self, setup: &Setup<'_>, file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        if file == LUA {
            return Ok(out.write_all(SCRIPT.as_bytes())?);
        }
        let main = setup.output.clone();
        let mut script = main
            .context("the configuration of lighttpd names its script by its path")?
            .into_os_string();
        script.push(LUA);
        let root = quoted(&setup.site.root().to_string_lossy());
        let script = quoted(&PathBuf::from(script).to_string_lossy());
        let mut text = TEMPLATE
            .replace("\"/srv/registry\"", &root)
            .replace("\"/etc/lighttpd/registry.lua\"", &script)
            .replace("port = 5000", &format!("port = {}", setup.listen.port));
        if let Some(host) = &setup.listen.host {
            text = text.replace("bind = \"0.0.0.0\"", &format!("bind = \"{host}\""));
        }
        Ok(out.write_all(text.as_bytes())?)
    }
}

/// A path in quotes. A backslash stands for itself, save before a quote: so none may come last.
fn quoted(path: &str) -> String {
    let end = if path.ends_with('\\') { "/" } else { "" };
    format!("\"{}{end}\"", path.replace('"', "\\\""))
}
