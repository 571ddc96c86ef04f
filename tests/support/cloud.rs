//! A cloud on one port of the loopback: a store, and the services that give credentials.
//!
//! The secret of a key `K` is `secret-of-K`, the token of a temporary key (`ASIA..`) is `token-of-K`. A role
//! `NAME.by.WHO` is lent to the key or the web identity token `WHO`, as the key `ASIANAME`. What is below `/expired`
//! gives credentials of the past.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

/// What a role wants to be told, beside who asks.
const DEMANDS: [(&str, &str, &str); 3] = [
    ("outside", "ExternalId", "tenant/1"),
    ("named", "RoleSessionName", "me@home"),
    ("named", "DurationSeconds", "1800"),
];

/// What containers and people must show.
pub(crate) const CONTAINER_TOKEN: &str = "Basic token-of-container";
pub(crate) const SSO_TOKEN: &str = "token-of-sso";

struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = reader.by_ref().lines().map_while(Result::ok);
        let first = lines.next()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.take_while(|line| !line.is_empty());
        let headers = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        let mut request = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.collect(),
            body: Vec::new(),
        };
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    /// The value of a header; empty if it is not there.
    fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(have, _)| have == name)
            .map_or("", |(_, value)| value)
    }

    /// The value of a field of the body; empty if it is not there.
    fn field(&self, name: &str) -> String {
        let body = std::str::from_utf8(&self.body).unwrap();
        let mut fields = body.split('&').filter_map(|field| field.split_once('='));
        let value = fields.find(|(have, _)| *have == name);
        value.map_or(String::new(), |(_, value)| {
            percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .unwrap()
                .into_owned()
        })
    }

    /// The key and the region of a signature that is right, for the host that the request came to.
    fn signer(&self) -> Option<(String, String)> {
        let text = self.header("authorization");
        let part = |name: &str| text.split(name).nth(1)?.split(',').next();
        let (scope, names) = (part("Credential=")?, part("SignedHeaders=")?);
        let mut words = scope.split('/');
        let (key, day) = (words.next()?, words.next()?);
        let (region, service) = (words.next()?, words.next()?);
        assert!(names.split(';').any(|name| name == "host"), "{names}");
        let headers = names.split(';');
        let headers = headers.map(|name| format!("{name}:{}\n", self.header(name)));
        let headers = headers.collect::<Vec<_>>().concat();
        let sum = self.header("x-amz-content-sha256");
        assert_eq!(sum, hex(&Sha256::digest(&self.body)));
        let (method, path, query) = (&self.method, &self.path, &self.query);
        let request = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{sum}");
        let (_, scope) = scope.split_once('/')?;
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            self.header("x-amz-date"),
            hex(&Sha256::digest(request))
        );
        let secret = format!("AWS4secret-of-{key}");
        let words = [day, region, service, "aws4_request"];
        let secret = words.iter().fold(secret.into_bytes(), |secret, word| {
            hmac(&secret, word.as_bytes())
        });
        let is_right = part("Signature=")? == hex(&hmac(&secret, text.as_bytes()));
        let token = self.header("x-amz-security-token");
        let has_token = if key.starts_with("ASIA") {
            token == format!("token-of-{key}")
        } else {
            token.is_empty()
        };
        (is_right && has_token).then(|| (key.to_owned(), region.to_owned()))
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

/// HMAC-SHA256 (RFC 2104) for keys of at most 64 bytes.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        block.to_vec()
    };
    let inner = Sha256::digest([&padded(0x36), text].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}

/// Runs as long as the test.
pub(crate) struct Cloud {
    pub(crate) port: u16,
    /// Who asked the store: key and region.
    publishers: Arc<Mutex<Vec<(String, String)>>>,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let publishers = Arc::new(Mutex::new(Vec::new()));
        let seen = publishers.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = seen.clone();
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { port, publishers }
    }

    /// Who has asked the store since this was called last, each once: `KEY@REGION`.
    pub(crate) fn publishers(&self) -> Vec<String> {
        let mut all: Vec<String> = std::mem::take(&mut *self.publishers.lock().unwrap())
            .into_iter()
            .map(|(key, region)| format!("{key}@{region}"))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

fn serve(mut stream: TcpStream, publishers: &Mutex<Vec<(String, String)>>) {
    let Some(request) = Request::read(&stream) else {
        return;
    };
    let (status, body) = answer(&request, publishers);
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all((head + &body).as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn answer(request: &Request, publishers: &Mutex<Vec<(String, String)>>) -> (u16, String) {
    let path = request.path.as_str();
    let (path, end) = match path.strip_prefix("/expired") {
        Some(rest) => (rest, "2020-01-01T00:00:00Z"),
        None => (path, "2099-01-01T00:00:00Z"),
    };
    match (request.method.as_str(), path) {
        ("PUT", "/latest/api/token") => (200, "token-of-session".into()),
        ("GET", path) if path.starts_with("/latest/") => instance(request, path, end),
        ("GET", "/container") if request.header("authorization") == CONTAINER_TOKEN => {
            (200, json("ASIACONTAINER", end))
        }
        ("GET", "/container") => (403, "no".into()),
        ("GET", "/sso/federation/credentials") => sso(request),
        ("POST", "/sts/") => lend(request, end),
        ("GET", path) if path.starts_with("/bucket") => store(request, publishers),
        _ => (500, String::new()),
    }
}

fn json(key: &str, end: &str) -> String {
    format!(
        r#"{{"Code": "Success", "AccessKeyId": "{key}", "SecretAccessKey": "secret-of-{key}",
        "Token": "token-of-{key}", "Expiration": "{end}"}}"#
    )
}

fn instance(request: &Request, path: &str, end: &str) -> (u16, String) {
    let has_token = request.header("x-aws-ec2-metadata-token") == "token-of-session";
    match path.strip_prefix("/latest/meta-data/iam/security-credentials/") {
        _ if !has_token => (401, String::new()),
        Some("") => (200, "my-role".into()),
        Some("my-role") => (200, json("ASIAINSTANCE", end)),
        _ => (404, String::new()),
    }
}

fn sso(request: &Request) -> (u16, String) {
    let is_known = request.header("x-amz-sso_bearer_token") == SSO_TOKEN
        && request.query == "role_name=Publisher&account_id=123456789012";
    let body = r#"{"roleCredentials": {"accessKeyId": "ASIASSO", "secretAccessKey": "secret-of-ASIASSO",
        "sessionToken": "token-of-ASIASSO", "expiration": 4070908800000}}"#;
    if is_known {
        (200, body.into())
    } else {
        (401, "{}".into())
    }
}

fn lend(request: &Request, end: &str) -> (u16, String) {
    let (action, arn) = (request.field("Action"), request.field("RoleArn"));
    let role = arn.strip_prefix("arn:aws:iam::123456789012:role/");
    let (name, trusted) = role.and_then(|role| role.split_once(".by.")).unwrap();
    let (code, who) = if action == "AssumeRole" {
        let signer = request.signer().map(|(key, _)| key);
        ("AccessDenied", signer.unwrap_or_default())
    } else {
        assert_eq!(request.header("authorization"), "");
        ("InvalidIdentityToken", request.field("WebIdentityToken"))
    };
    let mut demands = DEMANDS.iter().filter(|(role, ..)| *role == name);
    if who != trusted || !demands.all(|(_, field, value)| request.field(field) == *value) {
        let error = format!("<Code>{code}</Code><Message>not to {who}</Message>");
        return (
            403,
            format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"),
        );
    }
    let key = format!("ASIA{}", name.to_ascii_uppercase());
    let keys = format!(
        "<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret-of-{key}</SecretAccessKey>\
         <SessionToken>token-of-{key}</SessionToken><Expiration>{end}</Expiration>"
    );
    let result = format!("<{action}Result><Credentials>{keys}</Credentials></{action}Result>");
    (
        200,
        format!("<{action}Response>{result}</{action}Response>"),
    )
}

/// An empty bucket.
fn store(request: &Request, publishers: &Mutex<Vec<(String, String)>>) -> (u16, String) {
    let Some(signer) = request.signer() else {
        return (
            403,
            "<Error><Code>SignatureDoesNotMatch</Code></Error>".into(),
        );
    };
    publishers.lock().unwrap().push(signer);
    if request.query.contains("list-type") {
        (200, "<ListBucketResult></ListBucketResult>".into())
    } else {
        (404, "<Error><Code>NoSuchKey</Code></Error>".into())
    }
}
