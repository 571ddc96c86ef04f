//! Profiles with a `role_arn`.

use super::Expected::{Error, Publisher};
use super::{BARE, BASE, CONTAINER, DEFAULT, INSTANCE, KEY, Row, SECRET, STS, check};

#[test]
fn roles_of_profiles() {
    check(&[
        Row {
            name: "a source profile",
            variables: &[STS, ("AWS_PROFILE", "one")],
            config: "[profile one]\nrole_arn = {role}/one.by.AKIABASE\nsource_profile = base\n",
            credentials: BASE,
            expected: Publisher("ASIAONE"),
            ..BARE
        },
        Row {
            name: "a chain",
            variables: &[STS, ("AWS_PROFILE", "three")],
            config: "[profile one]\nrole_arn = {role}/one.by.AKIABASE\nsource_profile = base\n\
                     [profile two]\nrole_arn = {role}/two.by.ASIAONE\nsource_profile = one\n\
                     [profile three]\nrole_arn = {role}/three.by.ASIATWO\nsource_profile = two\n",
            credentials: BASE,
            expected: Publisher("ASIATHREE"),
            ..BARE
        },
        Row {
            name: "its own source",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/own.by.AKIADEFAULT\nsource_profile = default\n",
            credentials: DEFAULT,
            expected: Publisher("ASIAOWN"),
            ..BARE
        },
        Row {
            name: "its own source without keys",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/own.by.AKIADEFAULT\nsource_profile = default\n",
            expected: Error(&["profile: profiles lead in a loop: default, default"]),
            ..BARE
        },
        Row {
            name: "a loop",
            variables: &[STS, ("AWS_PROFILE", "a")],
            config: "[profile a]\nrole_arn = {role}/a.by.b\nsource_profile = b\n\
                     [profile b]\nrole_arn = {role}/b.by.a\nsource_profile = a\n",
            expected: Error(&["profile: profiles lead in a loop: a, b, a)"]),
            ..BARE
        },
        Row {
            name: "what a role wants to know",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/outside.by.ASIANAMED\nsource_profile = named\nexternal_id = tenant/1\n\
                     [profile named]\nrole_arn = {role}/named.by.AKIABASE\nsource_profile = base\n\
                     role_session_name = me@home\nduration_seconds = 1800\n",
            credentials: BASE,
            expected: Publisher("ASIAOUTSIDE"),
            ..BARE
        },
        Row {
            name: "a token file",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/file.by.token-of-oidc\nweb_identity_token_file = {home}/token\n",
            expected: Publisher("ASIAFILE"),
            ..BARE
        },
        Row {
            name: "a token file of a source",
            variables: &[STS, ("AWS_PROFILE", "two")],
            config: "[profile file]\nrole_arn = {role}/file.by.token-of-oidc\nweb_identity_token_file = {home}/token\n\
                     [profile two]\nrole_arn = {role}/two.by.ASIAFILE\nsource_profile = file\n",
            expected: Publisher("ASIATWO"),
            ..BARE
        },
        Row {
            name: "the environment as a source",
            variables: &[
                ("AWS_ENDPOINT_URL", "{cloud}/sts"),
                KEY,
                SECRET,
                ("AWS_PROFILE", "one"),
            ],
            config: "[profile one]\nrole_arn = {role}/one.by.AKIAENV\ncredential_source = Environment\n",
            // As in botocore, the environment is also asked before the profile.
            expected: Publisher("AKIAENV"),
            ..BARE
        },
        Row {
            name: "an empty environment as a source",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/one.by.AKIAENV\ncredential_source = Environment\n",
            expected: Error(&["profile: `Environment` has no credentials"]),
            ..BARE
        },
        Row {
            name: "a container as a source",
            variables: &[
                ("AWS_ENDPOINT_URL", "{cloud}/sts"),
                CONTAINER[0],
                CONTAINER[1],
            ],
            config: "[default]\nrole_arn = {role}/one.by.ASIACONTAINER\ncredential_source = EcsContainer\n",
            expected: Publisher("ASIAONE"),
            ..BARE
        },
        Row {
            name: "an instance as a source",
            variables: &[STS, INSTANCE[0], INSTANCE[1]],
            config: "[default]\nrole_arn = {role}/one.by.ASIAINSTANCE\ncredential_source = Ec2InstanceMetadata\n",
            expected: Publisher("ASIAONE"),
            ..BARE
        },
        Row {
            name: "a process as a source",
            variables: &[STS, ("AWS_PROFILE", "two")],
            config: "[profile tool]\ncredential_process = sh '{home}/my tool' 'two words' one\n\
                     [profile two]\nrole_arn = {role}/two.by.ASIAPROCESS\nsource_profile = tool\n",
            expected: Publisher("ASIATWO"),
            ..BARE
        },
        Row {
            name: "a code of a device",
            variables: &[STS],
            config: "[default]\nrole_arn = {role}/one.by.AKIABASE\nsource_profile = base\nmfa_serial = arn:aws:iam::1:mfa/me\n",
            credentials: BASE,
            expected: Error(&[
                "profile: profile `default` has an `mfa_serial`, which is not supported",
            ]),
            ..BARE
        },
        Row {
            name: "no source",
            config: "[default]\nrole_arn = {role}/one.by.AKIABASE\n",
            expected: Error(&[
                "profile: profile `default` has a `role_arn`, but no `source_profile`",
            ]),
            ..BARE
        },
        Row {
            name: "a source without credentials",
            config: "[default]\nrole_arn = {role}/one.by.AKIABASE\nsource_profile = empty\n[profile empty]\nregion = x-1\n",
            expected: Error(&["profile: profile `empty` has no credentials"]),
            ..BARE
        },
        Row {
            name: "an unknown source",
            config: "[default]\nrole_arn = {role}/one.by.AKIABASE\ncredential_source = Moon\n",
            expected: Error(&["profile `default` has an unknown `credential_source`, `Moon`"]),
            ..BARE
        },
    ]);
}
