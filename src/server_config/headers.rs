//! The headers of each address as data, for any other server or uploader: one JSON object a line, in the
//! order of publishing.
//! ```text
//! {"path":"/v2/app/manifests/1","file":"v2/app/manifests/1","type":"..","digest":"sha256:..","size":1,"cache":"pointer"}
//! ```
//! `path` is the path of a request and `file` the file that answers it. `digest` is `Docker-Content-Digest`
//! or the digest of the bytes; it is absent if only reading the file would tell. `size` is in bytes. `cache`
//! is `immutable` or `pointer`.

use std::io::Write;

use serde::Serialize;

use crate::fsx;
use crate::plan::objects::Object;
use crate::server_config::{DependsOn, Rendered, Server, Setup};
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
    about: "any other server: path, file, type, digest, size and cache class, one JSON object a line",
    knows: DependsOn::Content,
    options: &[],
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let plan = setup.plan()?;
    let write = move |out: &mut dyn Write| plan.objects(&mut |object| line(setup, object, out));
    Ok(vec![Rendered::lines("", write)])
}

/// Writes the line of an object. Files of v1 images are asked for their size; one that has no `checksum` has no
/// line for it.
fn line(setup: &Setup<'_>, object: &Object, out: &mut dyn Write) -> anyhow::Result<()> {
    let size = match object.size {
        Some(size) => size,
        None => match fsx::meta(&setup.site.path(&object.file))? {
            Some(meta) => meta.len,
            None => return Ok(()),
        },
    };
    let line = Line {
        path: &object.path,
        file: &object.file,
        r#type: object.media_type,
        digest: object.digest,
        size,
        cache: object.cache.name(),
    };
    serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
