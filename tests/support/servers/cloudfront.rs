//! `CloudFront`, as its documentation has it, with the function that `stillage config cloudfront` writes, in front of a
//! bucket. Each blob is stored once.

use super::bucket::Store;
use super::{EDGE, Server, Skills, config};
use crate::support::clients::installed;

pub(crate) static CLOUDFRONT: Server = Server {
    name: "cloudfront",
    bucket: Some(|site| {
        let store = Store::start();
        store.published(site, &["--blobs-once"]);
        store
    }),
    command: |site, port, dir, bucket| {
        let function = config("cloudfront", site, port, dir, &[]);
        vec![
            "node".to_owned(),
            installed("clients/cloudfront.mjs")
                .to_str()
                .unwrap()
                .to_owned(),
            function.clone(),
            function + ".404.json",
            bucket.unwrap().address(),
            port.to_string(),
        ]
    },
    skills: Skills {
        by_catalogue: true,
        is_copy: true,
        own_errors: false,
        empty_referrers: false,
        ..Skills::NONE
    },
    otherwise: EDGE,
};
