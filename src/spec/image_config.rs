//! The fields of an image config that describe the image to people (OCI image-spec `config.md`). What a field should
//! not be is ignored, since nothing depends on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::spec::go_json;

/// Earlier times stand for none, in seconds since 1970: builds set 1970 or 1980 to be reproducible.
const NO_TIME_BEFORE: i64 = 11 * 365 * 86_400;

#[derive(Debug, Default)]
pub struct ImageConfig {
    pub created: Option<Timestamp>,
    pub user: String,
    pub working_dir: String,
    pub ports: Vec<String>,
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// What made the image, the base first.
    pub history: Vec<Step>,
}

/// An entry of the history.
#[derive(Debug, Deserialize)]
pub struct Step {
    #[serde(default)]
    pub created_by: String,
    /// Whether there is no layer for it.
    #[serde(default)]
    pub empty_layer: bool,
}

#[derive(Default, Deserialize)]
struct Fields {
    created: Option<Box<RawValue>>,
    config: Option<Box<RawValue>>,
    history: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    user: Option<Box<RawValue>>,
    working_dir: Option<Box<RawValue>>,
    exposed_ports: Option<Box<RawValue>>,
    env: Option<Box<RawValue>>,
    entrypoint: Option<Box<RawValue>>,
    cmd: Option<Box<RawValue>>,
    labels: Option<Box<RawValue>>,
}

/// The value of a field; the default where it is absent or of another type.
fn value<T: DeserializeOwned + Default>(raw: Option<Box<RawValue>>) -> T {
    raw.and_then(|raw| go_json::of_raw(&raw).ok())
        .unwrap_or_default()
}

impl ImageConfig {
    pub fn parse(bytes: &[u8]) -> Self {
        let fields: Fields = go_json::parse(bytes).unwrap_or_default();
        let run: Run = value(fields.config);
        let ports: BTreeMap<String, Option<Box<RawValue>>> = value(run.exposed_ports);
        Self {
            created: time(&value::<String>(fields.created)),
            user: value(run.user),
            working_dir: value(run.working_dir),
            ports: ports.into_keys().collect(),
            env: value(run.env),
            entrypoint: value(run.entrypoint),
            cmd: value(run.cmd),
            labels: value(run.labels),
            history: value(fields.history),
        }
    }
}

/// A time in RFC 3339, if it may be that of a build.
pub fn time(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.parse().ok()?;
    (time.as_second() >= NO_TIME_BEFORE).then_some(time)
}

/// The instruction of a Dockerfile that a step of the history stands for: without the shell that Docker and `BuildKit`
/// put around it.
pub fn instruction(created_by: &str) -> String {
    let text = created_by.trim();
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim_end();
    // With build arguments Docker writes their number and values first.
    let is_run = text.starts_with('|') || text.starts_with("RUN |");
    match text.split_once("/bin/sh -c ") {
        Some(("" | "RUN ", rest)) => match rest.trim_start().strip_prefix("#(nop) ") {
            Some(instruction) => instruction.trim_start().to_owned(),
            None => format!("RUN {rest}"),
        },
        Some((_, rest)) if is_run => format!("RUN {rest}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_the_dockerfile() {
        for (created_by, expected) in [
            ("/bin/sh -c #(nop)  CMD [\"/bin/sh\"]", "CMD [\"/bin/sh\"]"),
            ("/bin/sh -c #(nop) ADD file:ab in / ", "ADD file:ab in /"),
            ("/bin/sh -c apk add curl", "RUN apk add curl"),
            ("RUN /bin/sh -c apk add curl # buildkit", "RUN apk add curl"),
            ("|1 A=b /bin/sh -c echo $A", "RUN echo $A"),
            ("RUN |1 A=b /bin/sh -c echo $A # buildkit", "RUN echo $A"),
            ("COPY /a /b # buildkit", "COPY /a /b"),
            ("bazel build ...", "bazel build ..."),
            ("", ""),
        ] {
            assert_eq!(instruction(created_by), expected);
        }
    }

    #[test]
    fn what_is_of_another_type_is_left_out() {
        let config = ImageConfig::parse(
            br#"{"created":7,"Config":{"User":"u","Labels":{"a":1},"Cmd":["x"],"ExposedPorts":{"80/tcp":{}}},
                "history":[{"created_by":"RUN x"},{"empty_layer":true}]}"#,
        );
        assert_eq!(config.created, None);
        assert_eq!((&*config.user, config.cmd), ("u", vec!["x".to_owned()]));
        assert_eq!(config.ports, ["80/tcp"]);
        assert!(config.labels.is_empty());
        assert!(config.history[1].empty_layer && !config.history[0].empty_layer);
        for text in ["", "[]", "{\"history\":{}}", "{\"config\":[]}"] {
            assert!(ImageConfig::parse(text.as_bytes()).history.is_empty());
        }
    }

    #[test]
    fn times_of_reproducible_builds_are_none() {
        for text in [
            "0001-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "yesterday",
            "",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
        let local = time("2024-05-01T02:00:00+02:00").unwrap();
        assert_eq!(local.to_string(), "2024-05-01T00:00:00Z");
    }
}
