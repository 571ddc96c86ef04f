//! Docker up to 1.9, which pulls over v1: options of the daemon, and the CA of a registry by its name, as the Docker Registry
//! specification of 2014 has it ("Endpoints").

use crate::client_config::{Client, File, Setup};

pub(super) const CLIENT: Client = Client {
    name: "docker-1",
    about: "Docker up to 1.9",
    files,
};

fn files(setup: &Setup) -> Vec<File> {
    let address = &setup.address;
    if !setup.catalogue.apis.v1 || !address.prefix.is_root() {
        return Vec::new();
    }
    let mut files = Vec::new();
    if !address.is_tls {
        let text = format!(
            "# /etc/default/docker (Debian, Ubuntu), or OPTIONS in /etc/sysconfig/docker (CentOS). Restart Docker then.\n\
             DOCKER_OPTS=\"--insecure-registry {}\"\n",
            address.host
        );
        files.push(File::new(
            "etc/default/docker",
            "options of the daemon; restart Docker then",
            text,
        ));
    }
    files.extend(setup.ca_file(format!("etc/docker/certs.d/{}/ca.crt", address.host)));
    files
}
