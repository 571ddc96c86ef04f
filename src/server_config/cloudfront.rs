//! `CloudFront`: a function for both events of a viewer, in front of an S3 bucket, and the error response of what the
//! bucket lacks.
//! ```text
//! FILE             the function
//! FILE.404.json    the error response: both APIs find their form of an error in it
//! ```

use crate::fsx;
use crate::server_config::{Contents, DependsOn, Rendered, Server, Setup, edge};

/// `MANIFEST_UNKNOWN`, since `oras` looks for referrers by their tag only after this code.
const MISSING: &str = r#"{"error": "Not found", "errors":[{"code":"MANIFEST_UNKNOWN","message":"not found","detail":null}]}"#;

pub(super) const SERVER: Server = Server {
    name: "cloudfront",
    about: "a CloudFront Function for an S3 bucket, and the error response for it",
    knows: DependsOn::Place,
    options: &["--prefix"],
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let has_v1 = fsx::meta(&setup.site.path("v1/_ping"))?.is_some();
    let function = edge(include_str!("cloudfront.js"), &setup.prefix)
        .replace("HAS_V1 = true", &format!("HAS_V1 = {has_v1}"));
    Ok(vec![
        Rendered::main(function),
        Rendered {
            suffix: ".404.json",
            content: Contents::Whole(MISSING.to_owned()),
        },
    ])
}
