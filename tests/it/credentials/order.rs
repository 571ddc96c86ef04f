//! The order of sources, and those that have no file of their own here.

use super::Expected::{Error, Publisher};
use super::{BARE, CONTAINER, DEFAULT, INSTANCE, KEY, Row, SECRET, STS, WEB, check};

#[test]
fn sources_are_asked_in_order() {
    check(&[
        Row {
            name: "nothing",
            expected: Error(&[
                "(environment: none; web identity: none; profile: none; SSO: none; \
                 credential process: none; container: none; instance: none)",
                "hint: set AWS_ACCESS_KEY_ID",
            ]),
            ..BARE
        },
        Row {
            name: "environment before all others",
            variables: &[KEY, SECRET, STS, WEB[0], WEB[1], CONTAINER[0], CONTAINER[1]],
            credentials: DEFAULT,
            expected: Publisher("AKIAENV"),
            ..BARE
        },
        Row {
            name: "a token of the environment",
            variables: &[
                ("AWS_ACCESS_KEY_ID", "ASIAENV"),
                ("AWS_SECRET_ACCESS_KEY", "secret-of-ASIAENV"),
                ("AWS_SESSION_TOKEN", "token-of-ASIAENV"),
                ("AWS_CREDENTIAL_EXPIRATION", "2099-01-01T00:00:00Z"),
            ],
            expected: Publisher("ASIAENV"),
            ..BARE
        },
        Row {
            name: "half of the environment",
            variables: &[KEY],
            credentials: DEFAULT,
            expected: Error(&["(environment: AWS_SECRET_ACCESS_KEY is not set)"]),
            ..BARE
        },
        Row {
            name: "an empty variable is none",
            variables: &[KEY, ("AWS_ACCESS_KEY_ID", ""), ("AWS_PROFILE", "")],
            credentials: DEFAULT,
            expected: Publisher("AKIADEFAULT"),
            ..BARE
        },
        Row {
            name: "web identity before [default]",
            variables: &[STS, WEB[0], WEB[1]],
            credentials: DEFAULT,
            expected: Publisher("ASIAWEB"),
            ..BARE
        },
        Row {
            name: "profile before container",
            variables: &CONTAINER,
            credentials: DEFAULT,
            expected: Publisher("AKIADEFAULT"),
            ..BARE
        },
        Row {
            name: "container before instance",
            variables: &[CONTAINER[0], CONTAINER[1], INSTANCE[0], INSTANCE[1]],
            expected: Publisher("ASIACONTAINER"),
            ..BARE
        },
        Row {
            name: "a token in a file before one in a variable",
            variables: &[
                CONTAINER[0],
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token-of-nobody"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "{home}/container"),
                ("AWS_CONFIG_FILE", "/dev/null"),
            ],
            expected: Publisher("ASIACONTAINER"),
            ..BARE
        },
        Row {
            name: "instance",
            variables: &INSTANCE,
            expected: Publisher("ASIAINSTANCE"),
            ..BARE
        },
        Row {
            name: "keys of the credentials file before a process, a process before keys of the configuration",
            config: "[default]\naws_access_key_id = AKIACONFIG\naws_secret_access_key = secret-of-AKIACONFIG\n\
                     credential_process = sh '{home}/my tool' 'two words' one\n",
            expected: Publisher("ASIAPROCESS"),
            ..BARE
        },
        Row {
            name: "keys of the credentials file",
            config: "[default]\naws_access_key_id = AKIACONFIG\naws_secret_access_key = secret-of-AKIACONFIG\n\
                     credential_process = sh -c 'exit 1'\n",
            credentials: DEFAULT,
            expected: Publisher("AKIADEFAULT"),
            ..BARE
        },
        Row {
            name: "keys of the configuration",
            variables: &[("AWS_PROFILE", "my own")],
            config: "[profile 'my own']\n  # mine\n  aws_access_key_id = AKIACONFIG\n  s3 =\n    aws_access_key_id = no\n\
                     \x20 aws_secret_access_key = secret-of-AKIACONFIG\n",
            credentials: DEFAULT,
            expected: Publisher("AKIACONFIG"),
            ..BARE
        },
        Row {
            name: "files elsewhere",
            variables: &[
                ("AWS_CONFIG_FILE", "{home}/elsewhere"),
                ("AWS_SHARED_CREDENTIALS_FILE", "~/none"),
            ],
            credentials: DEFAULT,
            expected: Publisher("AKIAELSEWHERE@eu-north-1"),
            ..BARE
        },
    ]);
}

#[test]
fn the_region_is_that_of_the_profile_if_no_variable_has_one() {
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n";
    check(&[
        Row {
            name: "profile",
            variables: &[KEY, SECRET],
            config: CONFIG,
            expected: Publisher("AKIAENV@eu-west-1"),
            ..BARE
        },
        Row {
            name: "another profile",
            variables: &[KEY, SECRET, ("AWS_PROFILE", "other")],
            config: CONFIG,
            expected: Publisher("AKIAENV@eu-west-2"),
            ..BARE
        },
        Row {
            name: "AWS_DEFAULT_REGION",
            variables: &[KEY, SECRET, ("AWS_DEFAULT_REGION", "eu-west-3")],
            config: CONFIG,
            expected: Publisher("AKIAENV@eu-west-3"),
            ..BARE
        },
        Row {
            name: "AWS_REGION",
            variables: &[
                KEY,
                SECRET,
                ("AWS_DEFAULT_REGION", "eu-west-3"),
                ("AWS_REGION", "eu-west-4"),
            ],
            config: CONFIG,
            expected: Publisher("AKIAENV@eu-west-4"),
            ..BARE
        },
    ]);
}

#[test]
fn people_log_in() {
    const SSO: (&str, &str) = ("AWS_ENDPOINT_URL_SSO", "{cloud}/sso");
    const PROFILE: &str = "[default]\nsso_account_id = 123456789012\nsso_role_name = Publisher\nsso_region = eu-west-1\n\
                           sso_start_url = https://sso.example/start\n";
    check(&[
        Row {
            name: "an address",
            variables: &[SSO],
            config: PROFILE,
            credentials: DEFAULT,
            expected: Publisher("ASIASSO"),
            ..BARE
        },
        Row {
            name: "a session",
            variables: &[SSO],
            config: "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://sso.example/start\n\
                     [default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Publisher\n",
            expected: Publisher("ASIASSO"),
            ..BARE
        },
        Row {
            name: "a login that is over",
            variables: &[SSO],
            config: "[sso-session none]\nsso_region = eu-west-1\n\
                     [default]\nsso_session = none\nsso_account_id = 123456789012\nsso_role_name = Publisher\n",
            expected: Error(&["SSO: No valid SSO token found. Please run 'aws sso login' first"]),
            ..BARE
        },
        Row {
            name: "a role that is refused",
            variables: &[SSO],
            config: "[default]\nsso_account_id = 1\nsso_role_name = Publisher\nsso_region = eu-west-1\n\
                     sso_start_url = https://sso.example/start\n",
            expected: Error(&["profile: none; SSO: SSO endpoint returned status: 401"]),
            ..BARE
        },
        Row {
            name: "half of a profile",
            config: "[default]\nsso_account_id = 1\nsso_region = eu-west-1\nsso_start_url = x\n",
            expected: Error(&["SSO: profile `default` has no `sso_role_name`"]),
            ..BARE
        },
    ]);
}
