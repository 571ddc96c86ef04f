//! Caddy: a `Caddyfile` with the folder and the port set.

use anyhow::anyhow;

use crate::error::WithHint as _;
use crate::server_config::{DependsOn, Prefix, Rendered, Server, Setup};

const TEMPLATE: &str = include_str!("Caddyfile");

/// Characters that the path of a site must not contain: Caddy uses it in patterns, and replaces what is in
/// braces.
const SPECIAL: [char; 6] = ['*', '?', '[', '\\', '{', '}'];

pub(super) const SERVER: Server = Server {
    name: "caddy",
    about: "a complete Caddyfile; start it with `caddy run --config FILE --adapter caddyfile`",
    knows: DependsOn::Place,
    options: &["--prefix"],
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
    if !setup.prefix.is_root() {
        let strip = below(&setup.prefix);
        for block in ["\n\troute {\n", "\n\thandle_errors {\n"] {
            text = text.replacen(block, &format!("{block}{strip}"), 1);
        }
    }
    Ok(vec![Rendered::main(text)])
}

/// Takes the path away below which the site is: containerd and mirrors of Docker have it before `/v2/`, podman and CRI-O
/// in names.
fn below(prefix: &Prefix) -> String {
    let pattern = prefix.pattern();
    format!(
        "\t\t# The site is below a path, which containerd and mirrors of Docker have before `/v2/`, podman and CRI-O in names.
\t\t@elsewhere not path {prefix} {prefix}/* /v2 /v2/*
\t\trewrite @elsewhere /-
\t\t@other_name {{
\t\t\tpath /v2/*
\t\t\tnot path /v2/ /v2{prefix}/*
\t\t}}
\t\trewrite @other_name /v2/-
\t\t@in_name path_regexp in_name ^/v2{pattern}/(.+)$
\t\trewrite @in_name /v2/{{re.in_name.1}}
\t\t# The addresses in pages are relative to the folder.
\t\t@bare path {prefix}
\t\tredir @bare {prefix}/ 301
\t\t@below path {prefix}/*
\t\turi @below strip_prefix {prefix}\n\n"
    )
}
