//! rsync: a shell script that copies the site to a server in the order of publishing.

use crate::server_config::{DependsOn, Rendered, Server, Setup};

const TEMPLATE: &str = include_str!("rsync.sh");

pub(super) const SERVER: Server = Server {
    name: "rsync",
    about: "a shell script that copies the site to a server: `sh FILE HOST:FOLDER`",
    knows: DependsOn::Place,
    options: &[],
    render,
};

#[expect(clippy::unnecessary_wraps, reason = "other servers refuse some sites")]
fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let root = setup.site.root().to_string_lossy().replace('\'', r"'\''");
    let text = TEMPLATE.replace("'/srv/registry'", &format!("'{root}'"));
    Ok(vec![Rendered::main(text)])
}
