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
    let path = "etc/rancher/k3s/registries.yaml";
    let ca = "etc/rancher/k3s/registry-ca.crt";
    let (host, origin) = (&address.host, address.origin());
    let mut text = format!(
        "# /{path}, or /etc/rancher/rke2/registries.yaml for RKE2; restart k3s or RKE2 then\n\
         mirrors:\n  \"{host}\":\n    endpoint:\n      - \"{origin}\"\n"
    );
    for upstream in &setup.upstreams {
        let _ = write!(
            text,
            "  \"{}\":\n    endpoint:\n      - \"{origin}\"\n",
            upstream.host
        );
        // Below a path, a site answers names that begin with it.
        let location = setup.location(upstream);
        let below = location[host.len()..].trim_start_matches('/');
        if !below.is_empty() {
            let _ = write!(text, "    rewrite:\n      \"^(.*)$\": \"{below}/$1\"\n");
        }
    }
    if setup.ca.is_some() {
        let _ = write!(
            text,
            "# For RKE2, copy the certificate to /etc/rancher/rke2 too, and write its path here.\n\
             configs:\n  \"{host}\":\n    tls:\n      ca_file: /{ca}\n"
        );
    }
    let mut files = vec![File::new(path, "mirrors; restart k3s then", text)];
    files.extend(setup.ca_file(ca));
    files
}
