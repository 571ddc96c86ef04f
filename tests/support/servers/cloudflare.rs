//! Cloudflare's runtime with the Worker that `stillage config cloudflare` writes. Each content is stored once.

use std::fs;

use super::{EDGE, Server, Skills, config};
use crate::support::clients::installed;
use crate::support::site::{stillage, succeed};

pub(crate) static CLOUDFLARE: Server = Server {
    name: "cloudflare",
    bucket: None,
    command: |start| {
        installed("clients/node_modules/miniflare");
        let mut plan = stillage(["publish", "--plan", "--blobs-once", "--layers-once"]);
        let plan = succeed(plan.arg(start.site)).stdout;
        fs::write(start.dir.join("plan"), plan).unwrap();
        vec![
            "node".to_owned(),
            installed("clients/cloudflare.mjs")
                .to_str()
                .unwrap()
                .to_owned(),
            config("cloudflare", start),
            start.site.to_str().unwrap().to_owned(),
            start.dir.join("plan").to_str().unwrap().to_owned(),
            start.port.to_string(),
        ]
    },
    skills: Skills {
        by_catalogue: true,
        is_copy: true,
        sizes: true,
        search: true,
        pages: true,
        ..Skills::NONE
    },
    otherwise: EDGE,
};
