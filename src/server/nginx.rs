//! nginx: `nginx.conf.example` with the folder and the port set.

use std::io::Write;

use crate::server::{Server, Setup, quoted};

/// The example that users edit by hand too.
const EXAMPLE: &str = include_str!("../../nginx.conf.example");

pub(super) struct Nginx;

impl Server for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn about(&self) -> &'static str {
        "a complete configuration; start it with `nginx -p FOLDER -c FILE`"
    }

    fn write(&self, setup: &Setup<'_>, _file: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        let root = format!("root {}", quoted(&setup.site.root().to_string_lossy()));
        let text = EXAMPLE
            .replace("root /srv/registry", &root)
            .replace("listen 5000", &format!("listen {}", setup.listen));
        Ok(out.write_all(text.as_bytes())?)
    }
}
