//! Apache httpd with the `.htaccess` files of a site built with `--server apache`.

use std::fs;
use std::path::Path;

use super::{Server, Skills, config};

const SKILLS: Skills = Skills {
    by_catalogue: true,
    ..Skills::NONE
};

/// Apache as `stillage config apache` sets it up.
pub(crate) static APACHE: Server = Server {
    name: "apache",
    bucket: None,
    command: |start| command(&config("apache", start), start.dir),
    skills: SKILLS,
    otherwise: &[],
};

/// Apache as somebody else set it up, started by a user without rights: the site has all that is known
/// of it.
pub(crate) static SHARED_HOST: Server = Server {
    name: "apache-shared-host",
    bucket: None,
    command: |start| {
        let text = include_str!("shared_host.conf")
            .replace("@PORT@", &start.port.to_string())
            .replace("@SITE@", &start.site.to_str().unwrap().replace('"', "\\\""));
        let file = start.dir.join("config");
        fs::write(&file, text).unwrap();
        let mut all = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
        .map(str::to_owned)
        .to_vec();
        all.extend(command(file.to_str().unwrap(), start.dir));
        all
    },
    skills: SKILLS,
    otherwise: &[
        ("GET /v1/repositories/sample%2F", ENCODED_SLASH),
        ("HEAD /v1/repositories/sample%2F", ENCODED_SLASH),
        ("GET /v1/repositories/library%2F", ENCODED_SLASH),
        ("HEAD /v1/repositories/library%2F", ENCODED_SLASH),
        ("GET /v2/..%2f", ENCODED_SLASH),
        ("HEAD /v2/..%2f", ENCODED_SLASH),
        ("GET /v2/sample/hello/manifests/..%2f", ENCODED_SLASH),
        ("HEAD /v2/sample/hello/manifests/..%2f", ENCODED_SLASH),
        ("GET /v2/tiny/manifests/..%2f", ENCODED_SLASH),
        ("HEAD /v2/tiny/manifests/..%2f", ENCODED_SLASH),
        ("GET /v2/library/tiny/manifests/..%2f", ENCODED_SLASH),
        ("HEAD /v2/library/tiny/manifests/..%2f", ENCODED_SLASH),
        ("GET /../etc/passwd", EARLY),
        ("HEAD /../etc/passwd", EARLY),
        ("TRACE /", EARLY),
    ],
};

const ENCODED_SLASH: &str =
    "`AllowEncodedSlashes` is the host's: by default such a path is not found";
const EARLY: &str = "Apache answers before it has read any `.htaccess`";

fn command(file: &str, dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    [
        "/usr/sbin/apache2",
        "-d",
        dir,
        "-f",
        file,
        "-D",
        "FOREGROUND",
    ]
    .map(str::to_owned)
    .into()
}
