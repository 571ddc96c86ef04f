//! What is to be said of each address, as data, for servers and uploaders that no other file here
//! knows: one JSON object a line, content first and
//! pointers last within each part of the site.
//! ```text
//! {"path":"/v2/app/manifests/1","file":"v2/app/manifests/1","type":"..","digest":"sha256:..","size":1,"cache":"pointer"}
//! ```
//! `path` is what clients ask for, `file` what answers it; `digest` is what `Docker-Content-Digest`
//! would say, or that of the bytes, absent where only reading the file would tell; `size` is in bytes; `cache` is `immutable` or `pointer`.

use std::io::Write;

use anyhow::Context as _;
use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::fsx;
use crate::plan::tree::File;
use crate::plan::{Part, Plan};
use crate::server::{Knows, Rendered, Server, Setup, Text};
use crate::spec::digest::Digest;

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    file: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    size: u64,
    cache: &'a str,
}

pub(super) const SERVER: Server = Server {
    name: "headers",
    about: "for any other: path, file, type, digest, size and cache class, one JSON object a line",
    knows: Knows::Content,
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let plan = setup.plan.as_ref().context("the headers need the plan")?;
    Ok(vec![Rendered {
        suffix: "",
        content: Text::Lines(Box::new(move |out| lines(setup, plan, out))),
    }])
}

fn lines(setup: &Setup<'_>, plan: &Plan<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    for part in plan.parts() {
        if let Part::V1Image(id) = part {
            for name in ["ancestry", "checksum", "json", "layer"] {
                line(setup, &format!("v1/images/{id}/{name}"), None, out)?;
            }
            continue;
        }
        for (file, _, content) in plan.tree(part)?.files() {
            line(setup, file, digest(plan, part, file, content), out)?;
        }
    }
    Ok(())
}

/// Writes the line of a file, if clients ask for it.
fn line(
    setup: &Setup<'_>,
    file: &str,
    digest: Option<Digest>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    // The second name of a manifest stands for the first, since it says the type.
    let (file, typed) = match file.split_once("/_types/") {
        Some((folder, name)) => {
            let reference = name
                .rsplit_once('.')
                .map_or(name, |(reference, _)| reference);
            (format!("{folder}/manifests/{reference}"), file)
        }
        None => (file.to_owned(), ""),
    };
    let path = match file.as_str() {
        "index.html" => "/".to_owned(),
        "v2/index.html" => "/v2/".to_owned(),
        file => format!("/{}", file.strip_suffix("/index.json").unwrap_or(file)),
    };
    let Some(endpoint) = Endpoint::of(&path) else {
        return Ok(());
    };
    let is_manifest = matches!(endpoint, Endpoint::Tagged(..) | Endpoint::Manifest(..));
    if (is_manifest && typed.is_empty()) || file.ends_with("/tags/index.html") {
        return Ok(());
    }
    let Some(meta) = fsx::meta(&setup.site.path(&file))? else {
        return Ok(());
    };
    let line = Line {
        path: &path,
        file: &file,
        r#type: endpoint.media_type(typed),
        digest,
        size: meta.len,
        cache: endpoint.cache().name(),
    };
    serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// The digest that clients know the content by: of a signed schema 1 manifest, not that of its bytes.
fn digest(plan: &Plan<'_>, part: Part<'_>, file: &str, content: &File) -> Option<Digest> {
    match content {
        File::Blob(digest) | File::Own(digest) => Some(*digest),
        File::V1(..) => None,
        File::Bytes(bytes) => {
            let tag = file
                .split_once("/_types/")
                .and_then(|(_, name)| name.rsplit_once('.'));
            let tagged = match (part, tag) {
                (Part::Repository(repository), Some((tag, _))) => {
                    let tags = &plan.images.repositories[repository].tags;
                    tags.get(&tag.parse().ok()?).copied()
                }
                _ => None,
            };
            Some(tagged.unwrap_or_else(|| Digest::of(bytes)))
        }
    }
}
