//! What `verify URL` finds.

use std::process::Output;

use serde_json::Value;

use super::site::stillage;

/// A finding: severity, kind, path, clients.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) severity: String,
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) breaks: Vec<String>,
}

/// A run of `verify URL --json`.
pub(crate) fn run(url: &str, more: &[&str]) -> Output {
    let mut command = stillage(["verify", "--json", url]);
    command.args(more).output().unwrap()
}

/// What is found at a port; the exit code says whether an error is among it.
pub(crate) fn found(port: u16, more: &[&str]) -> Vec<Found> {
    found_at(&format!("http://127.0.0.1:{port}"), more)
}

/// What is found at a URL.
pub(crate) fn found_at(url: &str, more: &[&str]) -> Vec<Found> {
    let output = run(url, more);
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found: Vec<Found> = listed
        .iter()
        .map(|finding| {
            assert!(finding["count"].as_u64() > Some(0), "{finding}");
            assert!(text(&finding["message"]).len() > 10, "{finding}");
            Found {
                severity: text(&finding["severity"]),
                kind: text(&finding["kind"]),
                path: text(&finding["path"]),
                breaks: finding["breaks"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(text)
                    .collect(),
            }
        })
        .collect();
    let errors = found.iter().any(|found| found.severity == "error");
    assert_eq!(output.status.code(), Some(i32::from(errors)), "{found:#?}");
    found
}

/// The kinds of the findings of a severity.
pub(crate) fn kinds(found: &[Found], severity: &str) -> Vec<String> {
    let of = found.iter().filter(|found| found.severity == severity);
    of.map(|found| found.kind.clone()).collect()
}
