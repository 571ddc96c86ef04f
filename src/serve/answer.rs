//! From a request to an answer.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};

use crate::error::escaped;
use crate::fsx;
use crate::routes::{self, METHODS, NO_REFERRERS, Route, V1_VERSION, V1File};
use crate::serve::file::{self, Found};
use crate::serve::query::{self, Query};
use crate::serve::reply::{Body, error, plain};
use crate::serve::{Server, namespace};
use crate::spec::digest::Digest;
use crate::spec::manifest::{MAX_JSON, Manifest};
use crate::spec::media_type::DOCKER_SCHEMA1;

/// Answers a request and logs it.
pub(super) fn answer<T>(server: &Server, request: &Request<T>, peer: SocketAddr) -> Response<Body> {
    let path = decoded(request.uri().path());
    let mut response = match &path {
        _ if request.method() == Method::OPTIONS => preflight(),
        None => error(StatusCode::BAD_REQUEST, r#"{"error": "Bad request"}"#),
        Some(path) => route(server, request, path),
    };
    let length = response.body().len();
    let status = response.status();
    let headers = response.headers_mut();
    set_all(headers, &routes::CORS);
    if path.is_some_and(|path| routes::is_v1(&path)) {
        set_all(headers, &[("X-Docker-Registry-Version", V1_VERSION)]);
    }
    // These have no content, so no length of it (RFC 9110, section 8.6).
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    log(server, request, peer, &response);
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::none();
    }
    response
}

/// The answer to OPTIONS, whatever the path, even `*`.
fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::none());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set_all(response.headers_mut(), &routes::PREFLIGHT);
    response
}

fn set_all(headers: &mut HeaderMap, values: &[(&'static str, &'static str)]) {
    for (name, value) in values {
        headers.insert(*name, HeaderValue::from_static(value));
    }
}

fn log<T>(server: &Server, request: &Request<T>, peer: SocketAddr, response: &Response<Body>) {
    let agent = request.headers().get(USER_AGENT);
    let agent = agent.map_or(Cow::Borrowed("-"), |agent| {
        String::from_utf8_lossy(agent.as_bytes())
    });
    server.log.access(&format!(
        "{} \"{} {}\" {} {} \"{}\"",
        peer.ip(),
        request.method(),
        escaped(request.uri().to_string()),
        response.status().as_u16(),
        response.body().len(),
        escaped(agent)
    ));
}

/// Normalises a path: decodes escapes, merges slashes, resolves `.` and `..`. `None` if it leads out of the
/// site.
fn decoded(path: &str) -> Option<String> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let folder = path.ends_with('/') && !parts.is_empty();
    Some(format!(
        "/{}{}",
        parts.join("/"),
        if folder { "/" } else { "" }
    ))
}

fn route<T>(server: &Server, request: &Request<T>, path: &str) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = error(StatusCode::METHOD_NOT_ALLOWED, routes::read_only(path));
        let allowed = HeaderValue::from_static(METHODS);
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let query = request.uri().query().map(Query::new).unwrap_or_default();
    let meant = namespace::meant(path, query.get(namespace::PARAMETER), |folder| {
        let meta = fsx::meta(&server.site.path(&format!("v2/{folder}")));
        meta.is_ok_and(|meta| meta.is_some_and(|meta| meta.is_dir))
    });
    let mut response = match &meant.path {
        Some(meant) => look_up(server, request, &query, meant, path),
        None => missing(path),
    };
    if let Some(namespace) = meant.namespace {
        response.headers_mut().insert(namespace::HEADER, namespace);
    }
    response
}

/// Answers with what is at a path. `asked` is the path of the request, for links.
fn look_up<T>(
    server: &Server,
    request: &Request<T>,
    query: &Query<'_>,
    path: &str,
    asked: &str,
) -> Response<Body> {
    let route = Route::of(path);
    let Some((route, found)) = route.and_then(|route| Some((route, find(server, &route)?))) else {
        return missing(path);
    };
    let answer = match query::answer(&route, query, asked, &found) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => respond(server, request, route, found),
        Err(problem) => Err(problem),
    };
    answer.unwrap_or_else(|problem| {
        server.log.problem(&format!("{problem:#}"));
        error(
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"error": "Internal error"}"#,
        )
    })
}

/// The answer for a path without content.
fn missing(path: &str) -> Response<Body> {
    match Route::of(path) {
        Some(route @ Route::Referrers(..)) => {
            plain(&route, "", Bytes::from_static(NO_REFERRERS.as_bytes()))
        }
        _ if routes::asks_of_no_digest(path) => {
            error(StatusCode::BAD_REQUEST, routes::not_found(path))
        }
        _ => error(StatusCode::NOT_FOUND, routes::not_found(path)),
    }
}

/// The first file of a route that exists. To clients a file that cannot be read is missing.
fn find(server: &Server, route: &Route<'_>) -> Option<Found> {
    let mut files = route.files();
    // If a tag changes its type meanwhile, the old name may be gone when it is looked up, and the new one may
    // have appeared after its own lookup. So look twice.
    if let Route::Tagged(..) = route {
        files.extend(route.files());
    }
    files
        .into_iter()
        .find_map(|name| match fsx::open_regular(&server.site.path(&name)) {
            Ok(found) => found.map(|(file, meta)| Found { name, file, meta }),
            Err(problem) => {
                server.log.problem(&format!("{problem:#}"));
                None
            }
        })
}

fn respond<T>(
    server: &Server,
    request: &Request<T>,
    route: Route<'_>,
    found: Found,
) -> anyhow::Result<Response<Body>> {
    match route {
        Route::Tagged(..) => {
            // Read it whole, so that the digest is that of the bytes that are sent.
            let bytes = found.read(MAX_JSON)?;
            let media_type = route.media_type(&found.name);
            // The digest of a signed schema 1 manifest is that of its payload, without the signatures.
            let digest = if media_type == DOCKER_SCHEMA1 {
                let parsed = Manifest::parse(bytes.as_slice().into(), Some(media_type));
                parsed.ok().map(|manifest| manifest.digest)
            } else {
                Some(Digest::of(&bytes))
            };
            let mut response = plain(&route, &found.name, bytes.into());
            if let Some(digest) = digest {
                set_digest(&mut response, &digest);
            }
            Ok(response)
        }
        Route::V2 => {
            let mut response = plain(&route, &found.name, Bytes::new());
            *response.body_mut() = found.into_body();
            let agent = request.headers().get(USER_AGENT);
            let agent = agent
                .and_then(|agent| agent.to_str().ok())
                .unwrap_or_default();
            let has_v1 = fsx::meta(&server.site.path("v1/_ping"))?.is_some();
            if routes::says_v2_version(agent, has_v1) {
                let version = HeaderValue::from_static(routes::V2_VERSION);
                let headers = response.headers_mut();
                headers.insert("Docker-Distribution-Api-Version", version);
            }
            Ok(response)
        }
        Route::V1Image(id, part @ (V1File::Json | V1File::Layer)) => {
            let layer = match part {
                V1File::Layer => Some(found.meta),
                _ => fsx::meta(&server.site.path(&format!("v1/images/{id}/layer")))?,
            };
            let mut response = file::immutable(request, &route, found);
            // Docker 1.4 resumes an interrupted transfer only if it knows the length of the layer.
            if let (Some(layer), true) = (layer, response.status().is_success()) {
                response
                    .headers_mut()
                    .insert("X-Docker-Size", layer.len.into());
            }
            if part == V1File::Json && response.status().is_success() {
                let checksum = server.site.v1_checksum(id).ok().flatten();
                if let Some(checksum) = checksum.map(|checksum| checksum.hex()) {
                    let value = HeaderValue::try_from(checksum)?;
                    response.headers_mut().insert("X-Docker-Checksum", value);
                }
            }
            Ok(response)
        }
        _ if route.cache() == routes::Cache::Immutable => {
            let mut response = file::immutable(request, &route, found);
            if let Some(digest) = route
                .digest()
                .filter(|_| !response.status().is_client_error())
            {
                set_digest(&mut response, &digest);
                // ollama asks for parts of a blob where this says.
                if let Route::Blob(..) = route {
                    let location = HeaderValue::try_from(format!("./{digest}"))?;
                    response.headers_mut().insert(LOCATION, location);
                }
            }
            Ok(response)
        }
        _ => {
            let mut response = plain(&route, &found.name, Bytes::new());
            *response.body_mut() = found.into_body();
            Ok(response)
        }
    }
}

fn set_digest(response: &mut Response<Body>, digest: &Digest) {
    if let Ok(value) = HeaderValue::try_from(digest.to_string()) {
        response
            .headers_mut()
            .insert("Docker-Content-Digest", value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::serve::Silent;
    use crate::site_files::SiteFiles;

    /// The answer of a site without any file.
    fn answer_of(method: &str, target: &str) -> Response<Body> {
        let server = Server {
            site: SiteFiles::new("/dev/null"),
            log: Arc::new(Silent),
            tls: None,
        };
        let request = Request::builder().method(method).uri(target);
        let peer = SocketAddr::from(([127, 0, 0, 1], 0));
        answer(&server, &request.body(()).unwrap(), peer)
    }

    #[test]
    fn options_are_answered_for_any_path() {
        for (target, is_v1) in [
            ("*", false),
            ("/", false),
            ("/v2/", false),
            ("/v2/app/manifests/1?ns=x", false),
            ("/v2/..%2f..%2f..%2fetc", false),
            ("/none", false),
            ("/v1/_ping", true),
            ("http://registry.test/v1/images/x/json", true),
        ] {
            let answer = answer_of("OPTIONS", target);
            assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{target}");
            assert_eq!(answer.body().len(), 0, "{target}");
            let mut expected = [&routes::CORS[..], &routes::PREFLIGHT].concat();
            if is_v1 {
                expected.push(("X-Docker-Registry-Version", V1_VERSION));
            }
            let mut expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| (name.to_lowercase(), (*value).to_owned()))
                .collect();
            let headers = answer.headers().iter();
            let mut sent: Vec<_> = headers
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            expected.sort();
            sent.sort();
            assert_eq!(sent, expected, "{target}");
        }
    }

    #[test]
    fn pages_of_other_origins_may_read_errors_too() {
        for (method, target, status) in [
            ("GET", "/v2/..%2f..%2f..%2fetc", 400),
            ("GET", "/v2/app/referrers/x", 400),
            ("GET", "/v2/app/manifests/1", 404),
            ("HEAD", "/v2/app/manifests/1", 404),
            ("GET", "/v1/_ping", 404),
            ("POST", "/v2/app/blobs/uploads/", 405),
            ("DELETE", "*", 405),
        ] {
            let answer = answer_of(method, target);
            assert_eq!(answer.status(), status, "{method} {target}");
            for (name, value) in routes::CORS {
                assert_eq!(answer.headers()[name], value, "{method} {target}");
            }
            let allow = answer.headers().get(ALLOW);
            let expected = HeaderValue::from_static("GET, HEAD, OPTIONS");
            let expected = (status == 405).then_some(&expected);
            assert_eq!(allow, expected, "{method} {target}");
        }
    }

    #[test]
    fn paths_are_decoded_and_stay_inside() {
        for (path, meant) in [
            ("/", Some("/")),
            ("//v2//a%2Fb/", Some("/v2/a/b/")),
            ("/v2/./x/../y", Some("/v2/y")),
            ("/v2/..%2f..%2fetc", None),
            ("/..", None),
            ("/a%0ab%zz", Some("/a\nb%zz")),
            ("/%ff", Some("/\u{fffd}")),
        ] {
            assert_eq!(decoded(path).as_deref(), meant, "{path}");
        }
    }
}
