//! Notes for Kubernetes: the kubelet leaves pulling to the container runtime.

use crate::client_config::{Client, File, Setup};

pub(super) const CLIENT: Client = Client {
    name: "kubernetes",
    about: "notes for nodes of Kubernetes",
    files,
};

fn files(setup: &Setup) -> Vec<File> {
    let name = setup.address.name();
    let text = format!(
        "The kubelet has no configuration for registries: the container runtime of each node pulls. Configure that, with the\n\
         files for containerd or podman (CRI-O). Nodes of cri-dockerd use those for docker.\n\
         \n\
         Manifests keep the names of mirrored registries. Images that the site alone has are named {name}/NAME:TAG.\n\
         With `imagePullPolicy: Always` the runtime still asks for the tag at each start; let manifests name digests where that\n\
         matters.\n\
         \n\
         A login at the site, for images named {name}/..:\n\
         \n    \
         kubectl create secret docker-registry site --docker-server={0} --docker-username=.. --docker-password=..\n\
         \n\
         named in `imagePullSecrets`, or the same in /var/lib/kubelet/config.json on each node. The runtime does not use it for a\n\
         mirror: there the login belongs into its configuration, which is a header `Authorization` in hosts.toml\n\
         ([host.\"..\".header]), `configs: .. auth` in registries.yaml of k3s, or `global_auth_file` of CRI-O. Client certificates need no login: `client` in hosts.toml, or client.cert and client.key beside ca.crt.\n",
        setup.address.host
    );
    vec![File::new("notes.txt", "notes", text)]
}
