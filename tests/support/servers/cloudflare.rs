//! Cloudflare's runtime with the Worker that `stillage config cloudflare` writes. Each content is stored once.

use std::fs;

use super::{EDGE, Server, Skills, config};
use crate::support::clients::installed;
use crate::support::site::{stillage, succeed};

pub(crate) static CLOUDFLARE: Server = Server {
    name: "cloudflare",
    bucket: None,
    command: |site, port, dir, _| {
        installed("clients/node_modules/miniflare");
        let mut plan = stillage(["publish", "--plan", "--blobs-once", "--layers-once"]);
        let plan = succeed(plan.arg(site)).stdout;
        fs::write(dir.join("plan"), plan).unwrap();
        vec![
            "node".to_owned(),
            installed("clients/cloudflare.mjs")
                .to_str()
                .unwrap()
                .to_owned(),
            config("cloudflare", site, port, dir, &[]),
            site.to_str().unwrap().to_owned(),
            dir.join("plan").to_str().unwrap().to_owned(),
            port.to_string(),
        ]
    },
    skills: Skills {
        by_catalogue: true,
        is_copy: true,
        sizes: true,
        pages: true,
        ..Skills::NONE
    },
    otherwise: EDGE,
};
