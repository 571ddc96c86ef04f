//! The built-in server.

use super::{Server, Skills};

pub(crate) static SERVE: Server = Server {
    name: "serve",
    bucket: None,
    command: |site, port, _, _| {
        let listen = format!("127.0.0.1:{port}");
        [
            env!("CARGO_BIN_EXE_stillage"),
            "serve",
            site.to_str().unwrap(),
            "--listen",
            &listen,
        ]
        .map(str::to_owned)
        .into()
    },
    skills: Skills {
        by_catalogue: false,
        sizes: true,
        queries: true,
        pages: true,
        ..Skills::NONE
    },
    otherwise: &[],
};
