//! moto, a model of AWS in Python: <https://docs.getmoto.org>. It starts quickly and has every ability, but checks
//! neither signatures nor checksums.

use super::{Kind, Started, python};
use crate::support::clients::installed;
use crate::support::http;
use crate::support::process::Daemon;
use crate::support::servers::free_port;

/// Makes a bucket that everybody may read, at the store whose address is the argument.
const MAKE_BUCKET: &str = r#"
import boto3, json, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
s3.create_bucket(Bucket="site")
everybody = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::site", "arn:aws:s3:::site/*"]}
s3.put_bucket_policy(Bucket="site", Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
"#;

pub(crate) static MOTO: Kind = Kind {
    name: "moto",
    start: |dir| {
        let port = free_port();
        let port_text = port.to_string();
        let args = ["-H", "127.0.0.1", "-p", &port_text];
        let program = installed(".venv/bin/moto_server");
        let daemon = Daemon::start(&program, &args, &dir.join("log"));
        let daemon = daemon.wait_until(|| http::send(port, "GET", "/", &[]).is_ok());
        python(MAKE_BUCKET, port);
        Started::alone(daemon, port)
    },
    is_long: false,
    limits: &[],
    is_atomic: true,
};
