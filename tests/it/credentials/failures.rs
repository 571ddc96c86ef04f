//! A source that is configured but fails.

use super::Expected::Error;
use super::{BARE, BASE, CONTAINER, DEFAULT, INSTANCE, Row, STS, WEB, check};

#[test]
fn what_fails_is_said() {
    check(&[
        Row {
            name: "a profile that does not exist",
            variables: &[("AWS_PROFILE", "none\u{1b}[2J")],
            credentials: DEFAULT,
            expected: Error(&[
                "web identity: none; profile: profile `none\\x1b[2J` does not exist)",
            ]),
            ..BARE
        },
        Row {
            name: "a source profile that does not exist",
            config: "[default]\nrole_arn = {role}/one.by.AKIABASE\nsource_profile = gone\n",
            expected: Error(&["profile: profile `gone` does not exist)"]),
            ..BARE
        },
        Row {
            name: "a token file that does not exist",
            variables: &[STS, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/none/token"), WEB[1]],
            credentials: DEFAULT,
            expected: Error(&["(environment: none; web identity: `/none/token` does not exist)"]),
            ..BARE
        },
        Row {
            name: "a token that is refused",
            variables: &[STS, WEB[0], ("AWS_ROLE_ARN", "{role}/web.by.other")],
            expected: Error(&[
                "web identity: `arn:aws:iam::123456789012:role/web.by.other` is refused: \
                               InvalidIdentityToken: not to ...",
            ]),
            ..BARE
        },
        Row {
            name: "a token without a role",
            variables: &[WEB[0]],
            expected: Error(&["web identity: AWS_ROLE_ARN is not set"]),
            ..BARE
        },
        Row {
            name: "a role that is refused",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/outside.by.AKIABASE\nsource_profile = base\nexternal_id = other\n",
            credentials: BASE,
            expected: Error(&[
                "role/outside.by.AKIABASE` is refused: AccessDenied: not to AKIABASE",
            ]),
            ..BARE
        },
        Row {
            name: "a role that is refused for a wrong secret",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/one.by.AKIABASE\nsource_profile = base\n",
            credentials: "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret-of-nobody\n",
            expected: Error(&["role/one.by.AKIABASE` is refused: AccessDenied"]),
            ..BARE
        },
        Row {
            name: "a service that does not answer",
            variables: &[
                ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
                WEB[0],
                WEB[1],
            ],
            expected: Error(&["web identity: cannot reach `127.0.0.1:1`: "]),
            ..BARE
        },
        Row {
            name: "a role of the past",
            variables: &[
                ("AWS_ENDPOINT_URL_STS", "{cloud}/expired/sts"),
                WEB[0],
                WEB[1],
            ],
            expected: Error(&["web identity: expired)"]),
            ..BARE
        },
        Row {
            name: "an instance of the past",
            variables: &[
                INSTANCE[0],
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{cloud}/expired"),
            ],
            expected: Error(&["container: none; instance: expired)"]),
            ..BARE
        },
        Row {
            name: "an instance without a service",
            variables: &[
                INSTANCE[0],
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
            ],
            expected: Error(&["instance: failed to connect to IMDS: cannot reach `127.0.0.1:1`: "]),
            ..BARE
        },
        Row {
            name: "a container with a wrong token",
            variables: &[
                CONTAINER[0],
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token-of-nobody"),
            ],
            expected: Error(&["container: ECS task not authorized"]),
            ..BARE
        },
        Row {
            name: "a container without its token",
            variables: &[
                CONTAINER[0],
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/none/token"),
            ],
            expected: Error(&[
                "container: failed to read ECS auth token file: `/none/token` does not exist)",
            ]),
            ..BARE
        },
        Row {
            name: "a container in the clear",
            variables: &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.org/")],
            expected: Error(&[
                "container: `http://example.org/` is neither HTTPS nor of this machine)",
            ]),
            ..BARE
        },
        Row {
            name: "a process that fails",
            config: "[default]\ncredential_process = sh \"{home}/my tool\" 'token-of-argument'\n",
            expected: Error(&["credential process: `sh` failed (exit status: 3): \\x1b[2Jlocked)"]),
            ..BARE
        },
        Row {
            name: "a process that prints nonsense",
            config: "[default]\ncredential_process = echo '\"secret-of-process\"'\n",
            expected: Error(&["credential process: `echo` does not print credentials in JSON)"]),
            ..BARE
        },
        Row {
            name: "a process that does not exist",
            config: "[default]\ncredential_process = '/none/a tool' x\n",
            expected: Error(&["credential process: cannot run `/none/a tool`: No such file"]),
            ..BARE
        },
        Row {
            name: "a process with a quote that is not closed",
            config: "[default]\ncredential_process = tool 'x\n",
            expected: Error(&[
                "profile `default` has a `credential_process` that cannot be split into words",
            ]),
            ..BARE
        },
        Row {
            name: "half of a key",
            credentials: "[default]\naws_access_key_id = AKIADEFAULT\n",
            expected: Error(&["profile: profile `default` has no `aws_secret_access_key`"]),
            ..BARE
        },
        Row {
            name: "a broken file",
            variables: &[("AWS_REGION", "eu-west-1")],
            credentials: "[default]\nsecret-of-file\n",
            expected: Error(&[
                "profile: cannot read `{home}/.aws/credentials`: line 2 is not `name = value`",
            ]),
            ..BARE
        },
    ]);
}
