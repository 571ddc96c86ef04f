//! Every manner of a server that some client fails on is found, with the clients that fail.

use std::io::Write as _;

use crate::support::bad_server::{BadServer, Fault, Reply, Request};
use crate::verify_url::{found, small_site};

const TYPES: &[&str] = &[
    "docker 1.10-20",
    "docker 28/29",
    "containerd",
    "podman/skopeo/buildah",
];
const V1: &[&str] = &["docker <= 1.9", "npm v1 client"];
const V2: &[&str] = &[
    "docker 1.10-20",
    "docker 28/29",
    "containerd",
    "podman/skopeo/buildah",
    "crane",
    "oras",
];
const GO: &[&str] = &[
    "docker <= 1.9",
    "docker 1.10-20",
    "docker 28/29",
    "containerd",
    "podman/skopeo/buildah",
    "crane",
    "oras",
];
const CACHES: &[&str] = &["caches and CDNs"];
const ATTACHED: &[&str] = &["oras", "cosign"];
const V1_DOCKER: &[&str] = &["docker <= 1.9"];
const WRONG: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const DATE: &str = "Tue, 01 Sep 2026 00:00:00 GMT";

/// A fault, and what is found: severity, kind, clients.
type Case = (
    Fault,
    &'static [(&'static str, &'static str, &'static [&'static str])],
);

/// Applies a change to the answers to requests that `of` is true for.
fn on(reply: Option<&mut Reply>, of: bool, change: impl FnOnce(&mut Reply)) {
    if let Some(reply) = reply.filter(|_| of) {
        change(reply);
    }
}

fn is_manifest(request: &Request) -> bool {
    request.has("/manifests/")
}

fn is_tag(request: &Request) -> bool {
    is_manifest(request) && !request.has("/sha256:")
}

fn is_layer(request: &Request) -> bool {
    request.has("/blobs/") || request.path.ends_with("/layer")
}

fn is_list(request: &Request) -> bool {
    request.path.ends_with("/tags/list")
}

fn check(cases: &[Case]) {
    let site = small_site();
    for (number, (fault, expected)) in cases.iter().enumerate() {
        let server = BadServer::start(site.path(), *fault);
        let all = found(server.port, &[]);
        let seen: Vec<_> = all
            .iter()
            .map(|found| {
                let breaks: Vec<&str> = found.breaks.iter().map(String::as_str).collect();
                (found.severity.as_str(), found.kind.as_str(), breaks)
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(severity, kind, breaks)| (*severity, *kind, breaks.to_vec()))
            .collect();
        assert_eq!(seen, expected, "case {number}: {all:#?}");
    }
}

#[test]
fn what_is_said_of_manifests() {
    check(&[
        (
            |asked, reply| {
                on(reply, is_manifest(asked) && !asked.is_head(), |reply| {
                    reply.set("Content-Type", "application/json");
                });
            },
            &[("error", "manifest-type", TYPES)],
        ),
        (
            |asked, reply| {
                on(reply, is_manifest(asked) && asked.is_head(), |reply| {
                    reply.set("Content-Type", None);
                });
            },
            &[("error", "manifest-type", TYPES)],
        ),
        (
            |asked, reply| {
                on(reply, is_tag(asked), |reply| {
                    let said = reply.header("Content-Type").unwrap_or_default();
                    let more = format!("{said}; charset=utf-8");
                    reply.set("Content-Type", more.as_str());
                });
            },
            &[("note", "type-parameter", &[])],
        ),
        (
            |asked, reply| {
                on(reply, asked.is_head() && is_manifest(asked), |reply| {
                    reply.become_error(501, "text/plain", "no");
                });
            },
            &[("error", "head-refused", &["docker 28/29", "containerd"])],
        ),
        (
            |asked, reply| {
                on(reply, asked.is_head() && is_tag(asked), |reply| {
                    reply.set("Content-Length", None);
                });
            },
            &[("error", "head-length", &["docker 1.10-20", "docker 28/29"])],
        ),
        (
            |asked, reply| {
                on(reply, asked.is_head() && is_layer(asked), |reply| {
                    reply.set("Content-Length", None);
                });
            },
            &[("note", "no-length", &[])],
        ),
        (
            |asked, reply| {
                on(reply, is_tag(asked), |reply| {
                    reply.set("Docker-Content-Digest", WRONG);
                });
            },
            &[(
                "error",
                "wrong-digest",
                &["docker 28/29", "containerd", "oras"],
            )],
        ),
        (
            |asked, reply| {
                on(reply, is_tag(asked), |reply| {
                    reply.set("Docker-Content-Digest", None);
                });
            },
            &[("note", "no-tag-digest", &["oras"])],
        ),
    ]);
}

#[test]
fn what_is_said_of_blobs_and_layers() {
    check(&[
        (
            |asked, reply| {
                on(reply, is_layer(asked), |reply| {
                    reply.set("Content-Encoding", "gzip");
                });
            },
            &[
                ("error", "content-encoding", GO),
                ("note", "compressed", &["any that resumes"]),
            ],
        ),
        (
            |asked, reply| {
                let gzip = asked.header("accept-encoding") == Some("gzip");
                on(
                    reply.filter(|reply| reply.status == 200),
                    gzip && is_layer(asked),
                    |reply| {
                        let mut packed =
                            flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                        packed.write_all(&reply.body).unwrap();
                        reply.put(packed.finish().unwrap());
                        reply.set("Content-Encoding", "gzip");
                    },
                );
            },
            &[("note", "compressed", &["any that resumes"])],
        ),
        (
            |asked, reply| {
                if reply.is_none() {
                    asked.headers.retain(|(name, _)| name != "range");
                }
            },
            &[(
                "error",
                "no-range",
                &["podman/skopeo/buildah", "any that resumes"],
            )],
        ),
        (
            |_, reply| on(reply, true, |reply| reply.set("Accept-Ranges", None)),
            &[(
                "note",
                "no-accept-ranges",
                &["docker <= 1.9", "any that resumes"],
            )],
        ),
        (
            |asked, reply| {
                on(reply, asked.path.ends_with("/layer"), |reply| {
                    reply.set("X-Docker-Size", "7");
                });
            },
            &[("error", "docker-size", V1_DOCKER)],
        ),
        (
            |asked, reply| {
                on(reply, asked.path.ends_with("/json"), |reply| {
                    reply.set("X-Docker-Size", "7");
                });
            },
            &[("error", "docker-size", V1_DOCKER)],
        ),
        (
            |_, reply| on(reply, true, |reply| reply.set("X-Docker-Size", None)),
            &[("note", "no-docker-size", V1_DOCKER)],
        ),
        (
            |asked, reply| {
                on(reply, asked.is_head() && asked.has("/blobs/"), |reply| {
                    reply.set("Content-Length", "3");
                });
            },
            &[("error", "wrong-length", V2)],
        ),
        (
            |asked, reply| {
                on(reply, is_layer(asked), |reply| {
                    reply.become_error(404, "application/json", "{}");
                });
            },
            &[("error", "missing", V2), ("error", "missing", V1)],
        ),
    ]);
}

#[test]
fn how_the_apis_are_found() {
    check(&[
        (
            |asked, reply| {
                on(reply, asked.path == "/v2/", |reply| {
                    reply.become_error(403, "application/json", "{}");
                });
            },
            &[("error", "v2-status", &["podman/skopeo/buildah", "crane"])],
        ),
        (
            |asked, reply| {
                on(reply, asked.path == "/v2/", |reply| {
                    reply.set("Docker-Distribution-Api-Version", "registry/2.0");
                });
            },
            &[("error", "api-version", V1_DOCKER)],
        ),
        (
            |_, reply| {
                on(reply, true, |reply| {
                    reply.set("X-Docker-Registry-Version", None);
                });
            },
            &[("note", "no-registry-version", &["docker <= 0.9"])],
        ),
        (
            |asked, reply| {
                on(reply, asked.path == "/index.json", |reply| {
                    reply.become_error(404, "application/json", "{}");
                });
            },
            &[("note", "no-catalogue", &[])],
        ),
        (
            |asked, reply| {
                on(reply, asked.has("/.stillage/"), |reply| reply.status = 200);
            },
            &[("note", "dot-stillage", &[])],
        ),
        (
            |asked, reply| on(reply, asked.path == "/v1/_ping", |reply| reply.status = 0),
            &[("error", "no-answer", V1)],
        ),
        (
            |asked, reply| {
                on(reply, asked.path == "/v1/_ping", |reply| {
                    reply.put(b"yes".to_vec());
                });
            },
            &[("error", "wrong-content", V1)],
        ),
    ]);
}

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
            &[
                ("error", "missing", V2),
                ("error", "missing", V1),
                (
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
                ),
                ("error", "v2-status", &["podman/skopeo/buildah", "crane"]),
                ("note", "no-referrers", ATTACHED),
            ],
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
                revalidate(asked, reply, |reply| {
                    format!("\"{}\"", crate::support::files::digest(&reply.body))
                });
            },
            &[],
        ),
    ]);
}
