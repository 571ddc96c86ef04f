//! The commands that pull an image, by client. A client is one entry of a table.

/// How a client pulls an image over v2.
pub(super) struct Command {
    pub(super) client: &'static str,
    pub(super) before: &'static str,
    /// What it needs where a server has no TLS.
    pub(super) plain_http: &'static str,
    pub(super) scheme: &'static str,
    pub(super) after: &'static str,
}

/// The commands for images, or for other artifacts.
pub(super) fn commands(is_image: bool) -> &'static [Command] {
    if is_image { &IMAGES } else { &ARTIFACTS }
}

const SKOPEO: Command = Command {
    client: "skopeo",
    before: "skopeo copy",
    plain_http: " --src-tls-verify=false",
    scheme: "docker://",
    after: " dir:FOLDER",
};

const ARTIFACTS: [Command; 2] = [
    Command {
        client: "oras",
        before: "oras pull",
        plain_http: " --plain-http",
        scheme: "",
        after: "",
    },
    SKOPEO,
];

const IMAGES: [Command; 4] = [
    Command {
        client: "docker",
        before: "docker pull",
        plain_http: "",
        scheme: "",
        after: "",
    },
    Command {
        client: "podman",
        before: "podman pull",
        plain_http: " --tls-verify=false",
        scheme: "",
        after: "",
    },
    Command {
        client: "containerd",
        before: "ctr images pull",
        plain_http: " --plain-http",
        scheme: "",
        after: "",
    },
    SKOPEO,
];
