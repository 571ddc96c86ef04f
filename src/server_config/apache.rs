//! Apache httpd: the settings that cannot be made in the `.htaccess` files of the site (see [`crate::plan`]).

use anyhow::anyhow;

use crate::error::WithHint as _;
use crate::plan::htaccess::ERRORS;
use crate::server_config::{DependsOn, Prefix, Rendered, Server, Setup, quoted};
use crate::site;
use crate::site_files::catalogue::ServedBy;

const CONFIG: &str = include_str!("apache.conf");

pub(super) const SERVER: Server = Server {
    name: "apache",
    about: "for a site built with `--server apache`; start it with `apache2 -d FOLDER -f FILE`",
    knows: DependsOn::Place,
    options: &["--prefix"],
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let (files, catalogue) = site::read(setup.site.root())?;
    if !catalogue.servers.contains(&ServedBy::Apache) {
        return Err(anyhow!("{} has no files for Apache", files.origin()))
            .hint("build into it once with `--server apache`");
    }
    let root = files.root().to_string_lossy();
    if root.contains('?') {
        return Err(anyhow!(
            "Apache reads the `?` in {} as the start of a query",
            files.origin()
        ))
        .hint("give the folder another name");
    }
    // `<Directory>` takes wildcards and has no escapes for them, but `?` matches them too.
    let folder = root.replace(['[', '\\'], "?");
    let prefix = &setup.prefix;
    let mut errors = ERRORS.to_owned();
    if !prefix.is_root() {
        errors = errors.replace("\"^/", &format!("\"^({})?/", prefix.pattern()));
    }
    let text = CONFIG
        .replace("@LISTEN@", &setup.listen.to_string())
        .replace("@BELOW@\n", &below(prefix))
        .replace("@ERRORS@\n", &errors)
        .replace("@ROOT@", &quoted(&root))
        .replace("@FOLDER@", &quoted(&folder));
    Ok(vec![Rendered::main(text)])
}

/// Takes the path away below which the site is, before Apache looks for files. What a request was turned into passes.
fn below(prefix: &Prefix) -> String {
    if prefix.is_root() {
        return String::new();
    }
    let pattern = prefix.pattern();
    format!(
        "# The site is below a path, which containerd and mirrors of Docker have before `/v2/`, podman and CRI-O in names.
RewriteCond %{{ENV:REDIRECT_STATUS}} ^$
RewriteRule ^/v2{pattern}/(.+)$ /v2/$1 [PT]
RewriteCond %{{ENV:REDIRECT_STATUS}} ^$
RewriteRule ^{pattern}(/.+)$ $1 [PT]
RewriteCond %{{ENV:REDIRECT_STATUS}} ^$
RewriteRule ^{pattern}/$ / [PT]
# The addresses in pages are relative to the folder.
RewriteCond %{{ENV:REDIRECT_STATUS}} ^$
RewriteRule ^{pattern}$ {prefix}/ [R=301,L]
RewriteCond %{{ENV:REDIRECT_STATUS}} ^$
RewriteRule !^/v2/?$ - [R=404,L]
"
    )
}
