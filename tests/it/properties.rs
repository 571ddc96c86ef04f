//! Properties of the parsers and of what is derived, over generated input.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use stillage::site_files::catalogue::Catalogue;
use stillage::spec::digest::Digest;
use stillage::spec::manifest::Manifest;
use stillage::spec::name::{Reference, Repository, Tag};
use stillage::spec::source_name::Hosts;
use stillage::spec::v1::{self, ChainLink, Config, V1Id};
use stillage::spec::{legacy, remake};

/// JSON text with all that JSON allows: white space, escapes, big numbers, repeated keys.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        string(),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec((space(), inner.clone()), 0..5).prop_map(|items| {
                let items: Vec<String> = items
                    .into_iter()
                    .map(|(space, item)| format!("{space}{item}{space}"))
                    .collect();
                format!("[{}]", items.join(","))
            }),
            members(inner).prop_map(|members| object(&members)),
        ]
    })
}

fn string() -> impl Strategy<Value = String> {
    let escaped = r#"(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|[a-z<>&é\u{2028}\u{2029}😀 ]){0,12}"#;
    escaped.prop_map(|text| format!("\"{text}\""))
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

fn members(
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = Vec<(String, String, String)>> {
    prop::collection::vec((string(), space(), value), 0..6)
}

fn object(members: &[(String, String, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(key, space, value)| format!("{space}{key}{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|bytes| Digest::of(&bytes))
}

fn id(digest: &Digest) -> V1Id {
    digest.hex().parse().unwrap()
}

/// An object with keys that v1 knows, of any type, and others.
fn v1_json() -> impl Strategy<Value = String> {
    let known = [
        "created",
        "os",
        "architecture",
        "config",
        "container_config",
        "comment",
        "throwaway",
    ];
    let known = prop::sample::select(known.to_vec()).prop_map(|key| format!("\"{key}\""));
    let key = prop_oneof![known, string()];
    let members = prop::collection::vec((key, space(), json()), 0..4);
    members.prop_map(|members| object(&members))
}

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A chain of v1 JSON becomes a config that lists the layers, or an error. Both occur.
#[test]
fn any_chain_converts_or_fails() {
    let (mut converted, mut failed) = (0, 0);
    let (good, bad) = (Cell::from_mut(&mut converted), Cell::from_mut(&mut failed));
    let chains = prop::collection::vec(v1_json(), 1..4);
    let outcome = TestRunner::new(cases()).run(&chains, |chain| {
        let diff_ids: Vec<Digest> = chain
            .iter()
            .map(|json| Digest::of(json.as_bytes()))
            .collect();
        match legacy::config(&chain, &diff_ids) {
            Ok(config) => {
                let config = Config::parse(&config).unwrap();
                prop_assert_eq!(config.diff_ids, Some(diff_ids));
                good.set(good.get() + 1);
            }
            Err(_) => bad.set(bad.get() + 1),
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(converted > 50 && failed > 50, "{converted}, {failed}");
}

proptest! {
    #![proptest_config(cases())]

    /// Every value that v1 knows comes out as it went in, compacted; twice the same; sorted.
    #[test]
    fn raw_values_survive_in_v1(members in members(json()), config in digest(), parent in digest()) {
        let text = object(&members);
        let json = v1::top_json(text.as_bytes(), id(&config), Some(id(&parent))).unwrap();
        prop_assert_eq!(&json, &v1::top_json(text.as_bytes(), id(&config), Some(id(&parent))).unwrap());
        let json = String::from_utf8(json).unwrap();
        for unescaped in ['<', '>', '&', '\u{2028}', '\u{2029}'] {
            prop_assert!(!json.contains(unescaped));
        }
        // Where serde_json can read the values, they are equal; it cannot read lone surrogates and
        // numbers beyond f64.
        if let (Ok(Value::Object(before)), Ok(Value::Object(after))) = (serde_json::from_str(&text), serde_json::from_str::<Value>(&json)) {
            for (key, value) in &before {
                if !["id", "parent", "rootfs", "history", "os.version", "os.features"].contains(&key.as_str()) {
                    prop_assert_eq!(after.get(key), Some(value));
                }
            }
            prop_assert_eq!(&after["id"], &Value::from(config.hex()));
        }
        let again = v1::top_json(json.as_bytes(), id(&config), Some(id(&parent))).unwrap();
        prop_assert_eq!(json, String::from_utf8(again).unwrap(), "what is normal stays");
    }

    /// An id says which chain it is: another layer anywhere below gives another one.
    #[test]
    fn ids_depend_on_all_below(diff_ids in prop::collection::vec(digest(), 2..6), other in digest(), config in digest(), at in 0usize..5) {
        let at = at % (diff_ids.len() - 1);
        prop_assume!(diff_ids[at] != other);
        let ids = v1::chain(config, &diff_ids);
        let mut changed = diff_ids.clone();
        changed[at] = other;
        let changed = v1::chain(config, &changed);
        prop_assert_eq!(ids.len(), diff_ids.len());
        prop_assert_eq!(&ids[..at], &changed[..at]);
        for index in at..diff_ids.len() - 1 {
            prop_assert_ne!(ids[index], changed[index]);
        }
        prop_assert_eq!(ids.last(), changed.last());
    }

    /// No input makes a parser panic.
    #[test]
    fn parsers_do_not_panic(text in prop_oneof![json(), members(json()).prop_map(|members| object(&members)), any::<String>()], bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for input in [text.as_bytes(), &bytes] {
            let _ = Manifest::parse(input.to_vec().into(), None);
            let _ = Config::parse(input);
            let _ = ChainLink::parse(input);
            let _ = Catalogue::parse(input);
            let _ = v1::top_json(input, id(&Digest::of(b"")), None);
            let _ = legacy::config(&[input], &[Digest::of(input)]);
            let _ = remake::with_layers(input, &std::collections::BTreeMap::new());
            let _ = remake::with_children(input, &std::collections::BTreeMap::new());
        }
        let _ = (text.parse::<Digest>(), text.parse::<Repository>(), text.parse::<Tag>(), text.parse::<V1Id>());
        let _ = [Hosts::Drop, Hosts::Keep, Hosts::Full].map(|hosts| Reference::from_source(&text, hosts, None));
    }

    /// Legal names stay as they are, and never lead out of a folder.
    #[test]
    fn names_are_safe(text in "[a-zA-Z0-9._/:@-]{0,40}") {
        if let Ok(reference) = Reference::from_source(&text, Hosts::Drop, None) {
            for name in reference.repository.aliases() {
                prop_assert!(name.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '_'])), "{}", name);
                prop_assert_eq!(&name.parse::<Repository>().unwrap(), &reference.repository);
            }
            if let Some(tag) = reference.tag {
                prop_assert!(!tag.as_str().contains('/') && !tag.as_str().starts_with('.'));
            }
        }
    }
}
