//! A running S3-compatible store, and a web server in front of its bucket as a CDN is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::nginx::Nginx;
use super::stores::{self, Kind};
use crate::support::clients::installed;
use crate::support::http;
use crate::support::process::Daemon;
use crate::support::site::{stillage, succeed};
use crate::support::temp::TempDir;

/// Does what the lines of `publish --plan` on standard input say; the arguments are the store and the site.
const UPLOAD: &str = r#"
import base64, boto3, json, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
for line in sys.stdin:
    do = json.loads(line)
    headers = {"Metadata": {}}
    if "content_type" in do:
        headers |= {"ContentType": do["content_type"], "CacheControl": do["cache_control"]}
    if "digest" in do:
        headers["Metadata"]["docker-content-digest"] = do["digest"]
    if do["operation"] == "put":
        body = base64.b64decode(do["base64"]) if "base64" in do else open(sys.argv[2] + "/" + do["file"], "rb").read()
        assert len(body) == do["size"], do
        s3.put_object(Bucket="site", Key=do["key"], Body=body, **headers)
    elif do["operation"] == "copy":
        s3.copy_object(Bucket="site", Key=do["key"], CopySource={"Bucket": "site", "Key": do["from"]}, MetadataDirective="REPLACE", **headers)
    else:
        s3.delete_object(Bucket="site", Key=do["key"])
"#;

/// Not everybody may write, but signatures are not checked.
const ANYBODY: &str = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// A running store with a bucket called `site`, which everybody may read; stopped when dropped.
pub(crate) struct Store {
    // Fields are dropped in order: the store ends before its folder goes.
    pub(super) daemons: Vec<Daemon>,
    /// Where those with credentials write.
    pub(crate) port: u16,
    /// Where everybody reads.
    pub(super) readers: u16,
    pub(super) dir: TempDir,
}

impl Store {
    /// The quickest of the stores.
    pub(crate) fn start() -> Self {
        stores::MOTO.start()
    }

    /// nginx in front of the bucket, as a CDN is.
    pub(crate) fn served(&self, kind: &Kind) -> Nginx {
        let missing = if kind.answers_v2() {
            ""
        } else {
            r#"location = /v2/ { default_type application/json; return 200 "{}"; }"#
        };
        Nginx::start_with(|port| {
            include_str!("bucket.conf")
                .replace("@PORT@", &port.to_string())
                .replace("@STORE@", &self.readers.to_string())
                .replace("@MISSING@", missing)
        })
    }

    /// `stillage publish SITE s3://site`, with credentials that nothing else knows.
    pub(crate) fn publish(&self, site: &Path, more: &[&str]) -> Command {
        self.publish_by(self.port, site, "", more)
    }

    /// The same by way of another port, below a prefix: empty, or with a slash at its end.
    pub(crate) fn publish_by(
        &self,
        port: u16,
        site: &Path,
        prefix: &str,
        more: &[&str],
    ) -> Command {
        let home = self.dir.path().join("home");
        fs::create_dir_all(&home).unwrap();
        let mut command = stillage(["publish"]);
        command
            .arg(site)
            .arg(format!("s3://site/{prefix}"))
            .args(["--endpoint", &format!("http://127.0.0.1:{port}")])
            .args(more)
            .env("HOME", home)
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        command
    }

    /// The address of the bucket for everybody.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/site", self.readers)
    }

    fn get(&self, path: &str) -> http::Response {
        // Of another host, the store would take the first label for the bucket.
        let host = [("Host", "127.0.0.1")];
        http::send(self.readers, "GET", &format!("/site{path}"), &host).unwrap()
    }

    /// Stores an object without any header of its own, as a tool that knows nothing of registries.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let headers = [
            ("Host", "127.0.0.1"),
            ("Authorization", ANYBODY),
            ("Content-Type", "binary/octet-stream"),
        ];
        let path = format!("/site/{key}");
        let answer = http::send_body(self.port, "PUT", &path, &headers, bytes).unwrap();
        assert_eq!(answer.status, 200, "{key}");
    }

    pub(crate) fn delete(&self, key: &str) {
        let headers = [("Host", "127.0.0.1"), ("Authorization", ANYBODY)];
        let answer = http::send(self.port, "DELETE", &format!("/site/{key}"), &headers).unwrap();
        assert_eq!(answer.status, 204, "{key}");
    }

    /// The keys below a prefix, at most 1,000, each with its `ETag` if the store lists it.
    pub(crate) fn list(&self, prefix: &str) -> BTreeMap<String, String> {
        // moto fails to list while others write.
        let mut answers = (0..20).map(|_| self.get(&format!("?list-type=2&prefix={prefix}")));
        let answer = answers.find(|answer| answer.status == 200).unwrap();
        let text = String::from_utf8(http::whole(&answer)).unwrap();
        let of = |object: &str, name: &str| {
            let rest = object.split(&format!("<{name}>")).nth(1)?;
            rest.split('<').next().map(str::to_owned)
        };
        let objects = text.split("<Contents>").skip(1);
        let pair = |object: &str| {
            let key = of(object, "Key").unwrap();
            let key = key.strip_prefix(prefix).unwrap().to_owned();
            (key, of(object, "ETag").unwrap_or_default())
        };
        objects.map(pair).collect()
    }

    /// Does what a plan says.
    pub(crate) fn upload(&self, site: &Path, plan: &[u8]) {
        let file = self.dir.path().join("plan");
        fs::write(&file, plan).unwrap();
        let mut python = Command::new(installed(".venv/bin/python"));
        let address = format!("http://127.0.0.1:{}", self.port);
        python.args(["-c", UPLOAD, &address]).arg(site);
        succeed(python.stdin(fs::File::open(&file).unwrap()));
    }

    pub(crate) fn published(&self, site: &Path, more: &[&str]) -> Output {
        succeed(&mut self.publish(site, more))
    }

    /// An object; `None` if there is none.
    pub(crate) fn object(&self, key: &str) -> Option<http::Response> {
        let answer = self.get(&format!("/{key}"));
        (answer.status == 200).then_some(answer)
    }

    pub(crate) fn json(&self, key: &str) -> serde_json::Value {
        let object = self.object(key).unwrap_or_else(|| panic!("no {key}"));
        serde_json::from_slice(&object.body).unwrap()
    }

    /// The requests to moto so far, one a line, without the time: `"PUT /site/key HTTP/1.1" 200`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
        let lines = log.lines().filter_map(|line| line.split_once("] "));
        lines.map(|(_, request)| request.to_owned()).collect()
    }
}
