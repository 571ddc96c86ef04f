//! Caddy as `stillage config caddy` sets it up.

use super::{Server, Skills, config};

pub(crate) static CADDY: Server = Server {
    name: "caddy",
    bucket: None,
    command: |start| {
        let file = config("caddy", start);
        ["caddy", "run", "--config", &file, "--adapter", "caddyfile"]
            .map(str::to_owned)
            .into()
    },
    skills: Skills {
        json_416: false,
        ..Skills::NONE
    },
    otherwise: &[],
};
