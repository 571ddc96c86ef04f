//! nginx: `nginx.conf.example` with the folder and the port set, and what options ask for: below a path, with a login,
//! for an existing nginx; with `--exact`, also a file with a map of the v1 images.
//! ```text
//! FILE        the configuration
//! FILE.maps   maps: address of a v1 image -> length of its layer in bytes, checksum of its JSON and layer
//! ```

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context as _;

use crate::error::WithHint as _;
use crate::fsx;
use crate::plan::Plan;
use crate::server_config::{Auth, DependsOn, Listen, Prefix, Rendered, Server, Setup, quoted};
use crate::site_files::SiteFiles;

/// The example, which users may also edit by hand.
const EXAMPLE: &str = include_str!("../../nginx.conf.example");
const MAPS: &str = ".maps";

pub(super) const SERVER: Server = Server {
    name: "nginx",
    about: "a complete configuration; start it with `nginx -p FOLDER -c FILE`",
    knows: DependsOn::ContentIfExact,
    options: &["--exact", "--prefix", "--conf-d", "--auth"],
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
    let mut text = Text(EXAMPLE.to_owned());
    text.replace(
        "set $site /srv/registry",
        &format!("set $site {}", quoted(&path)),
    )?;
    text.listen(&setup.listen, setup.auth == Some(Auth::Certificate))?;
    if let Some(auth) = setup.auth {
        text.login(auth)?;
    }
    if !setup.prefix.is_root() {
        text.below(&setup.prefix)?;
    }
    if setup.exact {
        let mut maps = setup.output.clone().unwrap_or_default().into_os_string();
        maps.push(MAPS);
        text.exact(&quoted(&maps.to_string_lossy()))?;
    }
    if setup.conf_d {
        text.in_http()?;
    }
    let mut files = vec![Rendered::main(text.0)];
    if setup.exact {
        let plan = setup.plan()?;
        files.push(Rendered::lines(MAPS, move |out| {
            maps(plan, &setup.site, out)
        }));
    }
    Ok(files)
}

/// The configuration, made from the example by replacing parts of it.
struct Text(String);

impl Text {
    /// Replaces a part that the example has exactly once.
    fn replace(&mut self, from: &str, to: &str) -> anyhow::Result<()> {
        let parts: Vec<&str> = self.0.split(from).collect();
        let [before, after] = parts[..] else {
            anyhow::bail!("the example no longer contains once what an option replaces: {from}");
        };
        self.0 = [before, to, after].concat();
        Ok(())
    }

    /// Deletes the lines that begin so, or takes their comment signs away.
    fn lines(&mut self, begin: &str, uncomment: bool) -> anyhow::Result<()> {
        let mut found = false;
        let mut text = String::new();
        for line in self.0.split_inclusive('\n') {
            let words = line.trim_start();
            if !words.starts_with(begin) {
                text.push_str(line);
                continue;
            }
            found = true;
            if uncomment {
                text.push_str(&line[..line.len() - words.len()]);
                text.push_str(words.trim_start_matches("# "));
            }
        }
        anyhow::ensure!(found, "the example no longer contains lines with: {begin}");
        self.0 = text;
        Ok(())
    }

    /// All addresses of IPv4 and IPv6, or those of a host.
    fn listen(&mut self, listen: &Listen, with_tls: bool) -> anyhow::Result<()> {
        let tls = if with_tls { " ssl" } else { "" };
        self.replace(
            "        listen 5000;",
            &format!("        listen {listen}{tls};"),
        )?;
        let port = listen.port;
        match &listen.host {
            None => self.replace("listen [::]:5000;", &format!("listen [::]:{port}{tls};")),
            Some(_) => self.lines("listen [::]:5000;", false),
        }
    }

    /// Switches a login on. Pages of other origins, which cannot log in, are not told that they may read the site.
    fn login(&mut self, auth: Auth) -> anyhow::Result<()> {
        let (on, off) = match auth {
            Auth::Basic => (
                "# auth_basic",
                ["# ssl_client_certificate", "# ssl_verify_client"],
            ),
            Auth::Certificate => ("# ssl_", ["# auth_basic", "# listen "]),
        };
        for begin in off {
            self.lines(begin, false)?;
        }
        self.lines(on, true)?;
        if auth == Auth::Certificate {
            self.lines("# TLS: ", false)?;
        }
        for begin in [
            "# A login for all",
            "# workers must be able",
            "# Pages of other",
            "# ask with OPTIONS",
            "map $request_method $registry_preflight",
            "204 \"GET, HEAD, OPTIONS\"",
            "add_header Access-Control-",
            "if ($request_method = OPTIONS)",
        ] {
            self.lines(begin, false)?;
        }
        self.replace("405 \"GET, HEAD, OPTIONS\"", "405 \"GET, HEAD\"")?;
        if auth == Auth::Basic {
            // Docker 1.x sends its password to nobody else.
            let version =
                "        add_header X-Docker-Registry-Version   $registry_v1_version always;\n";
            let standalone =
                "        add_header X-Docker-Registry-Standalone $registry_standalone;\n";
            self.replace(version, &format!("{version}{standalone}"))?;
            let map = "    map $status $registry_allow";
            let of_v1 =
                "    map $registry_v1_version $registry_standalone { default true; \"\" \"\"; }\n";
            self.replace(map, &format!("{of_v1}{map}"))?;
        }
        Ok(())
    }

    /// Moves the site below a path. Clients ask below it if it is in their configuration, as containerd's
    /// `override_path` or a mirror of Docker since 25; the name of a repository begins with it, if it is in what they
    /// pull, as with the locations of podman and CRI-O.
    fn below(&mut self, prefix: &Prefix) -> anyhow::Result<()> {
        let pattern = prefix.pattern();
        self.replace(
            "    map $status $registry_allow",
            &format!(
                "    # The site is below a path, which containerd and mirrors of Docker have before `/v2/`, podman and CRI-O in names.
    map $uri $registry_path {{
        \"~^{pattern}(?<below>/.*)$\" $below;
        \"~^/v2{pattern}/(?<named>.+)$\" /v2/$named;
        \"~^(?<version>/v2/?)$\" $version;
        \"~^/v2/\" /v2/-;
        default /-;
    }}

    map $status $registry_allow"
            ),
        )?;
        self.replace(
            "        # See $registry_host.",
            &format!(
                "        # The addresses in pages are relative to the folder.
        if ($uri = {prefix}) {{ return 301 {prefix}/; }}
        rewrite ^ $registry_path;\n\n        # See $registry_host."
            ),
        )
    }

    /// With the lengths and checksums of v1 layers.
    fn exact(&mut self, maps: &str) -> anyhow::Result<()> {
        self.replace(
            "# Nothing here depends on what the site holds: publishing needs no reload.",
            "# The lengths and checksums of v1 layers come from the file with `.maps` in its name: write both anew after each publish\n\
             # with `stillage config nginx --exact` and reload nginx. Nothing else depends on what the site holds.",
        )?;
        let allow = "        add_header Allow                       $registry_allow always;";
        let sizes = "        add_header X-Docker-Size               $layer_size;\n        \
                     add_header X-Docker-Checksum           $checksum;";
        self.replace(allow, &format!("{allow}\n{sizes}"))?;
        self.replace("\nhttp {", &format!("\nhttp {{\n    include {maps};\n"))
    }

    /// What belongs into the `http` block of an existing nginx, which has its own logs and folders.
    fn in_http(&mut self) -> anyhow::Result<()> {
        self.lines("access_log ", false)?;
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            self.lines(&format!("{kind}_temp_path "), false)?;
        }
        let lost = || "the example no longer has the form of a whole nginx.conf";
        let (head, http) = self.0.split_once("\nhttp {\n").with_context(lost)?;
        let http = http.strip_suffix("}\n").with_context(lost)?;
        let about = head.find("# Nothing here").or(head.find("# The lengths"));
        let about = &head[about.with_context(lost)?..];
        let about = about.split("\n\n").next().unwrap_or_default();
        let body = http
            .lines()
            .map(|line| line.strip_prefix("    ").unwrap_or(line));
        let body: Vec<&str> = body.skip_while(|line| line.is_empty()).collect();
        self.0 = format!("{CONF_D}{about}\n\n{}\n", body.join("\n"));
        Ok(())
    }
}

const CONF_D: &str = "\
# A Stillage site as a registry, for an nginx that serves other sites too: put this file where its `http` block includes
# others, as /etc/nginx/conf.d/registry.conf or with a link in /etc/nginx/sites-enabled.
#
";

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
