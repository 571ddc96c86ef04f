//! Docker Engine since 1.10: `daemon.json`, and the CA of a registry by its name. Docker mirrors Docker Hub alone, at the
//! root of a host up to 24, and asks for `library/alpine` there (docs.docker.com, "Registry as a pull through cache";
//! moby `registry/config.go`).

use serde_json::json;

use crate::client_config::{Client, File, Setup};

pub(super) const CLIENT: Client = Client {
    name: "docker",
    about: "Docker Engine since 1.10",
    files,
};

fn files(setup: &Setup) -> Vec<File> {
    let address = &setup.address;
    let mut daemon = serde_json::Map::new();
    let mut about = vec!["merge it with what is there, and reload Docker"];
    if let Some(hub) = setup.docker_hub() {
        let mirror = format!("{}{}", address.origin(), address.prefix);
        daemon.insert("registry-mirrors".into(), json!([mirror]));
        if !hub.below.is_empty() {
            about.push("the mirror must be served by nginx or `stillage serve`");
        }
        if !address.prefix.is_root() {
            about.push("a mirror below a path needs Docker 25 or later");
        }
    }
    if !address.is_tls {
        daemon.insert("insecure-registries".into(), json!([address.host]));
    }
    let mut files = Vec::new();
    if !daemon.is_empty() {
        let text = serde_json::Value::Object(daemon);
        let text = format!("{text:#}\n");
        files.push(File::new("etc/docker/daemon.json", about.join("; "), text));
    }
    files.extend(setup.ca_file(format!("etc/docker/certs.d/{}/ca.crt", address.host)));
    files
}
