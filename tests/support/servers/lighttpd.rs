//! lighttpd as `stillage config lighttpd` sets it up.

use super::{Server, Skills, config};

pub(crate) static LIGHTTPD: Server = Server {
    name: "lighttpd",
    bucket: None,
    command: |start| {
        let file = config("lighttpd", start);
        ["lighttpd", "-D", "-f", &file].map(str::to_owned).into()
    },
    skills: Skills {
        sizes: true,
        search: true,
        pages: true,
        ..Skills::NONE
    },
    otherwise: &[],
};
