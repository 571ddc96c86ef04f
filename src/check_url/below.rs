//! A site below a path of a host: which clients find it there.
//!
//! Clients look for a registry at the root of a host. Some take a path from their configuration: containerd
//! (`override_path` in hosts.toml) and Docker since 25 (`registry-mirrors`). The rest reach a site below `/hub` only by
//! names below `hub`, for which they ask `/v2/hub/NAME/..` at the root.

use crate::check_url::client::{Ask, Client};
use crate::check_url::{Probe, kinds};
use crate::spec::digest::Digest;
use crate::spec::manifest::MAX_JSON;

/// Adds a note that says who finds the site below a path such as `/hub`.
pub(super) fn path(probe: &Probe<'_>, prefix: &str) {
    let name = prefix.trim_start_matches('/');
    let (breaks, what) = match (by_name(probe, prefix), probe.offer.v1) {
        (false, _) => (
            kinds::ROOT_ONLY,
            "the site is below a path: only containerd (`override_path`) and Docker 25 and later (as a mirror of \
             Docker Hub) find it, if they are configured with the path; others look at the root of the host"
                .to_owned(),
        ),
        (true, false) => (
            &[][..],
            format!("the site is below a path, where clients find its images as `HOST/{name}/NAME`"),
        ),
        (true, true) => (
            kinds::V1_ALONE,
            format!(
                "the site is below a path, where clients find its images as `HOST/{name}/NAME`, but only over v2"
            ),
        ),
    };
    probe.findings.add_for(breaks, &kinds::PATH, "/", what);
}

/// Whether the root of the host has a registry that answers for the site's names, each below the path.
fn by_name(probe: &Probe<'_>, prefix: &str) -> bool {
    let root = probe.client.at_root();
    let tagged = probe.offer.repositories.iter().find_map(|(name, repo)| {
        let (tag, digest) = repo.tags.first_key_value()?;
        Some((format!("{name}/manifests/{tag}"), *digest))
    });
    let Some((manifest, digest)) = tagged.filter(|_| probe.offer.v2) else {
        return false;
    };
    let expected = digest.or_else(|| digest_at(probe.client, &format!("/v2/{manifest}")));
    let is_registry = root
        .ask(Ask::get("/v2/"))
        .is_ok_and(|answer| answer.status == 200);
    is_registry
        && expected.is_some()
        && digest_at(&root, &format!("/v2{prefix}/{manifest}")) == expected
}

/// The digest of a manifest as a server sends it; `None` if it does not.
fn digest_at(client: &Client, path: &str) -> Option<Digest> {
    let plain = [("Accept-Encoding", "identity")];
    let answer = client.ask(Ask::get(path).with(&plain)).ok()?;
    if answer.status != 200 {
        return None;
    }
    Some(Digest::of(&answer.read(MAX_JSON).ok()?))
}
