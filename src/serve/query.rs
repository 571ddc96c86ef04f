//! Queries on lists: search, pages, and filters of referrers.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{HeaderValue, LINK};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::routes::Route;
use crate::serve::file::Found;
use crate::serve::namespace;
use crate::serve::reply::{Body, error, plain};

/// The longest list that is read for a query, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// The parameters of a query, decoded.
#[derive(Default)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_ref())
    }
}

/// The answer to a query; `None` if the file answers it as it is. `asked` is the path of the request.
pub(super) fn answer(
    route: &Route<'_>,
    query: &Query<'_>,
    asked: &str,
    found: &Found,
) -> anyhow::Result<Option<Response<Body>>> {
    let asks = |names: &[&str]| names.iter().any(|name| query.get(name).is_some());
    let value = || -> anyhow::Result<Value> { Ok(serde_json::from_slice(&found.read(MAX_LIST)?)?) };
    Ok(match route {
        Route::Search if asks(&["q", "n", "page"]) => Some(send(route, &search(query, &value()?))),
        Route::Tags(_) if asks(&["n", "last"]) => {
            // The next page is one of the same registry.
            let ns = query
                .get(namespace::PARAMETER)
                .filter(|ns| namespace::host(ns).is_some());
            let ns = ns.map(|ns| format!("{}={ns}&", namespace::PARAMETER));
            let address = format!("{asked}?{}", ns.unwrap_or_default());
            Some(page(route, query, value()?, "tags", &address))
        }
        Route::Catalog if asks(&["n", "last"]) => Some(page(
            route,
            query,
            value()?,
            "repositories",
            "/v2/_catalog?",
        )),
        Route::Referrers(..) if asks(&["artifactType"]) => {
            // Types have no spaces, but many have a plus, which not every client escapes.
            let kind = query.get("artifactType").unwrap_or_default();
            let kind = kind.replace(' ', "+");
            let mut response = send(route, &of_kind(value()?, &kind));
            let applied = HeaderValue::from_static("artifactType");
            response
                .headers_mut()
                .insert("OCI-Filters-Applied", applied);
            Some(response)
        }
        _ => None,
    })
}

fn send(route: &Route<'_>, value: &Value) -> Response<Body> {
    plain(route, "", Bytes::from(value.to_string()))
}

/// Repositories whose name contains the term (Docker Registry API v1, "Search"): `n` to a page, 25 by default
/// and at most 100.
fn search(query: &Query<'_>, all: &Value) -> Value {
    let number = |name, default| {
        let given = query.get(name).and_then(|text| text.parse::<usize>().ok());
        given.unwrap_or(default).max(1)
    };
    let term = query.get("q").unwrap_or_default();
    let size = number("n", 25).min(100);
    let page = number("page", 1);
    let term_lower = term.to_lowercase();
    let results = all["results"].as_array().into_iter().flatten();
    let matching: Vec<&Value> = results
        .filter(|result| {
            result["name"]
                .as_str()
                .unwrap_or_default()
                .contains(&term_lower)
        })
        .collect();
    let shown: Vec<&Value> = matching
        .iter()
        .skip(size.saturating_mul(page - 1))
        .take(size)
        .copied()
        .collect();
    json!({
        "num_pages": matching.len().div_ceil(size).max(1),
        "num_results": matching.len(),
        "page": page,
        "page_size": size,
        "query": term,
        "results": shown,
    })
}

/// The next `n` names after `last`, with a `Link` to the next page (distribution-spec, "Content Discovery"). `address`
/// is that of the list, up to the parameters that say which page.
fn page(
    route: &Route<'_>,
    query: &Query<'_>,
    mut value: Value,
    key: &str,
    address: &str,
) -> Response<Body> {
    let Some(limit) = query
        .get("n")
        .map_or(Some(usize::MAX), |text| text.parse().ok())
    else {
        return error(
            StatusCode::BAD_REQUEST,
            r#"{"errors":[{"code":"UNSUPPORTED","message":"invalid number of results requested","detail":null}]}"#,
        );
    };
    let last = query.get("last").unwrap_or_default();
    let names = value[key]
        .as_array_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    let after = |name: &Value| name.as_str().unwrap_or_default() > last;
    let mut rest: Vec<Value> = names.into_iter().filter(after).collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().and_then(Value::as_str).filter(|_| more);
    let link = next.and_then(|last| {
        let link = format!("<{address}n={limit}&last={last}>; rel=\"next\"");
        HeaderValue::try_from(link).ok()
    });
    value[key] = rest.into();
    let mut response = send(route, &value);
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// The referrers of one artifact type (distribution-spec, "Listing Referrers").
fn of_kind(mut index: Value, kind: &str) -> Value {
    if let Some(list) = index["manifests"].as_array_mut() {
        list.retain(|item| item["artifactType"] == kind);
    }
    index
}
