//! Clients of containers/image: podman, CRI-O, skopeo, buildah (containers-registries.conf(5), containers-registries.d(5),
//! containers-policy.json(5), containers-certs.d(5)).

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::client_config::{Client, File, Setup};

pub(super) const CLIENT: Client = Client {
    name: "podman",
    about: "podman, CRI-O, skopeo and buildah",
    files,
};

fn files(setup: &Setup) -> Vec<File> {
    let host = &setup.address.host;
    let mut files = Vec::new();
    files.extend(registries(setup));
    files.push(signatures(setup));
    files.push(policy(setup));
    files.extend(setup.ca_file(format!("etc/containers/certs.d/{host}/ca.crt")));
    files
}

/// Where registries have their mirrors, and which of them have no TLS.
fn registries(setup: &Setup) -> Option<File> {
    let address = &setup.address;
    let path = "etc/containers/registries.conf.d/stillage.conf";
    let insecure = if address.is_tls {
        ""
    } else {
        "insecure = true\n"
    };
    let mut text = format!("# /{path}\n");
    for upstream in &setup.upstreams {
        let _ = write!(
            text,
            "\n[[registry]]\nprefix = \"{0}\"\nlocation = \"{0}\"\n\n\
             [[registry.mirror]]\nlocation = \"{1}\"\n{insecure}",
            upstream.host,
            setup.location(upstream)
        );
    }
    if !address.is_tls {
        let _ = write!(
            text,
            "\n[[registry]]\nprefix = \"{0}\"\nlocation = \"{0}\"\n{insecure}",
            address.host
        );
    }
    let about = if setup.upstreams.is_empty() {
        "the site has no TLS"
    } else {
        "mirrors; what the site lacks comes from the registry itself"
    };
    let is_needed = !setup.upstreams.is_empty() || !address.is_tls;
    is_needed.then(|| File::new(path, about, text))
}

/// Where signatures are.
fn signatures(setup: &Setup) -> File {
    let address = &setup.address;
    let path = "etc/containers/registries.d/stillage.yaml";
    let mut text = format!("# /{path}\ndocker:\n  \"{}\":\n", address.host);
    if address.prefix.is_root() {
        let lookaside = "# by GPG (\"simple signing\")";
        let _ = writeln!(
            text,
            "    lookaside: {}/lookaside    {lookaside}",
            address.origin()
        );
    }
    text.push_str("    use-sigstore-attachments: true    # by sigstore\n");
    File::new(path, "where signatures are", text)
}

/// A policy that demands a signature of what the site has. Images from a mirror keep the names that were signed; pulled
/// by the name of the site, they are `remapIdentity`.
fn policy(setup: &Setup) -> File {
    // Signatures by GPG are not found below a path.
    let signed_by = if setup.address.prefix.is_root() {
        json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/containers/key.gpg"})
    } else {
        json!({"type": "sigstoreSigned", "keyPath": "/etc/pki/containers/cosign.pub"})
    };
    let requirement = |from: &str, signed: &str| {
        let mut requirement = signed_by.clone();
        requirement["signedIdentity"] =
            json!({"type": "remapIdentity", "prefix": from, "signedPrefix": signed});
        json!([requirement])
    };
    let mut scopes = serde_json::Map::new();
    for upstream in &setup.upstreams {
        let location = setup.location(upstream);
        scopes.insert(location.clone(), requirement(&location, &upstream.host));
        scopes.insert(upstream.host.clone(), json!([signed_by]));
    }
    if scopes.is_empty() {
        let name = setup.address.name();
        scopes.insert(name.clone(), requirement(&name, "registry.example"));
    }
    let policy: Value = json!({
        "default": [{"type": "reject"}],
        "transports": {"docker": scopes},
    });
    let about = "an example: only signed images, and no archives. Set the key and the name that was signed; with cosign the \
                 type is \"sigstoreSigned\", without \"keyType\"";
    File::new(
        "etc/containers/policy.json.example",
        about,
        format!("{policy:#}\n"),
    )
}
