//! Credentials as the AWS tools find them. Sources are asked in an order; the first that has credentials wins, and
//! one that is configured but fails ends the search, as in botocore: nobody publishes as somebody else because a
//! token has expired.
//! ```text
//! cloud.rs     SSO, containers, instances
//! machine.rs   what sources use: variables, profiles, HTTP
//! process.rs   `credential_process`
//! profiles.rs  the two files of profiles
//! role.rs      roles of profiles and of the environment
//! sts.rs       the service that lends roles
//! ```

use anyhow::{anyhow, bail};
use reqsign_aws_v4::Credential;
use reqsign_core::{Context, Error, ProvideCredential, SigningCredential as _};

use crate::bucket::credentials::machine::{Machine, variable};
use crate::bucket::credentials::profiles::{Profile, Profiles};
use crate::error::escaped;

mod cloud;
mod machine;
mod process;
mod profiles;
mod role;
mod sts;

pub(super) use machine::{block_on, context, domain};

/// `None` if a source is not configured.
type Found = anyhow::Result<Option<Credential>>;
type Source = fn(&Machine) -> Found;
type ProfileSource = fn(&Machine, &Profile) -> Found;

/// The order of botocore, but for roles of the environment: there they come after a profile's `role_arn`, and a
/// `[default]` of a machine would win over what a job was given.
const SOURCES: [(&str, Source); 9] = [
    ("environment", environment),
    ("web identity", role::of_environment),
    ("profile", |machine| of_profile(machine, role::of_profile)),
    ("SSO", |machine| of_profile(machine, cloud::sso)),
    ("profile", |machine| of_profile(machine, credentials_file)),
    ("credential process", |machine| {
        of_profile(machine, process::run)
    }),
    ("profile", |machine| of_profile(machine, config_file)),
    ("container", cloud::container),
    ("instance", cloud::instance),
];

/// Where a `source_profile` has its credentials, in the order of botocore.
const SOURCES_OF_PROFILE: [ProfileSource; 5] = [
    role::by_token_file,
    cloud::sso,
    credentials_file,
    process::run,
    config_file,
];

/// The region of the profile that is in use.
pub fn region_of_profile() -> anyhow::Result<Option<String>> {
    let profiles = Profiles::load()?;
    let profile = profiles.get(&machine::profile_name());
    Ok(profile.and_then(|profile| profile.get("region").map(ToOwned::to_owned)))
}

/// All sources.
#[derive(Debug)]
pub(super) struct Chain {
    /// Of the bucket, and of the services that give credentials.
    region: String,
}

impl Chain {
    pub(super) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
        }
    }
}

impl ProvideCredential for Chain {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
        let machine = Machine::new(context, &self.region);
        let mut tried: Vec<String> = Vec::new();
        for (name, source) in SOURCES {
            let (reason, is_last) = match fresh(source(&machine)) {
                Ok(Some(credential)) => return Ok(Some(credential)),
                Ok(None) => (format!("{name}: none"), false),
                Err(error) => (format!("{name}: {error:#}"), true),
            };
            if !tried.contains(&reason) {
                tried.push(reason);
            }
            if is_last {
                break;
            }
        }
        let tried = tried.join("; ");
        Err(Error::credential_invalid(format!(
            "no credentials found ({tried})"
        )))
    }
}

/// What has not expired.
fn fresh(found: Found) -> Found {
    match found? {
        Some(credential) if !credential.is_valid() => bail!("expired"),
        found => Ok(found),
    }
}

fn environment(_: &Machine) -> Found {
    let Some(id) = variable("AWS_ACCESS_KEY_ID") else {
        return Ok(None);
    };
    let secret = variable("AWS_SECRET_ACCESS_KEY")
        .ok_or_else(|| anyhow!("AWS_SECRET_ACCESS_KEY is not set"))?;
    let expiration = variable("AWS_CREDENTIAL_EXPIRATION");
    let token = variable("AWS_SESSION_TOKEN");
    credential(id, secret, token, expiration.as_deref()).map(Some)
}

fn of_profile(machine: &Machine, source: ProfileSource) -> Found {
    match machine.profile()? {
        Some(profile) => source(machine, profile),
        None => Ok(None),
    }
}

fn credentials_file(_: &Machine, profile: &Profile) -> Found {
    keys(profile, |name| profile.credentials.get(name))
}

fn config_file(_: &Machine, profile: &Profile) -> Found {
    keys(profile, |name| profile.config.get(name))
}

fn keys<'a>(profile: &Profile, get: impl Fn(&str) -> Option<&'a String>) -> Found {
    let Some(id) = get("aws_access_key_id") else {
        return Ok(None);
    };
    let secret = get("aws_secret_access_key");
    let secret = secret.ok_or_else(|| profile.wrong("has no `aws_secret_access_key`"))?;
    let token = get("aws_session_token").cloned();
    credential(id.clone(), secret.clone(), token, None).map(Some)
}

fn credential(
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<&str>,
) -> anyhow::Result<Credential> {
    let time = |text: &str| {
        let time = text.parse();
        time.map_err(|_| anyhow!("`{}` is not a time", escaped(text)))
    };
    if access_key_id.is_empty() || secret_access_key.is_empty() {
        bail!("a key is empty");
    }
    Ok(Credential {
        access_key_id,
        secret_access_key,
        session_token,
        expires_in: expiration.map(time).transpose()?,
    })
}
