//! Caddy as `stillage config caddy` sets it up.

use super::{Server, Skills, config};

pub(crate) static CADDY: Server = Server {
    name: "caddy",
    bucket: None,
    command: |site, port, dir, _| {
        let file = config("caddy", site, port, dir, &[]);
        ["caddy", "run", "--config", &file, "--adapter", "caddyfile"]
            .map(str::to_owned)
            .into()
    },
    skills: Skills::NONE,
    otherwise: &[],
};
