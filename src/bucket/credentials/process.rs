//! `credential_process`: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.

use std::process::Command;

use anyhow::{anyhow, bail};
use serde::Deserialize;

use crate::bucket::credentials::machine::Machine;
use crate::bucket::credentials::profiles::Profile;
use crate::bucket::credentials::{Found, credential};
use crate::error::escaped;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Runs the command of a profile. Errors name the program alone: its arguments may be secret, as what it prints is.
pub(super) fn run(_: &Machine, profile: &Profile) -> Found {
    let Some(line) = profile.get("credential_process") else {
        return Ok(None);
    };
    let words = shlex::split(line).unwrap_or_default();
    let Some((program, arguments)) = words.split_first() else {
        return Err(profile.wrong("has a `credential_process` that cannot be split into words"));
    };
    let name = escaped(program);
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| anyhow!("cannot run `{name}`: {error}"))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        let first = messages.trim().lines().next().unwrap_or_default();
        let first = if first.is_empty() {
            String::new()
        } else {
            format!(": {}", escaped(first))
        };
        bail!("`{name}` failed ({}){first}", output.status);
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&output.stdout) else {
        bail!("`{name}` does not print credentials in JSON");
    };
    if answer.version != 1 {
        bail!("`{name}` prints version {}, not 1", answer.version);
    }
    credential(
        answer.access_key_id,
        answer.secret_access_key,
        answer.session_token,
        answer.expiration.as_deref(),
    )
    .map(Some)
}
