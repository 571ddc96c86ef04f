//! Roles that a profile or the environment names:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>. The rules are those of
//! botocore.

use anyhow::{anyhow, bail};
use reqsign_aws_v4::Credential;

use crate::bucket::credentials::machine::{Machine, variable};
use crate::bucket::credentials::profiles::Profile;
use crate::bucket::credentials::sts::{self, Role};
use crate::bucket::credentials::{Found, SOURCES_OF_PROFILE, Source, cloud, environment, fresh};
use crate::error::escaped;

/// What `credential_source` may be.
const CREDENTIAL_SOURCES: [(&str, Source); 3] = [
    ("Environment", environment),
    ("EcsContainer", cloud::container),
    ("Ec2InstanceMetadata", cloud::instance),
];

/// A web identity, as Kubernetes and CI services with OIDC give it to a job.
pub(super) fn of_environment(machine: &Machine) -> Found {
    let Some(file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Ok(None);
    };
    let arn = variable("AWS_ROLE_ARN");
    let arn = arn.ok_or_else(|| anyhow!("AWS_ROLE_ARN is not set"))?;
    let session = variable("AWS_ROLE_SESSION_NAME");
    let role = Role {
        arn: &arn,
        session: session.as_deref(),
        external_id: None,
        seconds: None,
    };
    sts::assume_by_token(machine, &role, &file).map(Some)
}

pub(super) fn of_profile(machine: &Machine, profile: &Profile) -> Found {
    if profile.get("web_identity_token_file").is_some() {
        by_token_file(machine, profile)
    } else if profile.get("role_arn").is_some() {
        by_source(machine, profile, &mut vec![profile.name()])
    } else {
        Ok(None)
    }
}

pub(super) fn by_token_file(machine: &Machine, profile: &Profile) -> Found {
    match profile.get("web_identity_token_file") {
        Some(file) => sts::assume_by_token(machine, &role(profile)?, file).map(Some),
        None => Ok(None),
    }
}

fn role(profile: &Profile) -> anyhow::Result<Role<'_>> {
    let seconds = profile.get("duration_seconds");
    if seconds.is_some_and(|seconds| seconds.parse::<u32>().is_err()) {
        return Err(profile.wrong("has a `duration_seconds` that is not a number"));
    }
    Ok(Role {
        arn: profile.need("role_arn")?,
        session: profile.get("role_session_name"),
        external_id: profile.get("external_id"),
        seconds,
    })
}

/// `path` has the names of the profiles from the first to this one.
fn by_source<'a>(machine: &'a Machine, profile: &'a Profile, path: &mut Vec<&'a str>) -> Found {
    let role = role(profile)?;
    if profile.get("mfa_serial").is_some() {
        return Err(profile.wrong("has an `mfa_serial`, which is not supported"));
    }
    let found = match (
        profile.get("source_profile"),
        profile.get("credential_source"),
    ) {
        (Some(source), None) => of_source_profile(machine, source, path)?,
        (None, Some(name)) => {
            let source = CREDENTIAL_SOURCES.iter().find(|(other, _)| *other == name);
            let Some((_, source)) = source else {
                let what = format!("has an unknown `credential_source`, `{}`", escaped(name));
                return Err(profile.wrong(&what));
            };
            let found = fresh(source(machine)).map_err(|error| error.context(escaped(name)))?;
            found.ok_or_else(|| anyhow!("`{}` has no credentials", escaped(name)))?
        }
        (Some(_), Some(_)) => {
            return Err(profile.wrong("has both `source_profile` and `credential_source`"));
        }
        (None, None) => {
            return Err(profile.wrong("has a `role_arn`, but no `source_profile`"));
        }
    };
    sts::assume(machine, &role, &found).map(Some)
}

/// A profile may be its own source with keys; any other that leads back is a loop. Keys of a source win over its
/// role.
fn of_source_profile<'a>(
    machine: &'a Machine,
    name: &str,
    path: &mut Vec<&'a str>,
) -> anyhow::Result<Credential> {
    let source = machine.profiles()?.existing(name)?;
    let has_keys = ["aws_access_key_id", "aws_secret_access_key"]
        .iter()
        .any(|key| source.get(key).is_some());
    let is_own = path.last() == Some(&name);
    if path.contains(&name) && !(is_own && has_keys) {
        let names: Vec<String> = path.iter().chain([&name]).map(escaped).collect();
        bail!("profiles lead in a loop: {}", names.join(", "));
    }
    path.push(source.name());
    let has_role =
        source.get("role_arn").is_some() && source.get("web_identity_token_file").is_none();
    let found = if has_role && !has_keys {
        by_source(machine, source, path)?
    } else {
        let mut sources = SOURCES_OF_PROFILE.iter();
        let found = sources.find_map(|ask| fresh(ask(machine, source)).transpose());
        found.transpose()?
    };
    found.ok_or_else(|| source.wrong("has no credentials"))
}
