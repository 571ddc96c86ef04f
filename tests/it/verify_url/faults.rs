//! Every manner of a server that some client fails on is found, with the clients that fail.

use std::io::Write as _;

use crate::support::bad_server::{BadServer, Fault, Reply, Request};
use crate::support::findings::found;
use crate::support::site::small_site;

const TYPES: &[&str] = &[
    "docker 1.10-20",
    "docker 28/29",
    "containerd",
    "podman/skopeo/buildah",
];
pub(super) const V1: &[&str] = &["docker <= 1.9", "npm v1 client"];
pub(super) const V2: &[&str] = &[
    "docker 1.10-20",
    "docker 28/29",
    "containerd",
    "podman/skopeo/buildah",
    "crane",
    "oras",
];
/// Docker 1.10 to 17.05 fall back to v1.
const V2_WITHOUT_V1: &[&str] = &[
    "docker 17.06-20",
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
pub(super) const V1_DOCKER: &[&str] = &["docker <= 1.9"];
const WRONG: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// A fault, and what is found: severity, kind, clients.
pub(super) type Case = (
    Fault,
    &'static [(&'static str, &'static str, &'static [&'static str])],
);

/// Applies a change to the answers to requests that `of` is true for.
pub(super) fn on(reply: Option<&mut Reply>, of: bool, change: impl FnOnce(&mut Reply)) {
    if let Some(reply) = reply.filter(|_| of) {
        change(reply);
    }
}

pub(super) fn is_manifest(request: &Request) -> bool {
    request.has("/manifests/")
}

pub(super) fn is_tag(request: &Request) -> bool {
    is_manifest(request) && !request.has("/sha256:")
}

fn is_layer(request: &Request) -> bool {
    request.has("/blobs/") || request.path.ends_with("/layer")
}

pub(super) fn is_list(request: &Request) -> bool {
    request.path.ends_with("/tags/list")
}

pub(super) fn check(cases: &[Case]) {
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
            &[("error", "no-tag-digest", &["oras", "apple/container"])],
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
        (
            |asked, reply| {
                on(reply, asked.has("/manifests/"), |reply| {
                    reply.become_error(404, "application/json", "{}");
                });
            },
            &[("error", "missing", V2_WITHOUT_V1)],
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
            |asked, reply| {
                on(reply, asked.path == "/v2/", |reply| {
                    reply.set("Docker-Distribution-Api-Version", None);
                });
            },
            &[("note", "no-api-version", &["docker manifest <= 20.10"])],
        ),
        (
            |asked, reply| {
                on(reply, is_layer(asked), |reply| {
                    reply.set("Content-Encoding", "aws-chunked");
                });
            },
            &[("note", "unknown-encoding", &[])],
        ),
        (
            |_, reply| {
                on(reply, true, |reply| {
                    reply.set("Access-Control-Allow-Origin", None);
                });
            },
            &[("note", "no-cors", &["registry UIs in browsers"])],
        ),
        (
            |asked, _| {
                if asked.path == "/v1/search" {
                    asked.query = None;
                }
            },
            &[("note", "whole-search", &["docker search", "podman search"])],
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
