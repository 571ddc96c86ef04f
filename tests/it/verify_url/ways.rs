//! Where redirects lead, how what is missing is refused, what caches may keep: every fault is found.

use super::faults::{V1_DOCKER, V2, check, is_list, is_manifest, is_tag, on};
use crate::support::bad_server::{Reply, Request};
use crate::support::files::digest;

const CACHES: &[&str] = &["caches and CDNs"];
const ATTACHED: &[&str] = &["oras", "cosign"];
const DATE: &str = "Tue, 01 Sep 2026 00:00:00 GMT";

#[test]
fn where_redirects_lead() {
    check(&[
        (
            |asked, reply| {
                on(reply, asked.path.ends_with("/tags"), |reply| {
                    reply.redirect(301, &format!("{}/", asked.path));
                    reply.set("Cache-Control", "no-cache");
                });
            },
            &[("error", "tags-redirect", &["npm v1 client"])],
        ),
        (
            |asked, reply| {
                on(
                    reply,
                    asked.path.ends_with("/layer") && asked.query.is_none(),
                    |reply| {
                        reply.redirect(308, &format!("{}?x", asked.path));
                    },
                );
            },
            &[("error", "redirect-308", V1_DOCKER)],
        ),
        (
            |asked, reply| on(reply, is_tag(asked), |reply| reply.redirect(302, "./again")),
            &[("error", "redirect-loop", V2)],
        ),
        (
            |asked, reply| {
                on(reply, is_tag(asked), |reply| {
                    reply.redirect(302, "ftp://other/");
                });
            },
            &[("error", "no-answer", V2)],
        ),
        // From a tag to its digest, from a blob to elsewhere: everybody follows.
        (
            |asked, reply| {
                on(
                    reply.filter(|reply| reply.status == 200),
                    is_tag(asked),
                    |reply| {
                        let to = format!("./{}", reply.header("Docker-Content-Digest").unwrap());
                        reply.redirect(307, &to);
                    },
                );
            },
            &[],
        ),
        (
            |asked, reply| {
                let here = asked.has("/blobs/") && asked.query.is_none();
                on(reply.filter(|reply| reply.status < 300), here, |reply| {
                    let host = asked.header("host").unwrap();
                    reply.redirect(302, &format!("http://{host}{}?signed", asked.path));
                });
            },
            &[],
        ),
    ]);
}

#[test]
fn what_is_missing() {
    check(&[
        (
            |_, reply| {
                on(reply.filter(|reply| reply.status == 404), true, |reply| {
                    reply.become_error(403, "application/xml", "{}");
                });
            },
            &[("error", "refused-missing", &["cosign"])],
        ),
        (
            |asked, reply| {
                on(
                    reply.filter(|reply| reply.status == 404),
                    is_manifest(asked),
                    |reply| {
                        reply.become_error(200, "text/html", "<p>Welcome");
                        reply.set("Cache-Control", "no-cache");
                    },
                );
            },
            &[("error", "found-missing", ATTACHED)],
        ),
        (
            |_, reply| {
                on(reply.filter(|reply| reply.status == 404), true, |reply| {
                    reply.become_error(404, "text/html; charset=utf-8", "no");
                });
            },
            &[("note", "html-error", &["docker 1.10-20"])],
        ),
        // As S3 does.
        (
            |_, reply| {
                on(reply.filter(|reply| reply.status == 404), true, |reply| {
                    reply.become_error(404, "application/xml", "<?xml version=\"1.0\"?><Error/>");
                });
            },
            &[("note", "xml-error", &["docker 1.10-20"])],
        ),
        (
            |_, reply| {
                on(reply.filter(|reply| reply.status == 404), true, |reply| {
                    reply.become_error(404, "text/plain", "not found");
                });
            },
            &[],
        ),
        (
            |asked, reply| {
                on(reply, asked.has("/referrers/sha256:0000"), |reply| {
                    reply.become_error(404, "application/json", "{}");
                });
            },
            &[("note", "no-referrers", ATTACHED)],
        ),
        (
            |asked, reply| {
                on(reply, asked.has("/referrers/sha256:0000"), |reply| {
                    reply.become_error(403, "application/json", "{}");
                });
            },
            &[("error", "referrers", ATTACHED)],
        ),
        (
            |asked, reply| {
                on(reply, asked.has("/referrers/"), |reply| {
                    reply.set("Content-Type", "text/plain");
                });
            },
            &[("error", "referrers", ATTACHED)],
        ),
        (
            |_, reply| {
                on(reply, true, |reply| {
                    reply.become_error(404, "application/json", "{}");
                });
            },
            // There is no site at all: nothing else needs to be said.
            &[(
                "error",
                "no-list",
                &[
                    "docker <= 1.9",
                    "docker 1.10-20",
                    "docker 28/29",
                    "containerd",
                    "podman/skopeo/buildah",
                    "crane",
                    "oras",
                    "npm v1 client",
                ],
            )],
        ),
    ]);
}

/// Gives lists of tags an `ETag`, and answers 304 to whoever has it.
fn revalidate(asked: &Request, reply: Option<&mut Reply>, etag: impl Fn(&Reply) -> String) {
    on(reply, is_list(asked), |reply| {
        let etag = etag(reply);
        reply.set("ETag", etag.as_str());
        if asked.header("if-none-match") == Some(&etag) {
            reply.status = 304;
        }
    });
}

#[test]
fn what_caches_may_keep() {
    check(&[
        (
            |asked, reply| {
                on(reply, is_list(asked), |reply| {
                    reply.set("Cache-Control", "public, max-age=31536000");
                });
            },
            &[("error", "pointer-immutable", CACHES)],
        ),
        (
            |asked, reply| {
                on(reply, is_tag(asked), |reply| {
                    reply.set("Cache-Control", "max-age=60, Immutable");
                });
            },
            &[("error", "pointer-immutable", CACHES)],
        ),
        (
            |asked, reply| {
                on(reply, is_list(asked), |reply| {
                    reply.set("Cache-Control", "max-age=0, s-maxage=3600");
                });
            },
            &[("note", "pointer-age", CACHES)],
        ),
        (
            |asked, reply| {
                on(reply, is_list(asked), |reply| {
                    reply.set("Cache-Control", None);
                });
            },
            &[("note", "no-cache-control", CACHES)],
        ),
        (
            |asked, reply| {
                revalidate(asked, reply, |reply| {
                    format!("\"68b4e100-{:x}\"", reply.body.len())
                });
            },
            &[("note", "pointer-validator", CACHES)],
        ),
        (
            |asked, reply| {
                on(reply, is_list(asked), |reply| {
                    reply.set("Last-Modified", DATE);
                    if asked.header("if-modified-since") == Some(DATE) {
                        reply.status = 304;
                    }
                });
            },
            &[("note", "pointer-validator", CACHES)],
        ),
        // That of a bucket is of the content.
        (
            |asked, reply| {
                revalidate(asked, reply, |reply| format!("\"{}\"", digest(&reply.body)));
            },
            &[],
        ),
    ]);
}
