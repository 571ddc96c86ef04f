//! A request and what a registry must answer, as a row of a table.

use super::http::{self, Response};

pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
pub(crate) const POINTER: &str = "public, max-age=60, must-revalidate";

/// What a site answers.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS";

/// What Docker 1.6 to 1.9 must not get.
pub(crate) const V2_VERSION: &str = "Docker-Distribution-Api-Version";

/// A request and its answer.
pub(crate) struct Row {
    method: &'static str,
    path: String,
    request: Vec<(&'static str, String)>,
    status: u16,
    /// Headers and their values; an empty value stands for any.
    present: Vec<(&'static str, String)>,
    absent: Vec<&'static str>,
    body: Option<Vec<u8>>,
    also: Vec<Check>,
    as_head: bool,
}

/// What is wrong with an answer, if anything is.
type Check = Box<dyn Fn(&Response) -> Option<String>>;

/// A request with this method, which is answered 200.
pub(crate) fn row(method: &'static str, path: impl Into<String>) -> Row {
    Row {
        method,
        path: path.into(),
        request: Vec::new(),
        status: 200,
        present: Vec::new(),
        absent: Vec::new(),
        body: None,
        also: Vec::new(),
        as_head: true,
    }
}

/// A GET, which is answered 200. It is sent as a HEAD too.
pub(crate) fn get(path: impl Into<String>) -> Row {
    row("GET", path)
}

impl Row {
    /// Sends a header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.request.push((name, value.into()));
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn has(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.present.push((name, value.into()));
        self
    }

    pub(crate) fn lacks(mut self, name: &'static str) -> Self {
        self.absent.push(name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// What no list of headers can say; not asked of the HEAD that goes with a GET.
    pub(crate) fn also(mut self, check: impl Fn(&Response) -> Option<String> + 'static) -> Self {
        self.also.push(Box::new(check));
        self
    }

    /// A GET that is not sent as a HEAD.
    pub(crate) fn get_alone(mut self) -> Self {
        self.as_head = false;
        self
    }

    /// Content that never changes: cached for ever, with validators and ranges.
    pub(crate) fn immutable(self, media_type: &str) -> Self {
        self.has("Content-Type", media_type)
            .has("Cache-Control", IMMUTABLE)
            .has("ETag", "")
            .has("Last-Modified", "")
            .has("Accept-Ranges", "bytes")
    }

    /// A file that may be replaced at any time, and that no digest identifies.
    pub(crate) fn pointer(self, media_type: &str) -> Self {
        self.moving(media_type).lacks("Docker-Content-Digest")
    }

    /// A file that may be replaced at any time: no validator, since nginx's cannot be trusted for it.
    pub(crate) fn moving(self, media_type: &str) -> Self {
        self.has("Content-Type", media_type)
            .has("Cache-Control", POINTER)
            .lacks("ETag")
            .lacks("Last-Modified")
    }

    /// An error in JSON, which no cache keeps.
    fn error(self, status: u16, body: String) -> Self {
        self.status(status)
            .has("Content-Type", "application/json")
            .has("Cache-Control", "no-cache")
            .lacks("ETag")
            .lacks("Last-Modified")
            .lacks("Docker-Content-Digest")
            .body(body)
    }

    /// A v1 error, or one of a path that belongs to no API.
    pub(crate) fn v1_error(self, status: u16, message: &str) -> Self {
        self.error(status, format!(r#"{{"error": "{message}"}}"#))
    }

    pub(crate) fn v2_error(self, status: u16, code: &str, message: &str) -> Self {
        let item = format!(r#"{{"code":"{code}","message":"{message}","detail":null}}"#);
        self.error(status, format!(r#"{{"errors":[{item}]}}"#))
    }

    /// Sends it; what is wrong with the answer.
    pub(crate) fn check(&self, port: u16) -> Vec<String> {
        self.check_of(port, true)
    }

    /// The same, of a server that may say the same of all that is missing.
    pub(crate) fn check_of(&self, port: u16, own_errors: bool) -> Vec<String> {
        let mut wrong = self.check_method(port, self.method, own_errors);
        if self.method == "GET" && self.as_head {
            wrong.extend(self.check_method(port, "HEAD", own_errors));
        }
        wrong
    }

    fn check_method(&self, port: u16, method: &str, own_errors: bool) -> Vec<String> {
        let headers: Vec<_> = self.request.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let name = |what: String| format!("{method} {} {:?}: {what}", self.path, self.request);
        let answer = match http::send(port, method, &self.path, &headers) {
            Ok(answer) => answer,
            Err(error) => return vec![name(format!("no answer: {error}"))],
        };
        if !own_errors && (self.status, answer.status) == (404, 404) {
            let missing = row(self.method, "").error(404, String::new());
            return missing
                .compare_headers(&answer)
                .into_iter()
                .map(name)
                .collect();
        }
        let mut wrong = self.compare(&answer, method);
        let is_expected = self.present.iter().any(|(name, _)| *name == V2_VERSION);
        if !is_expected && answer.header(V2_VERSION).is_some() {
            wrong.push(format!("has {V2_VERSION}"));
        }
        wrong.extend(always_wrong(&answer, method, &self.path));
        wrong.extend(closed_to_pages(&answer));
        wrong.into_iter().map(name).collect()
    }

    fn compare(&self, answer: &Response, method: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        if answer.status != self.status {
            wrong.push(format!("status {}, not {}", answer.status, self.status));
        }
        wrong.extend(self.compare_headers(answer));
        if method == self.method {
            wrong.extend(self.also.iter().filter_map(|check| check(answer)));
        }
        if let Some(body) = &self.body {
            let length = answer.header("Content-Length").map(str::to_owned);
            if length != Some(body.len().to_string()) {
                wrong.push(format!("Content-Length {length:?}, not {}", body.len()));
            }
            if method != "HEAD" && answer.body != *body {
                let text = String::from_utf8_lossy(&answer.body);
                wrong.push(format!("body {text:?}"));
            }
        }
        wrong
    }

    fn compare_headers(&self, answer: &Response) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, value) in &self.present {
            let have = answer.header(name);
            if have.is_none_or(|have| !value.is_empty() && have != value) {
                wrong.push(format!("{name} is {have:?}, not {value:?}"));
            }
        }
        for name in &self.absent {
            if let Some(have) = answer.header(name) {
                wrong.push(format!("has {name}: {have}"));
            }
        }
        wrong
    }
}

/// What no answer may have, whatever the request was.
fn always_wrong(answer: &Response, method: &str, path: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if answer.header("Content-Encoding").is_some() {
        wrong.push("has Content-Encoding".to_owned());
    }
    if let Some(have) = answer.header("Location")
        && !is_place_of_blob(have, answer, path)
    {
        wrong.push(format!("has Location: {have}"));
    }
    for (name, _) in &answer.headers {
        answer.header(name); // fails when it came twice
    }
    if answer
        .header("Content-Type")
        .is_some_and(|t| t.contains(';'))
    {
        wrong.push("a parameter on Content-Type".to_owned());
    }
    let is_v1 = path == "/v1" || path.starts_with("/v1/");
    if answer.header("X-Docker-Registry-Version").is_some() != is_v1 {
        wrong.push("X-Docker-Registry-Version: present on v1 answers alone".to_owned());
    }
    if matches!(answer.status, 204 | 405) != (answer.header("Allow") == Some(METHODS)) {
        wrong.push(format!("Allow is {:?}", answer.header("Allow")));
    }
    if matches!(answer.status, 204 | 304) {
        if !answer.body.is_empty() {
            wrong.push(format!("{} with a body", answer.status));
        }
        return wrong;
    }
    let length = answer.header("Content-Length");
    if length.is_none() {
        wrong.push("no Content-Length".to_owned());
    }
    if method == "HEAD" {
        if !answer.body.is_empty() {
            wrong.push("a body on HEAD".to_owned());
        }
    } else if length != Some(answer.body.len().to_string().as_str()) {
        wrong.push(format!(
            "Content-Length {length:?} for {} bytes",
            answer.body.len()
        ));
    }
    wrong
}

/// What pages of other origins lack to read an answer.
fn closed_to_pages(answer: &Response) -> Vec<String> {
    let cors = [
        ("Access-Control-Allow-Origin", "*"),
        (
            "Access-Control-Expose-Headers",
            "Docker-Content-Digest, Link",
        ),
    ];
    let other = cors
        .into_iter()
        .filter(|(name, value)| answer.header(name) != Some(*value));
    other
        .map(|(name, _)| format!("{name} is {:?}", answer.header(name)))
        .collect()
}

/// Whether it says where a blob is, as ollama wants it. Of anything else it would be a redirect.
fn is_place_of_blob(location: &str, answer: &Response, path: &str) -> bool {
    let mut parts = path.split('?').next().unwrap_or(path).rsplit('/');
    let (last, folder) = (parts.next().unwrap_or_default(), parts.next());
    let digest = last.replace("%3A", ":");
    let hex = digest.trim_start_matches("sha256:");
    let is_blob = folder == Some("blobs") && location == format!("./{digest}");
    let is_object = matches!(folder, Some("blobs" | "sha256"));
    answer.status < 400 && (is_blob || is_object && location == format!("/blobs/sha256/{hex}"))
}
