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
    command: |start| {
        let function = config("cloudfront", start);
        vec![
            "node".to_owned(),
            installed("clients/cloudfront.mjs")
                .to_str()
                .unwrap()
                .to_owned(),
            function.clone(),
            function + ".404.json",
            start.bucket.unwrap().address(),
            start.port.to_string(),
        ]
    },
    skills: Skills {
        by_catalogue: true,
        is_copy: true,
        own_errors: false,
        json_416: false,
        empty_referrers: false,
        ..Skills::NONE
    },
    otherwise: EDGE,
};
