//! containerd since 1.5: a folder for each registry (containerd `docs/hosts.md`).

use crate::client_config::{Client, File, Setup, Upstream};

pub(super) const CLIENT: Client = Client {
    name: "containerd",
    about: "containerd since 1.5, with Kubernetes, nerdctl and ctr",
    files,
};

/// Where the folders are.
const FOLDER: &str = "/etc/containerd/certs.d";

fn files(setup: &Setup) -> Vec<File> {
    let address = &setup.address;
    let ca = format!("{FOLDER}/{}/ca.crt", address.host);
    let host = |url: &str, override_path: bool| {
        let mut text = format!("[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
        if override_path {
            text.push_str("  override_path = true\n");
        }
        if setup.ca.is_some() {
            text.push_str(&format_ca(&ca));
        }
        text
    };
    let file = |name: &str, about: &str, text: String| {
        let path = format!("{FOLDER}/{name}/hosts.toml");
        let comment = format!("# {path}: {about}\n");
        File::new(path.trim_start_matches('/'), about, comment + &text)
    };
    let mut files = vec![config()];
    // Below a path, names begin with it.
    let own_ca = setup.ca.as_ref().map(|_| format!("ca = \"{ca}\"\n"));
    let text = format!(
        "server = \"{0}\"\n{1}\n{2}",
        address.origin(),
        own_ca.unwrap_or_default(),
        host(&address.origin(), false)
    );
    files.push(file(
        &address.host,
        "images of the site by its own name",
        text,
    ));
    for upstream in &setup.upstreams {
        let (url, override_path) = mirror(setup, upstream);
        let about = format!(
            "images of {}; what the site lacks comes from there",
            upstream.host
        );
        files.push(file(&upstream.host, &about, host(&url, override_path)));
    }
    if setup.catalogue.full_names && address.prefix.is_root() {
        let about = "images of all other registries, of which `?ns=` tells the site; served by nginx or `stillage serve`";
        files.push(file("_default", about, host(&address.origin(), false)));
    }
    files.extend(setup.ca_file(ca.trim_start_matches('/')));
    files
}

fn format_ca(path: &str) -> String {
    format!("  ca = \"{path}\"\n")
}

/// The URL of a mirror, and whether it has the path that containerd adds otherwise.
fn mirror(setup: &Setup, upstream: &Upstream) -> (String, bool) {
    let address = &setup.address;
    let (origin, prefix) = (address.origin(), &address.prefix);
    if upstream.below.is_empty() && prefix.is_root() {
        return (origin, false);
    }
    let slash = if upstream.below.is_empty() { "" } else { "/" };
    (
        format!("{origin}{prefix}/v2{slash}{}", upstream.below),
        true,
    )
}

/// What makes containerd read the folders. Version 2 of the configuration is read by containerd 2 as well.
fn config() -> File {
    let text = format!(
        "# /etc/containerd/config.toml, if there is none; otherwise set `config_path` in the table that is there, and remove\n\
         # tables `registry.mirrors` and `registry.configs`, which exclude it. In files with `version = 3` the table is\n\
         # [plugins.\"io.containerd.cri.v1.images\".registry]. Restart containerd then.\n\
         # `ctr images pull --hosts-dir {FOLDER} NAME` and nerdctl need no configuration.\n\
         version = 2\n\
         \n\
         [plugins.\"io.containerd.grpc.v1.cri\".registry]\n  \
         config_path = \"{FOLDER}\"\n"
    );
    File::new(
        "config.toml",
        "what /etc/containerd/config.toml must say",
        text,
    )
}
