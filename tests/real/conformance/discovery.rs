//! Content discovery: lists of tags and of referrers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Case, Repository, case, paged};
use crate::support::http::Response;
use crate::support::row::get;
use crate::support::suite_data::FIRST_TYPE;

const JSON: &str = "application/json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) fn tag_lists(of: &Repository) -> Vec<Case> {
    let asked = |query: &str| get(of.at(format!("tags/list{query}"))).has("Content-Type", JSON);
    let tags = of.tags();
    let exactly = |tags: &[&str]| {
        let expected = json!({"name": of.name, "tags": tags});
        json_body(move |body| *body == expected)
    };
    let mut cases = vec![
        case("TestList", asked("").also(exactly(&tags)).lacks("Link")),
        // "Listing Tags": an empty list and no `Link`.
        paged(
            "Listing Tags: n=0",
            asked("?n=0").also(exactly(&[])).lacks("Link"),
            asked("?n=0"),
        ),
        // "Listing Tags": fewer than `n` only where there are no more.
        case(
            "Listing Tags: n above all",
            asked("?n=1000").also(exactly(&tags)).lacks("Link"),
        ),
    ];
    if tags.len() > 1 {
        let (first, rest) = tags.split_at(tags.len() / 2);
        let last = first.last().unwrap();
        let number = first.len();
        let next = format!(
            "</v2/{}/tags/list?n={number}&last={last}>; rel=\"next\"",
            of.name
        );
        cases.extend([
            paged(
                "TestList last",
                asked(&format!("?last={last}")).also(exactly(rest)),
                asked(&format!("?last={last}")),
            ),
            paged(
                "Listing Tags: n",
                asked(&format!("?n={number}"))
                    .also(exactly(first))
                    .has("Link", next),
                asked(&format!("?n={number}")),
            ),
        ]);
    }
    cases
}

pub(super) fn referrers(of: &Repository) -> Vec<Case> {
    let mut cases = Vec::new();
    let own = of.layout.manifests.keys().cloned();
    // "Pushing Manifests with Subject": the subject need not be there.
    let subjects: BTreeSet<String> = own.chain(of.layout.subjects()).collect();
    for subject in subjects {
        let all = of.layout.referrers(&subject);
        let path = of.at(format!("referrers/{subject}"));
        cases.push(case(
            "TestReferrers",
            get(&path)
                .has("Content-Type", INDEX)
                .lacks("OCI-Filters-Applied")
                .lacks("Link")
                .also(lists(all.clone())),
        ));
        for kind in [
            FIRST_TYPE,
            "application/spdx+json",
            "application/vnd.example.none",
        ] {
            let some = all.iter().filter(|item| item["artifactType"] == kind);
            let filtered = lists(some.cloned().collect());
            let whole = lists(all.clone());
            let either = move |answer: &Response| match answer.header("OCI-Filters-Applied") {
                Some("artifactType") => filtered(answer),
                Some(other) => Some(format!("OCI-Filters-Applied: {other}")),
                None => whole(answer),
            };
            let row = get(format!("{path}?artifactType={kind}")).has("Content-Type", INDEX);
            cases.push(case("TestReferrers artifactType", row.also(either)));
        }
    }
    cases
}

/// An index of these, in any order.
pub(super) fn lists(mut items: Vec<Value>) -> impl Fn(&Response) -> Option<String> {
    sort(&mut items);
    json_body(move |body| {
        let mut have = body["manifests"].as_array().cloned().unwrap_or_default();
        sort(&mut have);
        body["schemaVersion"] == 2
            && body["mediaType"] == INDEX
            && body["manifests"].is_array()
            && have == items
    })
}

fn sort(items: &mut [Value]) {
    items.sort_by_key(|item| item["digest"].as_str().unwrap_or_default().to_owned());
}

/// What a JSON body must be.
fn json_body(check: impl Fn(&Value) -> bool + 'static) -> impl Fn(&Response) -> Option<String> {
    move |answer| {
        let fits = serde_json::from_slice(&answer.body).is_ok_and(|value| check(&value));
        (!fits).then(|| format!("body {}", String::from_utf8_lossy(&answer.body)))
    }
}
