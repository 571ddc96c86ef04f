//! JSON as raw text. Copied values keep their bytes, and everything written follows Go's `encoding/json`,
//! because Docker's ids are hashes of Go's output.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::bail_invalid;
use crate::error::escaped;

/// A JSON object: its keys in order, with the raw text of each value.
#[derive(Debug, Default)]
pub struct RawObject<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawObject<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(RawObject(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A key as Go reads it: a lone surrogate becomes U+FFFD.
pub(super) struct Key(pub(super) String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Key;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                Ok(Key(text.into()))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key, E> {
                // serde_json returns a lone surrogate as three bytes of invalid UTF-8, starting with 0xED.
                let mut text = String::new();
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    if chunk.invalid().first() == Some(&0xed) {
                        text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Key(text))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

impl<'a> RawObject<'a> {
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Self> {
        match serde_json::from_slice(bytes) {
            Ok(object) => Ok(object),
            Err(error) => bail_invalid!("not a JSON object: {error}"),
        }
    }

    /// The raw text of the value of `key`. If a key repeats, the last one wins, as in Go.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.get())
    }

    /// The value of `key` as a string; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn string(&self, key: &str) -> anyhow::Result<Option<String>> {
        self.get(key)
            .map_or(Ok(None), |raw| match serde_json::from_str(raw) {
                Ok(text) => Ok(text),
                Err(error) => bail_invalid!("`{key}` is not a string: {error}"),
            })
    }
}

/// Refuses JSON in which two keys of an object differ only by case, since clients would disagree: Go reads the
/// last one, others the exact one. Looks at the object itself and at those below the keys in `inside`, which are
/// in lower case; what lies below any other key may be a map with keys of the user.
pub fn check_keys(raw: &str, inside: &[&str]) -> anyhow::Result<()> {
    check_level(raw, inside, MAX_LEVELS)
}

/// The levels of objects and arrays that are looked at. Manifests and configs have four.
const MAX_LEVELS: usize = 8;

/// A key as Go compares it (`encoding/json`, `foldName`).
pub(super) fn folded(key: &str) -> String {
    key.to_lowercase().replace('ſ', "s")
}

fn check_level(raw: &str, inside: &[&str], levels: usize) -> anyhow::Result<()> {
    if levels == 0 {
        return Ok(());
    }
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw) {
        return items
            .iter()
            .try_for_each(|item| check_level(item.get(), inside, levels - 1));
    }
    let Ok(RawObject(entries)) = serde_json::from_str(raw) else {
        return Ok(());
    };
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (key, value) in &entries {
        let folded = folded(key);
        let is_inside = inside.contains(&folded.as_str());
        let other = seen.insert(folded, key);
        if let Some(other) = other.filter(|other| other != key) {
            bail_invalid!(
                "its keys `{}` and `{}` differ only by case",
                escaped(other),
                escaped(key)
            );
        }
        if is_inside {
            check_level(value.get(), inside, levels - 1)?;
        }
    }
    Ok(())
}

/// Writes an object as Go marshals a `map[string]json.RawMessage`: keys sorted, values compacted and escaped
/// for HTML. If a key repeats, the last one wins.
pub fn go_map<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let sorted: BTreeMap<&str, &str> = entries.into_iter().collect();
    let mut out = String::from("{");
    for (index, (key, raw)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        go_string(&mut out, key);
        out.push(':');
        go_compact(&mut out, raw);
    }
    out.push('}');
    out.into_bytes()
}

/// Appends raw JSON without whitespace between tokens, and with `<`, `>`, `&`, U+2028 and U+2029 escaped,
/// like Go's `json.compact` with `escape` set. Everything else keeps its text.
fn go_compact(out: &mut String, raw: &str) {
    let mut in_string = false;
    let mut escaped = false;
    for c in raw.chars() {
        match c {
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        push_escaped_for_html(out, c);
    }
}

fn push_escaped_for_html(out: &mut String, c: char) {
    if matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    } else {
        out.push(c);
    }
}

/// Appends a string literal as Go up to 1.21 writes it, with `\b` and `\f` as `\u0008` and `\u000c`.
pub fn go_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => push_escaped_for_html(out, c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_by_case_are_refused_where_clients_read_them() {
        let inside = ["config", "layers"];
        for text in [
            r#"{"layers":[],"Layers":[]}"#,
            r#"{"config":{"digest":"a","DIGEST":"b"}}"#,
            r#"{"layers":[{},{"size":1,"Size":1}]}"#,
        ] {
            assert!(check_keys(text, &inside).is_err(), "{text}");
        }
        for text in [
            "7",
            r#"{"layers":[],"layers":[]}"#,
            r#"{"annotations":{"a":"","A":""}}"#,
            r#"{"config":{"Labels":{"a":"","A":""}}}"#,
        ] {
            assert!(check_keys(text, &inside).is_ok(), "{text}");
        }
    }

    fn remarshal(text: &str) -> String {
        let object = RawObject::parse(text.as_bytes()).unwrap();
        let entries = object
            .0
            .iter()
            .map(|(key, value)| (key.as_str(), value.get()));
        String::from_utf8(go_map(entries)).unwrap()
    }

    /// Expected values: what Go 1.19 prints for `map[string]*json.RawMessage`.
    #[test]
    fn raw_values_survive_as_in_go() {
        for (input, output) in [
            (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
            (r#"{ "a" : [ 1 , "x y" ] }"#, r#"{"a":[1,"x y"]}"#),
            (r#"{"a":"<&>"}"#, r#"{"a":"\u003c\u0026\u003e"}"#),
            (r#"{"a":"\u003C\ud800"}"#, r#"{"a":"\u003C\ud800"}"#),
            (
                r#"{"a":1e999,"n":12345678901234567890123}"#,
                r#"{"a":1e999,"n":12345678901234567890123}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (
                r#"{"<":{"z":1,"a":{"a":1,"a":2}}}"#,
                r#"{"\u003c":{"z":1,"a":{"a":1,"a":2}}}"#,
            ),
            (
                r#"{"\ud800x":1,"\udc00\ud83d\ude00":2}"#,
                "{\"\u{fffd}x\":1,\"\u{fffd}\u{1f600}\":2}",
            ),
            (r#"{"a":"q\" \\"}"#, r#"{"a":"q\" \\"}"#),
            ("{\"a\":\"\u{2028}\"}", r#"{"a":"\u2028"}"#),
        ] {
            assert_eq!(remarshal(input), output, "{input}");
        }
    }

    #[test]
    fn strings_are_written_as_in_go() {
        let mut out = String::new();
        go_string(&mut out, "é<\u{8}\u{7f}\"\\\n\u{2029}");
        assert_eq!(out, "\"é\\u003c\\u0008\u{7f}\\\"\\\\\\n\\u2029\"");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "null", "{\"a\":1", "{\"a\":1}x", "\"\""] {
            assert!(RawObject::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(
            RawObject::parse(br#"{"a":1}"#)
                .unwrap()
                .string("a")
                .is_err()
        );
        assert_eq!(
            RawObject::parse(br#"{"a":null}"#)
                .unwrap()
                .string("a")
                .unwrap(),
            None
        );
    }
}
