//! k3s and RKE2 (docs.k3s.io, "Private Registry Configuration"). They make the `hosts.toml` of their containerd of this.

use std::fmt::Write as _;

use crate::client_config::{Client, File, Setup};

pub(super) const CLIENT: Client = Client {
    name: "k3s",
    about: "k3s; for RKE2 in /etc/rancher/rke2",
    files,
};

fn files(setup: &Setup) -> Vec<File> {
    let address = &setup.address;
    if !address.prefix.is_root() {
        return Vec::new();
    }
    let path = "etc/rancher/k3s/registries.yaml";
    let ca = "etc/rancher/k3s/registry-ca.crt";
    let (host, origin) = (&address.host, address.origin());
    let mut text = format!(
        "# /{path}; restart k3s then\nmirrors:\n  \"{host}\":\n    endpoint:\n      - \"{origin}\"\n"
    );
    for upstream in &setup.upstreams {
        let _ = write!(
            text,
            "  \"{}\":\n    endpoint:\n      - \"{origin}\"\n",
            upstream.host
        );
        if !upstream.below.is_empty() {
            let _ = write!(
                text,
                "    rewrite:\n      \"^(.*)$\": \"{}/$1\"\n",
                upstream.below
            );
        }
    }
    if setup.ca.is_some() {
        let _ = write!(
            text,
            "configs:\n  \"{host}\":\n    tls:\n      ca_file: /{ca}\n"
        );
    }
    let mut files = vec![File::new(path, "mirrors; restart k3s then", text)];
    files.extend(setup.ca_file(ca));
    files
}
