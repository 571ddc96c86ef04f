//! Sources that are services: IAM Identity Center (SSO), and what containers and instances are given. Reqsign asks
//! them; where its settings differ from those of the AWS tools, they are made here.

use std::net::IpAddr;

use anyhow::bail;
use reqsign_aws_v4::{
    Credential, ECSCredentialProvider, IMDSv2CredentialProvider, SSOCredentialProvider,
};
use reqsign_core::ProvideCredential;
use ureq::http::Uri;

use crate::bucket::credentials::Found;
use crate::bucket::credentials::machine::{Machine, block_on, domain, endpoint, reason, variable};
use crate::bucket::credentials::profiles::Profile;
use crate::error::escaped;

/// Where Amazon ECS answers relative addresses.
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts that botocore asks without TLS, beside those of the machine itself: ECS and EKS.
const CONTAINER_HOSTS: [&str; 4] = [
    "localhost",
    "169.254.170.2",
    "169.254.170.23",
    "fd00:ec2::23",
];
/// Where EC2 answers by IPv6.
const INSTANCE_IPV6: &str = "http://[fd00:ec2::254]";

fn ask(machine: &Machine, provider: &impl ProvideCredential<Credential = Credential>) -> Found {
    block_on(provider.provide_credential(machine.context)).map_err(|error| reason(&error))
}

/// The role of a person who has logged in with `aws sso login`.
pub(super) fn sso(machine: &Machine, profile: &Profile) -> Found {
    if profile.get("sso_account_id").is_none() && profile.get("sso_role_name").is_none() {
        return Ok(None);
    }
    // The token of a session is stored under the session's name, one without a session under its address.
    let (region, key) = if let Some(name) = profile.get("sso_session") {
        let session = machine.profiles()?.session(name)?;
        let region = session.get("sso_region").map(String::as_str);
        (region.map_or_else(|| profile.need("sso_region"), Ok)?, name)
    } else {
        (profile.need("sso_region")?, profile.need("sso_start_url")?)
    };
    let address = endpoint("SSO")
        .unwrap_or_else(|| format!("https://portal.sso.{region}.{}", domain(region)));
    let provider = SSOCredentialProvider::new()
        .with_account_id(profile.need("sso_account_id")?)
        .with_role_name(profile.need("sso_role_name")?)
        .with_region(region)
        .with_start_url(key)
        .with_endpoint(format!("{address}/federation/credentials"));
    ask(machine, &provider)
}

/// The role of a task of Amazon ECS or a pod of EKS.
pub(super) fn container(machine: &Machine) -> Found {
    let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let address = match relative {
        Some(relative) => Some(format!("{CONTAINER}{relative}")),
        None => variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    };
    let Some(address) = address else {
        return Ok(None);
    };
    if !is_safe(&address) {
        bail!(
            "`{}` is neither HTTPS nor of this machine",
            escaped(address)
        );
    }
    let mut provider = ECSCredentialProvider::new().with_endpoint(address);
    if let Some(file) = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        provider = provider.with_auth_token_file(file);
    }
    ask(machine, &provider)
}

/// Whether nobody on the way can read the answer.
fn is_safe(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    let is_loopback = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    uri.scheme_str() == Some("https") || is_loopback || CONTAINER_HOSTS.contains(&host)
}

/// The role of an instance of EC2.
pub(super) fn instance(machine: &Machine) -> Found {
    let setting = |name: &str| variable(&format!("AWS_EC2_METADATA_{name}"));
    if setting("DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let is_ipv6 =
        setting("SERVICE_ENDPOINT_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
    let address = setting("SERVICE_ENDPOINT").or_else(|| is_ipv6.then(|| INSTANCE_IPV6.to_owned()));
    let mut provider = IMDSv2CredentialProvider::new();
    if let Some(address) = address {
        provider = provider.with_endpoint(address.trim_end_matches('/'));
    }
    ask(machine, &provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_cross_a_network_in_the_clear() {
        for (address, expected) in [
            ("http://127.0.0.1:1/a", true),
            ("http://[::1]/a", true),
            ("http://localhost/a", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("https://example.org/a", true),
            ("http://example.org/a", false),
            ("http://169.254.170.2@example.org/a", false),
            ("example.org", false),
        ] {
            assert_eq!(is_safe(address), expected, "{address}");
        }
    }
}
