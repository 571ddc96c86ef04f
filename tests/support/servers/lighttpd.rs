//! lighttpd as `stillage config lighttpd` sets it up.

use super::{Server, Skills, config};

pub(crate) static LIGHTTPD: Server = Server {
    name: "lighttpd",
    bucket: None,
    command: |site, port, dir, _| {
        let file = config("lighttpd", site, port, dir, &[]);
        ["lighttpd", "-D", "-f", &file].map(str::to_owned).into()
    },
    skills: Skills {
        sizes: true,
        pages: true,
        ..Skills::NONE
    },
    otherwise: &[],
};
