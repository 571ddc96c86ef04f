//! Caddy: a `Caddyfile` with the folder and the port set.

use anyhow::anyhow;

use crate::error::WithHint as _;
use crate::server_config::{DependsOn, Rendered, Server, Setup};

const TEMPLATE: &str = include_str!("Caddyfile");

/// Characters that the path of a site must not contain: Caddy uses it in patterns, and replaces what is in
/// braces.
const SPECIAL: [char; 6] = ['*', '?', '[', '\\', '{', '}'];

pub(super) const SERVER: Server = Server {
    name: "caddy",
    about: "a complete Caddyfile; start it with `caddy run --config FILE --adapter caddyfile`",
    knows: DependsOn::Place,
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let root = setup.site.root().to_string_lossy();
    if let Some(special) = root.chars().find(|c| SPECIAL.contains(c)) {
        return Err(anyhow!(
            "Caddy cannot serve {}: its path contains `{special}`",
            setup.site.origin()
        ))
        .hint("give the folder another name");
    }
    let root = root.replace('"', "\\\"");
    let mut text = TEMPLATE
        .replace("\"/srv/registry\"", &format!("\"{root}\""))
        .replace(
            "\nhttp://:5000",
            &format!("\nhttp://:{}", setup.listen.port),
        );
    // Caddy would compare a host in the address with the `Host` header.
    if let Some(host) = &setup.listen.host {
        text = text.replace("\t# bind 127.0.0.1", &format!("\tbind {host}"));
    }
    Ok(vec![Rendered::main(text)])
}
