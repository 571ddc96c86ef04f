//! Where `publish` finds credentials: each row is a machine, and who publishes from it or what the error says.
#![allow(
    clippy::too_many_lines,
    clippy::needless_update,
    reason = "a table of cases is long, and reads best without ceremony"
)]

mod failures;
mod order;
mod roles;

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::cloud::{CONTAINER_TOKEN, Cloud, SSO_TOKEN};
use crate::support::site::{build, stderr, stillage};
use crate::support::temp::TempDir;

/// The text of variables and files may have `{home}`, and `{cloud}`, the address of the services.
struct Row {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    config: &'static str,
    credentials: &'static str,
    expected: Expected,
}

enum Expected {
    /// `KEY`, or `KEY@REGION`.
    Publisher(&'static str),
    /// Words of the error.
    Error(&'static [&'static str]),
}

const BARE: Row = Row {
    name: "",
    variables: &[],
    config: "",
    credentials: "",
    expected: Expected::Error(&[]),
};

const BASE: &str =
    "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret-of-AKIABASE\n";
const DEFAULT: &str =
    "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = secret-of-AKIADEFAULT\n";
const STS: (&str, &str) = ("AWS_ENDPOINT_URL_STS", "{cloud}/sts");
const KEY: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIAENV");
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "secret-of-AKIAENV");
const WEB: [(&str, &str); 2] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "{home}/token"),
    (
        "AWS_ROLE_ARN",
        "arn:aws:iam::123456789012:role/web.by.token-of-oidc",
    ),
];
const CONTAINER: [(&str, &str); 2] = [
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{cloud}/container"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN),
];
const INSTANCE: [(&str, &str); 2] = [
    ("AWS_EC2_METADATA_DISABLED", "false"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{cloud}/"),
];

fn check(rows: &[Row]) {
    let site = TempDir::new("site");
    build(&["fixtures/docker-20.10.tar"], site.path());
    let cloud = Cloud::start();
    for row in rows {
        let home = TempDir::new("home");
        let output = publish(row, site.path(), home.path(), &cloud);
        let messages = stderr(&output);
        let name = row.name;
        for secret in ["secret-of", "token-of"] {
            let shown = messages.replace("by.token-of-oidc", "");
            assert!(!shown.contains(secret), "{name}: {messages}");
        }
        match row.expected {
            Expected::Publisher(publisher) => {
                assert!(output.status.success(), "{name}: {messages}");
                let region = if publisher.contains('@') {
                    ""
                } else {
                    "@us-east-1"
                };
                assert_eq!(
                    cloud.publishers(),
                    [format!("{publisher}{region}")],
                    "{name}"
                );
            }
            Expected::Error(words) => {
                assert_eq!(output.status.code(), Some(2), "{name}: {messages}");
                assert_eq!(cloud.publishers(), [""; 0], "{name}");
                for word in words {
                    let word = filled(word, home.path(), &cloud);
                    assert!(messages.contains(&word), "{name}: {word}: {messages}");
                }
            }
        }
    }
}

fn filled(text: &str, home: &Path, cloud: &Cloud) -> String {
    text.replace("{home}", home.to_str().unwrap())
        .replace("{cloud}", &format!("http://127.0.0.1:{}", cloud.port))
        .replace("{role}", "arn:aws:iam::123456789012:role")
}

/// `stillage publish --dry-run` on a machine of its own.
fn publish(row: &Row, site: &Path, home: &Path, cloud: &Cloud) -> Output {
    let write =
        |name: &str, text: &str| fs::write(home.join(name), filled(text, home, cloud)).unwrap();
    fs::create_dir_all(home.join(".aws/sso/cache")).unwrap();
    for (name, text) in [("config", row.config), ("credentials", row.credentials)] {
        if !text.is_empty() {
            write(&format!(".aws/{name}"), text);
        }
    }
    write("token", "token-of-oidc\n");
    write("container", CONTAINER_TOKEN);
    write("my tool", TOOL);
    write("elsewhere", ELSEWHERE);
    let login = format!(r#"{{"accessToken": "{SSO_TOKEN}", "expiresAt": "2099-01-01T00:00:00Z"}}"#);
    for name in SSO_CACHE {
        write(&format!(".aws/sso/cache/{name}.json"), &login);
    }
    let mut command = stillage([
        "publish",
        site.to_str().unwrap(),
        "s3://bucket",
        "--dry-run",
    ]);
    command
        .args(["--endpoint", &filled("{cloud}", home, cloud)])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    for (name, value) in row.variables {
        command.env(name, filled(value, home, cloud));
    }
    command.output().unwrap()
}

/// A credential process that wants two words as one argument.
const TOOL: &str = r#"
if [ "$1" = "two words" ] && [ "$2" = one ]; then
    echo '{"Version": 1, "AccessKeyId": "ASIAPROCESS", "SecretAccessKey": "secret-of-ASIAPROCESS",'
    echo '"SessionToken": "token-of-ASIAPROCESS", "Expiration": "2099-01-01T00:00:00Z"}'
else
    printf '\033[2Jlocked\nsecret-of-tool\n' >&2
    exit 3
fi
"#;

const ELSEWHERE: &str = "[default]\naws_access_key_id = AKIAELSEWHERE\n\
                         aws_secret_access_key = secret-of-AKIAELSEWHERE\nregion = eu-north-1\n";

/// The SHA-1 of `https://sso.example/start` and of `corp`, as the AWS tools name the files of tokens.
const SSO_CACHE: [&str; 2] = [
    "98df91031e87f97bfc088c045be6442dc5d70b2a",
    "ee0bfd2552fbd840c02cc48b6e823320543c450f",
];
