//! Netlify: the `_headers` file of a site that is deployed there as files. It names every manifest and blob.

use std::collections::BTreeSet;
use std::io::Write;

use crate::error::WithHint as _;
use crate::plan::Plan;
use crate::plan::objects::Object;
use crate::routes::{CORS, Cache, Route, V1_VERSION};
use crate::server_config::{DependsOn, Rendered, Server, Setup};

pub(super) const SERVER: Server = Server {
    name: "netlify",
    about: "`_headers` at the root of the site; write it anew after each build",
    knows: DependsOn::Content,
    options: &[],
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let plan = setup.plan()?;
    Ok(vec![Rendered::lines("", move |out| headers(plan, out))])
}

fn headers(plan: &Plan<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let control = Cache::Immutable.control();
    writeln!(out, "/*")?;
    for (name, value) in CORS {
        writeln!(out, "  {name}: {value}")?;
    }
    writeln!(out, "/v1/*\n  X-Docker-Registry-Version: {V1_VERSION}")?;
    for content in ["/blobs/*", "/v1/images/*"] {
        writeln!(out, "{content}\n  Cache-Control: {control}")?;
    }
    let mut seen = BTreeSet::new();
    plan.objects(&mut |object| {
        let Object {
            path, media_type, ..
        } = object;
        let content_type = format!("  Content-Type: {media_type}\n");
        let digest = object
            .digest
            .map(|digest| format!("  Docker-Content-Digest: {digest}\n"));
        let digest = digest.unwrap_or_default();
        let headers = match Route::of(path) {
            // Netlify takes the headers of all paths that match, whatever their case.
            Some(Route::Tagged(..)) if !seen.insert(path.to_lowercase()) => {
                return Err(anyhow::anyhow!(
                    "Netlify does not tell `{path}` from a tag that differs by case"
                ))
                .hint("remove one of them with `stillage remove`");
            }
            Some(Route::Tagged(..)) => content_type + &digest,
            Some(Route::Manifest(..)) => {
                format!("{content_type}{digest}  Cache-Control: {control}\n")
            }
            Some(Route::Blob(..)) => format!("{digest}  Cache-Control: {control}\n"),
            Some(Route::Referrers(..) | Route::Signature(..)) => content_type,
            _ => return Ok(()),
        };
        Ok(write!(out, "{path}\n{headers}")?)
    })
}
