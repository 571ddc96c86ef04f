//! nginx: `nginx.conf.example` with the folder and the port set; with `--exact`, also a file with a map of the
//! v1 images.
//! ```text
//! FILE        the configuration
//! FILE.maps   maps: address of a v1 image -> length of its layer in bytes, checksum of its JSON and layer
//! ```

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::bail;

use crate::error::WithHint as _;
use crate::fsx;
use crate::plan::Plan;
use crate::server_config::{DependsOn, Rendered, Server, Setup, quoted};
use crate::site_files::SiteFiles;

/// The example, which users may also edit by hand.
const EXAMPLE: &str = include_str!("../../nginx.conf.example");
const MAPS: &str = ".maps";

/// Texts of the example, and what `--exact` replaces them with.
const EXACT: [[&str; 2]; 3] = [
    [
        "# Nothing here depends on what the site holds: publishing needs no reload.",
        "# The lengths and checksums of v1 layers come from the file with `.maps` in its name: write both anew after each publish\n\
         # with `stillage config nginx --exact` and reload nginx. Nothing else depends on what the site holds.",
    ],
    [
        "        add_header Allow                       $allow always;",
        "        add_header Allow                       $allow always;\n        \
         add_header X-Docker-Size               $layer_size;\n        \
         add_header X-Docker-Checksum           $checksum;",
    ],
    ["\nhttp {", "\nhttp {\n    include MAPS;\n"],
];

pub(super) const SERVER: Server = Server {
    name: "nginx",
    about: "a complete configuration; start it with `nginx -p FOLDER -c FILE`",
    knows: DependsOn::ContentIfExact,
    render,
};

fn render<'a>(setup: &'a Setup<'_>) -> anyhow::Result<Vec<Rendered<'a>>> {
    let path = setup.site.root().to_string_lossy();
    if path.contains('$') {
        return Err(anyhow::anyhow!(
            "nginx reads the `$` in `{}` as a variable",
            fsx::escaped_path(setup.site.root())
        ))
        .hint("give the folder another name");
    }
    let mut text = EXAMPLE.to_owned();
    if setup.exact {
        for [from, to] in EXACT {
            if text.matches(from).count() != 1 {
                bail!("the example no longer contains what `--exact` replaces: {from}");
            }
            text = text.replace(from, to);
        }
        let mut maps = setup.output.clone().unwrap_or_default().into_os_string();
        maps.push(MAPS);
        text = text.replace(
            "include MAPS",
            &format!("include {}", quoted(&maps.to_string_lossy())),
        );
    }
    let site = format!("set $site {}", quoted(&path));
    let text = text
        .replace("set $site /srv/registry", &site)
        .replace("listen 5000", &format!("listen {}", setup.listen));
    let mut files = vec![Rendered::main(text)];
    if setup.exact {
        let plan = setup.plan()?;
        files.push(Rendered::lines(MAPS, move |out| {
            maps(plan, &setup.site, out)
        }));
    }
    Ok(files)
}

fn maps(plan: &Plan<'_>, site: &SiteFiles, out: &mut dyn Write) -> anyhow::Result<()> {
    let (mut sizes, mut checksums) = (BTreeMap::new(), BTreeMap::new());
    for id in plan.v1.images.keys() {
        let address = |file: &str| format!("/v1/images/{id}/{file}");
        if let Some(meta) = fsx::meta(&site.path(&format!("v1/images/{id}/layer")))? {
            sizes.extend(["json", "layer"].map(|file| (address(file), meta.len.to_string())));
        }
        if let Ok(Some(checksum)) = site.v1_checksum(*id) {
            checksums.insert(address("json"), checksum.hex());
        }
    }
    // nginx tries sizes one by one until no bucket overflows. With room for sixteen keys in a bucket, and twice
    // as many buckets as keys, the first size fits. Unused room costs nothing.
    let buckets = (2 * sizes.len()).next_power_of_two().max(2048);
    writeln!(
        out,
        "map_hash_max_size {buckets};\nmap_hash_bucket_size 2048;"
    )?;
    for (variable, values) in [("layer_size", sizes), ("checksum", checksums)] {
        writeln!(out, "\nmap $uri ${variable} {{\n    default \"\";")?;
        for (address, value) in &values {
            writeln!(out, "    {address} {value};")?;
        }
        writeln!(out, "}}")?;
    }
    Ok(())
}
