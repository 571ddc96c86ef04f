//! The built-in server.

use super::{Server, Skills};

pub(crate) static SERVE: Server = Server {
    name: "serve",
    bucket: None,
    command: |start| {
        let listen = format!("{}{}", start.host, start.port);
        [
            env!("CARGO_BIN_EXE_stillage"),
            "serve",
            start.site.to_str().unwrap(),
            "--listen",
            &listen,
        ]
        .map(str::to_owned)
        .into()
    },
    skills: Skills {
        by_catalogue: false,
        sizes: true,
        search: true,
        queries: true,
        pages: true,
        ..Skills::NONE
    },
    otherwise: &[],
};
