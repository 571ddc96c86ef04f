//! Caddy: a `Caddyfile` with the folder and the port set.

use std::io::Write;

use anyhow::anyhow;

use crate::error::WithHint as _;
use crate::server::{Server, Setup};

const TEMPLATE: &str = include_str!("Caddyfile");

/// What a path may not hold: Caddy looks files up as patterns and replaces what is in braces.
const SPECIAL: [char; 6] = ['*', '?', '[', '\\', '{', '}'];

pub(super) struct Caddy;

impl Server for Caddy {
    fn name(&self) -> &'static str {
        "caddy"
    }

    fn about(&self) -> &'static str {
        "a complete Caddyfile; start it with `caddy run --config FILE --adapter caddyfile`"
    }

    fn write(&self, setup: &Setup<'_>, _file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        let root = setup.site.root().to_string_lossy();
        if let Some(special) = root.chars().find(|c| SPECIAL.contains(c)) {
            return Err(anyhow!(
                "Caddy cannot serve {}, since there is a `{special}` in its path",
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
        // A host in the address would be compared with the `Host` header.
        if let Some(host) = &setup.listen.host {
            text = text.replace("\t# bind 127.0.0.1", &format!("\tbind {host}"));
        }
        Ok(out.write_all(text.as_bytes())?)
    }
}
