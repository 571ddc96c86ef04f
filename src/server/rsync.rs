//! rsync: no server, but how a site gets to one: a shell script that copies it in the order of publishing.

use std::io::Write;

use crate::server::{Server, Setup};

const TEMPLATE: &str = include_str!("rsync.sh");

pub(super) struct Rsync;

impl Server for Rsync {
    fn name(&self) -> &'static str {
        "rsync"
    }

    fn about(&self) -> &'static str {
        "a shell script that copies the site to a server: `sh FILE HOST:FOLDER`"
    }

    fn write(&self, setup: &Setup<'_>, _file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        let root = setup.site.root().to_string_lossy().replace('\'', r"'\''");
        let text = TEMPLATE.replace("'/srv/registry'", &format!("'{root}'"));
        Ok(out.write_all(text.as_bytes())?)
    }
}
