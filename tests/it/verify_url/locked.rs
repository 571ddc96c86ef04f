//! Servers that let nobody in without a login.

use crate::support::bad_server::{BadServer, Fault, Request};
use crate::support::findings::{found, kinds, run};
use crate::support::site::{small_site, stderr};

fn is_root(asked: &Request) -> bool {
    asked.path == "/index.json" || asked.path == "/v2/"
}

#[test]
fn a_login_is_one_error() {
    let faults: [(Fault, &str); 3] = [
        (
            |_, reply| {
                if let Some(reply) = reply {
                    reply.become_error(401, "text/html", "<h1>401");
                    reply.set("WWW-Authenticate", "Basic realm=x");
                }
            },
            "401",
        ),
        (
            |_, reply| {
                if let Some(reply) = reply {
                    reply.become_error(403, "text/html", "<h1>403");
                }
            },
            "403",
        ),
        (
            |asked, reply| {
                if let Some(reply) = reply.filter(|_| is_root(asked)) {
                    reply.become_error(401, "application/json", "{}");
                }
            },
            "401",
        ),
    ];
    let site = small_site();
    for (fault, status) in faults {
        let server = BadServer::start(site.path(), fault);
        let output = run(&format!("http://127.0.0.1:{}", server.port), &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(output.stdout, b"");
        let messages = stderr(&output);
        assert!(
            messages.starts_with("error: ") && messages.lines().count() == 2,
            "{messages}"
        );
        assert!(messages.contains(status), "{messages}");
        assert!(messages.contains("\nhint: only a server"), "{messages}");
    }
}

#[test]
fn a_bucket_that_refuses_what_is_missing_is_checked() {
    let site = small_site();
    let server = BadServer::start(site.path(), |asked, reply| {
        let refused = asked.path == "/index.json";
        if let Some(reply) = reply.filter(|reply| refused || reply.status == 404) {
            reply.become_error(403, "application/json", "{}");
        }
    });
    let found = found(server.port, &[]);
    assert_eq!(kinds(&found, "error"), ["refused-missing"], "{found:#?}");
    assert_eq!(kinds(&found, "note"), ["no-catalogue"], "{found:#?}");
}
