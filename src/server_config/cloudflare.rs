//! Cloudflare: a Worker in front of an R2 bucket.

use crate::server_config::{DependsOn, Rendered, Server, Setup, edge};

pub(super) const SERVER: Server = Server {
    name: "cloudflare",
    about: "a Worker that serves an R2 bucket: the file that `main` names in wrangler.toml",
    knows: DependsOn::Place,
    options: &["--prefix"],
    render,
};

#[expect(clippy::unnecessary_wraps, reason = "other servers refuse some sites")]
fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    Ok(vec![Rendered::main(edge(
        include_str!("cloudflare.js"),
        &setup.prefix,
    ))])
}
