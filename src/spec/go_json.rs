//! JSON as Go's `encoding/json` reads it, since Go wrote most of what is read here: the keys of a struct match
//! without regard to case, the last of several wins, `null` is absent, and what is unknown is ignored.

use std::collections::BTreeMap;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use serde_json::{Error, Value};

use crate::error::invalid_input;
use crate::spec::json::{Key, RawObject, folded};
use crate::spec::mistaken;

/// Parses JSON. Errors in values name the keys that lead to them.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<T> {
    let parsed = serde_json::from_slice::<&RawValue>(bytes).and_then(of_raw);
    parsed.map_err(|error| match mistaken::recognised(bytes) {
        Some(_) => mistaken::error(bytes, "JSON"),
        None => invalid_input(error.to_string()),
    })
}

/// Like [`parse`], for a value in larger JSON.
pub fn of_raw<T: DeserializeOwned>(raw: &RawValue) -> Result<T, Error> {
    T::deserialize(Go(raw))
}

#[derive(Clone, Copy)]
struct Go<'de>(&'de RawValue);

impl<'de> Go<'de> {
    fn is_null(self) -> bool {
        self.0.get() == "null"
    }

    /// A string, number or boolean. Unlike errors of a parser, those of a value tell no line, which would be that
    /// in the value alone.
    fn scalar(self) -> Result<Value, Error> {
        if self.0.get().starts_with('"') {
            return serde_json::from_str(self.0.get()).map(|Key(text)| Value::String(text));
        }
        serde_json::from_str(self.0.get())
    }

    fn entries(self) -> Result<Vec<(String, &'de RawValue)>, Error> {
        if self.is_null() {
            return Ok(Vec::new());
        }
        serde_json::from_str::<RawObject<'_>>(self.0.get())
            .map(|object| object.0)
            .map_err(|_| self.not("a map"))
    }

    fn not(self, expected: &str) -> Error {
        let found = match self.0.get().as_bytes().first() {
            Some(b'{') => "map",
            Some(b'[') => "sequence",
            Some(b'"') => "string",
            Some(b't' | b'f') => "boolean",
            _ => "number",
        };
        Error::custom(format!("invalid type: {found}, expected {expected}"))
    }
}

macro_rules! scalars {
    ($($method:ident: $visit:ident($null:expr),)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if self.is_null() {
                return visitor.$visit($null);
            }
            self.scalar()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Go<'de> {
    type Error = Error;

    scalars! {
        deserialize_bool: visit_bool(false),
        deserialize_i8: visit_i64(0), deserialize_i16: visit_i64(0),
        deserialize_i32: visit_i64(0), deserialize_i64: visit_i64(0),
        deserialize_u8: visit_u64(0), deserialize_u16: visit_u64(0),
        deserialize_u32: visit_u64(0), deserialize_u64: visit_u64(0),
        deserialize_f32: visit_f64(0.0), deserialize_f64: visit_f64(0.0),
        deserialize_char: visit_str(""), deserialize_str: visit_str(""),
        deserialize_string: visit_str(""), deserialize_bytes: visit_bytes(b""),
        deserialize_byte_buf: visit_bytes(b""), deserialize_identifier: visit_str(""),
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scalar()?.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.scalar()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    /// A [`RawValue`] is one; it keeps its text.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        serde_json::Deserializer::from_str(self.0.get()).deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            return visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Self>()));
        }
        if !self.0.get().starts_with('[') {
            return Err(self.not("a sequence"));
        }
        serde_json::Deserializer::from_str(self.0.get()).deserialize_seq(Items(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.entries()?.into_iter();
        visitor.visit_map(MapDeserializer::new(
            entries.map(|(key, value)| (key, Go(value))),
        ))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut values = BTreeMap::new();
        for (key, value) in self.entries()? {
            let key = folded(&key);
            let Some(field) = fields.iter().find(|field| folded(field) == key) else {
                continue;
            };
            if !Go(value).is_null() {
                values.insert(*field, Go(value));
            } else if values
                .get(field)
                .is_some_and(|known| known.0.get().starts_with('['))
            {
                // `null` makes a list nil, and leaves other values as they are.
                values.remove(field);
            }
        }
        visitor.visit_map(Fields {
            values: values.into_iter(),
            next: None,
        })
    }
}

impl<'de> serde::de::IntoDeserializer<'de, Error> for Go<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Visits the items of a list one by one: there may be very many.
struct Items<T>(T);

impl<'de, V: Visitor<'de>> Visitor<'de> for Items<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Items(seq))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        let raw: Option<&'de RawValue> = self.0.next_element()?;
        raw.map(|raw| seed.deserialize(Go(raw)))
            .transpose()
            .map_err(A::Error::custom)
    }
}

/// The fields of a struct.
struct Fields<'de> {
    values: std::collections::btree_map::IntoIter<&'static str, Go<'de>>,
    next: Option<(&'static str, Go<'de>)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next = self.values.next();
        let key = self.next.map(|(key, _)| key);
        key.map(|key| seed.deserialize(serde::de::value::StrDeserializer::new(key)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self
            .next
            .take()
            .ok_or_else(|| Error::custom("a value without a key"))?;
        seed.deserialize(value)
            .map_err(|error| Error::custom(format!("`{key}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Outer {
        some_text: String,
        number: u64,
        list: Vec<String>,
        inner: Option<Inner>,
        map: BTreeMap<String, String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        needed: String,
    }

    fn outer(text: &str) -> Outer {
        parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:#}"))
    }

    /// What Go 1.19 makes of the same text.
    #[test]
    fn structs_are_read_as_in_go() {
        for text in [
            r#"{"someText":"a"}"#,
            r#"{"SOMETEXT":"a","other":[{}]}"#,
            r#"{"someText":"b","sometext":"a"}"#,
            r#"{"someText":"a","someText":null}"#,
            r#"{"someText":"a","list":["b"],"list":null}"#,
            r#"{"ſomeText":"a"}"#,
            r#"{"someText":"a","number":null,"list":null,"inner":null,"map":null}"#,
        ] {
            let expected = Outer {
                some_text: "a".into(),
                ..Outer::default()
            };
            assert_eq!(outer(text), expected, "{text}");
        }
        assert_eq!(outer("null"), Outer::default());
    }

    #[test]
    fn lists_and_maps_keep_their_keys() {
        assert_eq!(outer(r#"{"someText":"\ud800"}"#).some_text, "\u{fffd}");
        let read = outer(r#"{"list":["a",null],"map":{"K":"1","k":null},"INNER":{"Needed":"x"}}"#);
        assert_eq!(read.list, ["a", ""]);
        let map = [("K", "1"), ("k", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read.map, BTreeMap::from(map));
        assert_eq!(read.inner, Some(Inner { needed: "x".into() }));
    }

    #[test]
    fn errors_name_the_key() {
        for (text, words) in [
            (r#"{"number":"x"}"#, "`number`: "),
            (r#"{"number":-1}"#, "`number`: "),
            (
                r#"{"list":{}}"#,
                "`list`: invalid type: map, expected a sequence",
            ),
            (
                r#"{"list":[1]}"#,
                "`list`: invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"inner":[]}"#,
                "`inner`: invalid type: sequence, expected a map",
            ),
            (
                r#"{"inner":{"needed":null}}"#,
                "`inner`: missing field `needed`",
            ),
            ("[]", "invalid type: sequence, expected a map"),
            ("{", "EOF"),
            ("\u{feff}{}", "byte order mark"),
        ] {
            let error = parse::<Outer>(text.as_bytes()).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{text}: {error:#}");
        }
    }
}
