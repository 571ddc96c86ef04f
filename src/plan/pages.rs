//! `index.html`: a page for people. It loads nothing else.

use std::fmt::Write as _;

use crate::plan::Area;
use crate::plan::tree::{Stage, Tree};
use crate::site_files::catalogue::Catalogue;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Container images</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
code { font-size: .9em; overflow-wrap: anywhere; }
</style>
<h1>Container images</h1>
<p>This folder of files is a read-only registry. Pull from it with
<code>docker pull <span id="host">HOST</span>/NAME:TAG</code>, or with podman, containerd, skopeo, crane.</p>
<script>if (location.host) document.getElementById("host").textContent =
    location.host + location.pathname.replace(/\/(index\.html)?$/, "");</script>
<table>
<thead><tr><th>Name<th>Tag<th>Digest</thead>
<tbody>
"#;

pub(super) const AREA: Area = Area {
    is_in: |_| true,
    repository: |_, _, _| Ok(()),
    lists,
};

/// The page lists all tags. Names need no escaping: they cannot contain special characters of HTML.
fn lists(tree: &mut Tree, catalogue: &Catalogue) -> anyhow::Result<()> {
    let mut page = HEAD.to_owned();
    for (repository, repo) in &catalogue.repositories {
        for (tag, digest) in &repo.tags {
            writeln!(
                page,
                "<tr><td>{repository}<td>{tag}<td><code>{digest}</code>"
            )?;
        }
    }
    page.push_str("</tbody>\n</table>\n</html>\n");
    tree.bytes("index.html".into(), Stage::List, page.into_bytes())
}
