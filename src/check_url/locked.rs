//! Servers that let nobody in without a login or a certificate. Nothing can be checked there, so this is an error
//! rather than a finding for each path.

use crate::check_url::client::{Ask, Client};
use crate::error::{WithHint as _, escaped};

pub(super) const HINT: &str = "only a server, or an address of it, that needs no login and no certificate of the client \
     can be checked: check it from inside, or switch the login off for a moment";

/// The alerts of servers that demand a certificate of the client (RFC 8446, section 6.2), as rustls shows them. With
/// TLS 1.3 the client learns it only when it reads the answer. `HandshakeFailure` has other causes too.
const ALERTS: [&str; 3] = ["CertificateRequired", "BadCertificate", "HandshakeFailure"];

/// Fails if `/index.json`, whose status is known, and `/v2/` are both refused. Buckets refuse only what is missing.
pub(super) fn check(client: &Client, status: u16) -> anyhow::Result<()> {
    let (index, root) = (client.address("/index.json"), client.address("/v2/"));
    // nginx answers 400 over TLS to a client that has no certificate.
    let is_refusal = |status| matches!(status, 401 | 403) || (status == 400 && client.is_tls());
    if !is_refusal(status) {
        return Ok(());
    }
    let second = client.ask(Ask::get("/v2/"))?.status;
    if !is_refusal(second) {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "the server lets nobody in: the status is {status} for `{}`, and {second} for `{}`",
        escaped(index),
        escaped(root)
    ))
    .hint(match status {
        403 => format!(
            "{HINT}; if it is a bucket, let everybody, or its CDN, read and list it: `stillage help bucket`"
        ),
        _ => HINT.to_owned(),
    })
}

/// Whether an error says that the server demands a certificate of the client.
pub(super) fn wants_certificate(error: &str) -> bool {
    let mut alerts = ALERTS.iter();
    alerts.any(|alert| error.contains(&format!("received fatal alert: {alert}")))
}
