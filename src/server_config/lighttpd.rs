//! lighttpd: a configuration with the folder and the port set, and the Lua script that it runs.

use std::path::PathBuf;

use crate::server_config::{Contents, DependsOn, Rendered, Server, Setup};

const TEMPLATE: &str = include_str!("lighttpd.conf");
const SCRIPT: &str = include_str!("lighttpd.lua");

/// The line that listens on addresses of IPv6 too.
const IPV6: &str = "$SERVER[\"socket\"] == \"[::]:5000\" { }  # IPv6\n";
/// The suffix that makes the name of the script from that of the main file.
const LUA: &str = ".lua";

pub(super) const SERVER: Server = Server {
    name: "lighttpd",
    about: "a complete configuration and its Lua script; start it with `lighttpd -D -f FILE`",
    knows: DependsOn::Place,
    options: &["--prefix"],
    render,
};

#[expect(clippy::unnecessary_wraps, reason = "other servers refuse some sites")]
fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let mut script = setup.output.clone().unwrap_or_default().into_os_string();
    script.push(LUA);
    let root = quoted(&setup.site.root().to_string_lossy());
    let script = quoted(&PathBuf::from(script).to_string_lossy());
    let mut text = TEMPLATE
        .replace("\"/srv/registry\"", &root)
        .replace("\"/etc/lighttpd/registry.lua\"", &script)
        .replace("port = 5000", &format!("port = {}", setup.listen.port));
    text = match &setup.listen.host {
        None => text.replace("[::]:5000", &format!("[::]:{}", setup.listen.port)),
        Some(host) => text
            .replace(IPV6, "")
            .replace("bind = \"0.0.0.0\"", &format!("bind = \"{host}\"")),
    };
    Ok(vec![
        Rendered::main(text),
        Rendered {
            suffix: LUA,
            content: Contents::Whole(
                SCRIPT.replace("BELOW = \"\"", &format!("BELOW = \"{}\"", setup.prefix)),
            ),
        },
    ])
}

/// A path in quotes. In lighttpd a backslash is literal except before a quote, so it must not come last.
fn quoted(path: &str) -> String {
    let end = if path.ends_with('\\') { "/" } else { "" };
    format!("\"{}{end}\"", path.replace('"', "\\\""))
}
