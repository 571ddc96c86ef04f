//! The service that lends roles: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>. The
//! providers of reqsign keep to the addresses of AWS, and their errors leave out why a request failed.

use anyhow::{anyhow, bail};
use percent_encoding::utf8_percent_encode;
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::SignRequest as _;
use serde::Deserialize;
use ureq::http::Request;

use crate::bucket::QUERY;
use crate::bucket::credentials::credential;
use crate::bucket::credentials::machine::{Machine, block_on, domain, endpoint, read, reason};
use crate::error::escaped;
use crate::spec::digest::Digest;

/// The name of a session where none is given.
const SESSION: &str = "stillage";

pub(super) struct Role<'a> {
    pub(super) arn: &'a str,
    pub(super) session: Option<&'a str>,
    pub(super) external_id: Option<&'a str>,
    pub(super) seconds: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: Lent,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lent {
    credentials: Keys,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    error: Fault,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
}

/// The credentials of a role that those of somebody else may take.
pub(super) fn assume(
    machine: &Machine,
    role: &Role<'_>,
    by: &Credential,
) -> anyhow::Result<Credential> {
    ask(machine, "AssumeRole", role, None, Some(by))
}

/// The credentials of a role that the bearer of a token may take.
pub(super) fn assume_by_token(
    machine: &Machine,
    role: &Role<'_>,
    file: &str,
) -> anyhow::Result<Credential> {
    let token = String::from_utf8(read(file)?).unwrap_or_default();
    let token = token.trim();
    if token.is_empty() {
        bail!("`{}` has no token", escaped(file));
    }
    ask(
        machine,
        "AssumeRoleWithWebIdentity",
        role,
        Some(token),
        None,
    )
}

fn ask(
    machine: &Machine,
    action: &str,
    role: &Role<'_>,
    token: Option<&str>,
    by: Option<&Credential>,
) -> anyhow::Result<Credential> {
    let fields = [
        ("Action", Some(action)),
        ("Version", Some("2011-06-15")),
        ("RoleArn", Some(role.arn)),
        ("RoleSessionName", Some(role.session.unwrap_or(SESSION))),
        ("ExternalId", role.external_id.filter(|_| token.is_none())),
        ("DurationSeconds", role.seconds),
        ("WebIdentityToken", token),
    ];
    let fields = fields.iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode((*value)?, QUERY);
        Some(format!("{name}={value}"))
    });
    let body = fields.collect::<Vec<_>>().join("&");
    let answer = send(machine, body, by)?;
    let text = String::from_utf8_lossy(answer.body());
    let arn = escaped(role.arn);
    if answer.status() != 200 {
        let Ok(Refusal { error }) = quick_xml::de::from_str(&text) else {
            bail!("`{arn}` is refused: {}", answer.status());
        };
        let message = error.message.replace(token.unwrap_or("\0"), "...");
        bail!(
            "`{arn}` is refused: {}: {}",
            escaped(error.code),
            escaped(message)
        );
    }
    let answer: Answer = quick_xml::de::from_str(&text)
        .map_err(|_| anyhow!("the answer for `{arn}` cannot be read"))?;
    let keys = answer.result.credentials;
    credential(
        keys.access_key_id,
        keys.secret_access_key,
        Some(keys.session_token),
        Some(&keys.expiration),
    )
}

/// The signature is made for the host that is asked, whichever that is.
fn send(
    machine: &Machine,
    body: String,
    by: Option<&Credential>,
) -> anyhow::Result<ureq::http::Response<bytes::Bytes>> {
    let region = machine.region;
    let address =
        endpoint("STS").unwrap_or_else(|| format!("https://sts.{region}.{}", domain(region)));
    let request = Request::post(format!("{address}/"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-amz-content-sha256", Digest::of(body.as_bytes()).hex())
        .body(());
    let request = request.map_err(|_| anyhow!("`{}` is not an address", escaped(&address)))?;
    let (mut parts, ()) = request.into_parts();
    if by.is_some() {
        let signer = RequestSigner::new("sts", region);
        block_on(signer.sign_request(machine.context, &mut parts, by, None))
            .map_err(|error| reason(&error))?;
    }
    let request = Request::from_parts(parts, body.into());
    block_on(machine.context.http_send(request)).map_err(|error| reason(&error))
}
