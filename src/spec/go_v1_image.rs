//! The JSON of a v1 image as Docker 20.10 marshals it from its structs.
//!
//! Docker does this for images made by Docker before 1.8.3, which wrote fields that other versions do not
//! know. Unknown fields are dropped, missing ones get their zero values, and the order is that of the struct.
//!
//! Source: moby 20.10 `image/image.go` (`V1Image`), `api/types/container/config.go` (`Config`),
//! `image/v1/imagev1.go` (`MakeConfigFromV1Config`), `api/types/versions/compare.go`.

use serde_json::{Map, Value};

use crate::bail_invalid;
use crate::error::{escaped, invalid_input};
use crate::spec::json::{RawObject, go_string};

/// Whether Docker converts the JSON through its structs: if its `docker_version` is below 1.8.3.
pub fn is_normalised(docker_version: Option<&str>) -> bool {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let mut version = docker_version
        .unwrap_or_default()
        .split('.')
        .map(number)
        .chain(std::iter::repeat(0));
    let own = [version.next(), version.next(), version.next()].map(Option::unwrap_or_default);
    own < [1, 8, 3]
}

/// The top-level values of the image as Docker writes them, by key, without the v1 fields `id`, `parent` and
/// `Size`.
///
/// # Errors
/// If Docker would not accept the type of a field.
pub fn normalised(json: &[u8]) -> anyhow::Result<Vec<(&'static str, String)>> {
    let image = Fields::parse(
        json,
        &[TEXTS, &["created", "container_config", "config"]].concat(),
    )?;
    let mut values = vec![(
        "created",
        quoted(&super::legacy::go_time(image.text("created")?.as_deref())?),
    )];
    for key in TEXTS {
        if let Some(text) = image.text(key)?.filter(|text| !text.is_empty()) {
            values.push((*key, quoted(&text)));
        }
    }
    let none = Value::Object(Map::new());
    values.push((
        "container_config",
        config(image.get("container_config").unwrap_or(&none))?,
    ));
    if let Some(value) = image.get("config") {
        values.push(("config", config(value)?));
    }
    Ok(values)
}

/// An entry of a config's `history` (OCI image-spec `config.md`).
#[derive(Debug)]
pub struct History {
    /// RFC 3339, as Go writes it.
    pub created: String,
    pub author: Option<String>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
}

impl History {
    /// Reads the entry from the JSON of a v1 image.
    ///
    /// # Errors
    /// If Docker would not accept the type of a field.
    pub fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let image = Fields::parse(json, &["created", "author", "comment", "container_config"])?;
        let command = image
            .get("container_config")
            .map_or(Ok(None), |config| Fields::of(config)?.words("Cmd"))?;
        Ok(Self {
            created: super::legacy::go_time(image.text("created")?.as_deref())?,
            author: image.text("author")?,
            created_by: command.map(|words| words.join(" ")),
            comment: image.text("comment")?,
        })
    }
}

/// The string fields of an image, which are omitted if empty.
const TEXTS: &[&str] = &[
    "architecture",
    "author",
    "comment",
    "container",
    "docker_version",
    "os",
    "variant",
];

/// The fields of a `container.Config` in the order of the struct; `?` marks `omitempty`.
const CONFIG: &[(&str, Kind)] = &[
    ("Hostname", Kind::Text),
    ("Domainname", Kind::Text),
    ("User", Kind::Text),
    ("AttachStdin", Kind::Flag),
    ("AttachStdout", Kind::Flag),
    ("AttachStderr", Kind::Flag),
    ("ExposedPorts?", Kind::Set),
    ("Tty", Kind::Flag),
    ("OpenStdin", Kind::Flag),
    ("StdinOnce", Kind::Flag),
    ("Env", Kind::List),
    ("Cmd", Kind::Words),
    ("Healthcheck?", Kind::Health),
    ("ArgsEscaped?", Kind::Flag),
    ("Image", Kind::Text),
    ("Volumes", Kind::Set),
    ("WorkingDir", Kind::Text),
    ("Entrypoint", Kind::Words),
    ("NetworkDisabled?", Kind::Flag),
    ("MacAddress?", Kind::Text),
    ("OnBuild", Kind::List),
    ("Labels", Kind::Texts),
    ("StopSignal?", Kind::Text),
    ("StopTimeout?", Kind::Pointer),
    ("Shell?", Kind::Words),
];

/// The fields of a `container.HealthConfig`.
const HEALTH: &[(&str, Kind)] = &[
    ("Test?", Kind::List),
    ("Interval?", Kind::Number),
    ("Timeout?", Kind::Number),
    ("StartPeriod?", Kind::Number),
    ("Retries?", Kind::Number),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Number,
    /// A nullable number (`*int`).
    Pointer,
    List,
    /// A list, or one string (`strslice.StrSlice`).
    Words,
    /// A map of strings.
    Texts,
    /// A set of strings (`map[string]struct{}`).
    Set,
    Health,
}

fn config(value: &Value) -> anyhow::Result<String> {
    object(value, CONFIG)
}

fn object(value: &Value, fields: &[(&str, Kind)]) -> anyhow::Result<String> {
    let values = Fields::of(value)?;
    let mut parts = Vec::new();
    for (name, kind) in fields {
        let key = name.trim_end_matches('?');
        let (text, is_empty) = values.field(key, *kind)?;
        if !(is_empty && name.ends_with('?')) {
            parts.push(format!("{}:{text}", quoted(key)));
        }
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

struct Fields<'a>(std::borrow::Cow<'a, Map<String, Value>>);

impl<'a> Fields<'a> {
    /// Parses the fields in `keys`. The values of other fields are not checked.
    fn parse(json: &[u8], keys: &[&str]) -> anyhow::Result<Self> {
        let mut map = Map::new();
        for (name, raw) in RawObject::parse(json)?.0 {
            if keys.iter().any(|key| name.eq_ignore_ascii_case(key)) {
                let value = serde_json::from_str(raw.get())
                    .map_err(|error| invalid_input(format!("`{}`: {error}", escaped(&name))))?;
                map.insert(name, value);
            }
        }
        Ok(Self(std::borrow::Cow::Owned(map)))
    }

    fn of(value: &'a Value) -> anyhow::Result<Self> {
        match value {
            Value::Object(map) => Ok(Self(std::borrow::Cow::Borrowed(map))),
            _ => bail_invalid!(
                "not the JSON of a v1 image: `{}` is not an object",
                escaped(value.to_string())
            ),
        }
    }

    /// The value of a field. Like Go, accepts a name in different case and treats `null` as missing.
    fn get(&self, key: &str) -> Option<&Value> {
        let folded = || {
            self.0
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value)
        };
        self.0
            .get(key)
            .or_else(folded)
            .filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> anyhow::Result<Option<String>> {
        self.get(key).map_or(Ok(None), |value| match value {
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(mistyped(key)),
        })
    }

    fn number(&self, key: &str) -> anyhow::Result<Option<i64>> {
        self.get(key).map_or(Ok(None), |value| {
            value.as_i64().map(Some).ok_or_else(|| mistyped(key))
        })
    }

    fn list(&self, key: &str) -> anyhow::Result<Option<Vec<String>>> {
        self.get(key).map_or(Ok(None), |value| {
            let items = value.as_array().ok_or_else(|| mistyped(key))?;
            let text = |item: &Value| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Null => Ok(String::new()),
                _ => Err(mistyped(key)),
            };
            items
                .iter()
                .map(text)
                .collect::<anyhow::Result<_>>()
                .map(Some)
        })
    }

    fn words(&self, key: &str) -> anyhow::Result<Option<Vec<String>>> {
        match self.get(key) {
            Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
            _ => self.list(key),
        }
    }

    /// The JSON of a field, and whether Go's `omitempty` would omit it.
    fn field(&self, key: &str, kind: Kind) -> anyhow::Result<(String, bool)> {
        Ok(match kind {
            Kind::Text => {
                let text = self.text(key)?.unwrap_or_default();
                (quoted(&text), text.is_empty())
            }
            Kind::Flag => match self.get(key) {
                None | Some(Value::Bool(false)) => ("false".into(), true),
                Some(Value::Bool(true)) => ("true".into(), false),
                Some(_) => return Err(mistyped(key)),
            },
            Kind::Number => {
                let number = self.number(key)?.unwrap_or(0);
                (number.to_string(), number == 0)
            }
            Kind::Pointer => self
                .number(key)?
                .map_or(("null".into(), true), |number| (number.to_string(), false)),
            Kind::List => list(self.list(key)?),
            Kind::Words => list(self.words(key)?),
            Kind::Texts | Kind::Set => self.map(key, kind)?,
            Kind::Health => self.get(key).map_or(Ok(("null".into(), true)), |value| {
                Ok::<_, anyhow::Error>((object(value, HEALTH)?, false))
            })?,
        })
    }

    fn map(&self, key: &str, kind: Kind) -> anyhow::Result<(String, bool)> {
        let Some(value) = self.get(key) else {
            return Ok(("null".into(), true));
        };
        let map = value.as_object().ok_or_else(|| mistyped(key))?;
        let mut parts = Vec::new();
        for (name, value) in map {
            let text = match (kind, value) {
                (Kind::Set, Value::Object(_) | Value::Null) => "{}".to_owned(),
                (Kind::Texts, Value::String(text)) => quoted(text),
                (Kind::Texts, Value::Null) => quoted(""),
                _ => return Err(mistyped(key)),
            };
            parts.push(format!("{}:{text}", quoted(name)));
        }
        Ok((format!("{{{}}}", parts.join(",")), parts.is_empty()))
    }
}

fn list(items: Option<Vec<String>>) -> (String, bool) {
    let Some(items) = items else {
        return ("null".into(), true);
    };
    let quoted: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    (format!("[{}]", quoted.join(",")), items.is_empty())
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    go_string(&mut out, text);
    out
}

fn mistyped(key: &str) -> anyhow::Error {
    invalid_input(format!("`{key}` is of a type that Docker does not accept"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_docker_does() {
        for (version, expected) in [
            (None, true),
            (Some(""), true),
            (Some("0.6.6"), true),
            (Some("1.8.2"), true),
            (Some("1.8.3"), false),
            (Some("1.8.3-rc1"), true),
            (Some("1.10.0"), false),
            (Some("20.10.24+dfsg1"), false),
        ] {
            assert_eq!(is_normalised(version), expected, "{version:?}");
        }
    }

    #[test]
    fn fields_of_the_wrong_type_are_refused() {
        for json in [
            r#"{"config":{"Env":"x"}}"#,
            r#"{"config":{"Cmd":[1]}}"#,
            r#"{"config":{"Tty":"true"}}"#,
            r#"{"config":{"ExposedPorts":{"80/tcp":""}}}"#,
            r#"{"config":[]}"#,
            r#"{"os":1}"#,
            r#"{"config":{"StopTimeout":1.5}}"#,
        ] {
            assert!(normalised(json.as_bytes()).is_err(), "{json}");
        }
    }
}
