//! What every answer must keep to, whatever its body: redirects, encoding, caching.

use crate::check_url::client::{Answer, Ask};
use crate::check_url::{Probe, kinds};
use crate::routes::{Cache, Route, V1File};

/// The encodings that clients decode (RFC 9110, section 8.4.1, and what came later).
const DECODED: [&str; 6] = ["gzip", "x-gzip", "compress", "deflate", "br", "zstd"];
/// How long a cache may keep a tag before that is worth a note, in seconds.
const LONG: u64 = 300;
/// How long a cache may keep a tag before that is an error, in seconds.
const TOO_LONG: u64 = 86_400;

/// Checks the headers of an answer from a path.
pub(super) fn judge(probe: &Probe<'_>, path: &str, answer: &Answer) {
    let Some(route) = Route::of(path) else {
        return;
    };
    redirects(probe, path, &route, answer);
    if !(answer.status == 200 || answer.status == 206) {
        return;
    }
    encoding(probe, path, &route, answer);
    if route.cache() == Cache::Pointer && !matches!(route, Route::Page(_)) {
        age(probe, path, answer);
    }
}

/// Checks `/v2/`, where clients look for the API, and browsers whether another page may read it.
pub(super) fn v2_root(probe: &Probe<'_>) {
    let path = "/v2/";
    let Some(answer) = probe.ask(Ask::get(path)) else {
        return;
    };
    if answer.status != 200 {
        let what = format!("the status is {}", answer.status);
        probe.add(&kinds::V2_STATUS, path, what);
    } else if answer.header("Access-Control-Allow-Origin").is_none() {
        let what = "there is no Access-Control-Allow-Origin";
        probe.add(&kinds::NO_CORS, path, what);
    }
}

/// Checks who gets the version of v2 on `/v2/`: daemons of Docker 1.6 to 1.9 must not, since they would no longer
/// look for v1, and `docker manifest` of 20.10 must.
pub(super) fn api_version(probe: &Probe<'_>) {
    let path = "/v2/";
    let version = |agent: &str| {
        let headers = [("User-Agent", agent)];
        let answer = probe.ask(Ask::get(path).with(&headers))?;
        (answer.status == 200).then(|| answer.header("Docker-Distribution-Api-Version"))
    };
    if probe.offer.v1
        && let Some(Some(version)) = version("docker/1.9.1 go/go1.4.3")
    {
        let what = format!("Docker 1.9 gets `Docker-Distribution-Api-Version: {version}`");
        probe.add(&kinds::API_VERSION, path, what);
    }
    if let Some(None) = version("Docker-Client/20.10.24 (linux)") {
        let what = "there is no Docker-Distribution-Api-Version";
        probe.add(&kinds::NO_API_VERSION, path, what);
    }
}

fn redirects(probe: &Probe<'_>, path: &str, route: &Route<'_>, answer: &Answer) {
    if answer.endless {
        probe.add(&kinds::REDIRECT_LOOP, path, "there are too many redirects");
    } else if let (Route::V1Tags(_), Some(status)) = (route, answer.hops.first()) {
        probe.add(
            &kinds::TAGS_REDIRECT,
            path,
            format!("the status is {status}"),
        );
    }
    if path.starts_with("/v1/") && answer.hops.contains(&308) {
        probe.add(&kinds::REDIRECT_308, path, "the status is 308");
    }
}

/// A `Content-Encoding` that the request did not allow is a wrong label; one that it allowed is compression
/// in transit.
fn encoding(probe: &Probe<'_>, path: &str, route: &Route<'_>, answer: &Answer) {
    let Some(encoding) = answer.encoding() else {
        return;
    };
    if !DECODED.contains(&encoding.as_str()) {
        let what = format!("it is labelled `Content-Encoding: {encoding}`");
        probe.add(&kinds::UNKNOWN_ENCODING, path, what);
    } else if !answer.took_gzip {
        probe.add(
            &kinds::CONTENT_ENCODING,
            path,
            format!("it is labelled `Content-Encoding: {encoding}`"),
        );
    } else if matches!(route, Route::Blob(..) | Route::V1Image(_, V1File::Layer)) {
        probe.add(
            &kinds::COMPRESSED,
            path,
            format!("a request that allows gzip gets `Content-Encoding: {encoding}`"),
        );
    }
}

fn age(probe: &Probe<'_>, path: &str, answer: &Answer) {
    let Some(control) = answer.own_header("Cache-Control") else {
        // Caches keep these redirects only if a header says so (RFC 9110, section 15.4).
        if matches!(answer.hops.first(), Some(302 | 303 | 307)) {
            return;
        }
        probe.add(&kinds::NO_CACHE_CONTROL, path, "there is no Cache-Control");
        return;
    };
    let lower = control.to_ascii_lowercase();
    let directives: Vec<&str> = lower.split(',').map(str::trim).collect();
    let says = |name: &str| directives.contains(&name);
    if says("no-cache") || says("no-store") {
        return;
    }
    let seconds = |name: &str| {
        let value = directives
            .iter()
            .find_map(|directive| directive.strip_prefix(name));
        value.map(|value| seconds_of(value.trim_matches('"')))
    };
    let age = seconds("max-age=").max(seconds("s-maxage="));
    let what = format!("it says `Cache-Control: {control}`");
    if says("immutable") || age.is_some_and(|age| age >= TOO_LONG) {
        probe.add(&kinds::POINTER_IMMUTABLE, path, what);
    } else if age.is_some_and(|age| age > LONG) {
        probe.add(&kinds::POINTER_AGE, path, what);
    }
}

/// A number of seconds; one that is too large counts as the maximum (RFC 9111, section 1.2.2).
fn seconds_of(text: &str) -> u64 {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().unwrap_or(if is_number { u64::MAX } else { 0 })
}
