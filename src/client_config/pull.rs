//! Commands that pull each reference with a tag.

use std::fmt::Write as _;

use crate::client_config::{Client, File, HUB, Setup};

pub(super) const CLIENT: Client = Client {
    name: "pull",
    about: "commands that pull each image",
    files,
};

fn files(setup: &Setup) -> Vec<File> {
    let (site, hub) = (setup.address.name(), setup.docker_hub());
    let mut text = String::new();
    for (repository, repo) in &setup.catalogue.repositories {
        let upstream = setup.upstream_of(repository).map(|(upstream, rest)| {
            let is_short = upstream.host == HUB && !rest.contains('/');
            let library = if is_short { "library/" } else { "" };
            (upstream, format!("{}/{library}{rest}", upstream.host))
        });
        let tags = repo.tags.keys().filter(|tag| tag.attached_to().is_none());
        for tag in tags {
            let own = format!("{site}/{repository}:{tag}");
            let by_mirror = upstream
                .as_ref()
                .map(|(upstream, name)| (upstream, format!("{name}:{tag}")));
            // Docker mirrors Docker Hub alone.
            let docker = match &by_mirror {
                Some((upstream, name)) if hub == Some(**upstream) => name,
                _ => &own,
            };
            let others = by_mirror.as_ref().map_or(&own, |(_, name)| name);
            let _ = writeln!(text, "docker pull {docker}");
            let _ = writeln!(text, "podman pull {others}");
            let _ = writeln!(
                text,
                "ctr images pull --hosts-dir /etc/containerd/certs.d {others}"
            );
            let _ = writeln!(text, "skopeo copy docker://{others} dir:FOLDER\n");
        }
    }
    vec![File::new("pull.txt", "commands", text)]
}
