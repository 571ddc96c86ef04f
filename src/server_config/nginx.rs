//! nginx: `nginx.conf.example` with the folder and the port set; with `--exact`, also a file with maps of
//! every tag and every layer.
//! ```text
//! FILE        the configuration
//! FILE.maps   map: address of a tag -> its spellings, each with the file of its manifest by digest
//!             map: address of a v1 image -> length of its layer in bytes
//! ```

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context as _, bail};

use crate::error::WithHint as _;
use crate::fsx;
use crate::plan::Plan;
use crate::server_config::{Contents, DependsOn, Rendered, Server, Setup, quoted};
use crate::site_files::SiteFiles;
use crate::spec::media_type;

/// The example, which users may also edit by hand.
const EXAMPLE: &str = include_str!("../../nginx.conf.example");
const MAPS: &str = ".maps";

/// Texts of the example, and what `--exact` replaces them with.
const EXACT: [[&str; 2]; 4] = [
    [
        "# Nothing here depends on what the site holds: publishing needs no reload.",
        "# Tags and the lengths of layers come from the file with `.maps` in its name: after each publish write\n\
         # both anew with `stillage config nginx --exact` and reload nginx. Until then tags stay as they were.",
    ],
    [
        "            location ~ \"^/v2/(?<name>.+)/manifests/(?<tag>[^/]+)$\" {\n\
         \x20               # A tag that gets another type may lose the old name between the look and the opening.\n\
         \x20               recursive_error_pages on;\n\
         \x20               error_page 403 404 = @look_again;\n\
         \x20               error_page 405       @read_only;\n\
         \x20               set $typed /v2/$name/_types/$tag;\n\
         \x20               try_files $typed.om $typed.oi $typed.d2 $typed.dl $typed.s1 $typed.s0 =404;",
        "            # A tag is answered by the file of its digest, so that header and body are always of one manifest.\n\
         \x20           location ~ \"^/v2/(?<name>.+)/manifests/(?<tag>[^/]+)$\" {\n\
         \x20               set $digest $tag_digest;\n\
         \x20               try_files /v2/$name/_types/$tag_file =404;",
    ],
    [
        "        add_header Allow                       $allow always;",
        "        add_header Allow                       $allow always;\n        \
         add_header X-Docker-Size               $layer_size;",
    ],
    ["\nhttp {", "\nhttp {\n    include MAPS;\n"],
];

/// The maps that do not grow with the site. nginx ignores case in keys, so all spellings of a tag share an
/// entry with a `tag=file` for each; the back reference finds the right one.
const SPELLINGS: &str = r#"
map "$tag $spellings" $tag_file {
    default                                        none;
    "~^([^ ]+) (?:.* )?\1=(?<found>sha256:[^ ]+)"  $found;
}
map $tag_file $tag_digest {
    default                            "";
    "~^(?<of_tag>sha256:[0-9a-f]{64})" $of_tag;
}
"#;

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
    let root = format!("root {}", quoted(&path));
    let text = text
        .replace("root /srv/registry", &root)
        .replace("listen 5000", &format!("listen {}", setup.listen));
    let mut files = vec![Rendered::main(text)];
    if setup.exact {
        let plan = setup.plan.as_ref().context("the maps need the plan")?;
        files.push(Rendered {
            suffix: MAPS,
            content: Contents::Lines(Box::new(move |out| maps(plan, &setup.site, out))),
        });
    }
    Ok(files)
}

fn maps(plan: &Plan<'_>, site: &SiteFiles, out: &mut dyn Write) -> anyhow::Result<()> {
    let tags = tags(plan);
    let sizes = sizes(plan, site)?;
    let longest = tags.keys().map(String::len).max().unwrap_or(0).max(80);
    let entries = tags.len().max(sizes.len());
    // nginx tries sizes one by one until no bucket overflows. With room for sixteen of the longest keys in a
    // bucket, and twice as many buckets as keys, the first size fits. Unused room costs nothing.
    writeln!(
        out,
        "map_hash_max_size {};",
        (2 * entries).next_power_of_two().max(2048)
    )?;
    writeln!(
        out,
        "map_hash_bucket_size {};",
        (16 * (longest + 24)).next_power_of_two()
    )?;
    writeln!(out, "\nmap $uri $spellings {{\n    default \"\";")?;
    for (address, spellings) in &tags {
        writeln!(out, "    {address} \"{}\";", spellings.join(" "))?;
    }
    writeln!(
        out,
        "}}{SPELLINGS}\nmap $uri $layer_size {{\n    default \"\";"
    )?;
    for (address, size) in &sizes {
        writeln!(out, "    {address} {size};")?;
    }
    Ok(writeln!(out, "}}")?)
}

/// By the address of a tag in lower case: each spelling of the tag, with the file of its manifest.
fn tags(plan: &Plan<'_>) -> BTreeMap<String, Vec<String>> {
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (repository, repo) in &plan.images.repositories {
        for (tag, digest) in &repo.tags {
            let media_type = plan.images.manifests[digest].media_type;
            let extension = media_type::extension(media_type).unwrap_or("om");
            for name in repository.aliases() {
                let address = format!("/v2/{name}/manifests/{tag}").to_lowercase();
                let spelling = format!("{tag}={digest}.{extension}");
                tags.entry(address).or_default().push(spelling);
            }
        }
    }
    tags
}

/// By the address of the JSON and of the layer of a v1 image: the length of the layer in bytes.
fn sizes(plan: &Plan<'_>, site: &SiteFiles) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut sizes = BTreeMap::new();
    for id in plan.v1.images.keys() {
        if let Some(meta) = fsx::meta(&site.path(&format!("v1/images/{id}/layer")))? {
            for file in ["json", "layer"] {
                sizes.insert(format!("/v1/images/{id}/{file}"), meta.len);
            }
        }
    }
    Ok(sizes)
}
