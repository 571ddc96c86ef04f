//! The pull part of the distribution-spec 1.1, row by row, on every server. Rows are named after the
//! tests of its conformance suite; rows named after a section are what the suite does not check.
//!
//! Each row says what the spec says. What a server does otherwise is in [`DEVIATIONS`], with the reason.

mod content;
mod discovery;
mod errors;

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::expected::build_site;
use crate::support::layout::Layout;
use crate::support::row::Row;
use crate::support::servers::{Running, SERVERS, Server};
use crate::support::site::build;
use crate::support::suite_data;
use crate::support::temp::TempDir;

/// What a server does otherwise.
struct Deviation {
    test: &'static str,
    of: fn(&Server) -> bool,
    reason: &'static str,
}

const DEVIATIONS: [Deviation; 3] = [
    Deviation {
        test: "Pulling manifests: format, no file name",
        of: |server| server.name == "apache-shared-host",
        reason: "Apache forbids what no file can be called before it reads any `.htaccess`. No client \
            asks for a tag of more than 128 characters",
    },
    Deviation {
        test: "Pulling blobs: 404",
        of: |server| server.skills.is_copy,
        reason: "an edge has each blob once, for all repositories",
    },
    Deviation {
        test: "TestEmptyReferrers",
        of: |server| !server.skills.empty_referrers,
        reason: "CloudFront has one answer for all that is missing",
    },
];

struct Case {
    test: &'static str,
    row: Row,
    /// The answer of a server that has whole lists only: rather none than the wrong list.
    whole_only: Option<Row>,
}

fn case(test: &'static str, row: Row) -> Case {
    Case {
        test,
        row,
        whole_only: None,
    }
}

/// A part of a list.
fn paged(test: &'static str, row: Row, refused: Row) -> Case {
    Case {
        whole_only: Some(refused.status(404)),
        ..case(test, row)
    }
}

/// A repository of the site and the layout that it was made of.
struct Repository {
    name: &'static str,
    layout: Layout,
}

impl Repository {
    fn at(&self, path: impl AsRef<str>) -> String {
        format!("/v2/{}/{}", self.name, path.as_ref())
    }

    fn tags(&self) -> Vec<&str> {
        self.layout.tags.keys().map(String::as_str).collect()
    }
}

#[test]
fn every_server_conforms() {
    let (_folder, site, repositories) = published();
    let mut all = Vec::new();
    for repository in &repositories {
        all.extend(content::content(repository));
        all.extend(discovery::tag_lists(repository));
        all.extend(discovery::referrers(repository));
    }
    let [data, referrer, ..] = &repositories;
    all.extend(errors::missing(data, referrer));
    all.extend(errors::malformed(data));
    all.extend(errors::writes(data));
    all.extend(content::ranges(data));
    assert!(all.len() > 300, "{} rows", all.len());
    let mut wrong = Vec::new();
    for server in SERVERS {
        let running = server.start(site.path());
        wrong.extend(complaints(server, &running, &all));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The samples that are layouts, and what the suite pushes.
fn published() -> (TempDir, TempDir, [Repository; 4]) {
    let site = build_site();
    let folder = TempDir::new("conformance");
    let data = folder.path().join("data");
    suite_data::archive().folder(&data);
    build(&[data.to_str().unwrap()], site.path());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let repositories = [
        (suite_data::REPOSITORY, data),
        (
            "samples/oci-layout-referrer",
            fixtures.join("oci-layout-referrer"),
        ),
        (
            "samples/oci-layout-multiarch",
            fixtures.join("oci-layout-multiarch"),
        ),
        ("samples/oci-layout-zstd", fixtures.join("oci-layout-zstd")),
    ]
    .map(|(name, folder)| Repository {
        name,
        layout: Layout::read(&folder),
    });
    (folder, site, repositories)
}

/// What is wrong, and what is said to be and is not.
fn complaints(server: &Server, running: &Running, cases: &[Case]) -> Vec<String> {
    let name = server.name;
    let deviations: Vec<_> = DEVIATIONS.iter().filter(|d| (d.of)(server)).collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases {
        let whole_only = case.whole_only.as_ref().filter(|_| !server.skills.pages);
        let row = whole_only.unwrap_or(&case.row);
        let complaints = row.check_of(running.port, server.skills.own_errors);
        if deviations.iter().any(|d| d.test == case.test) {
            seen.extend(complaints.first().map(|_| case.test));
        } else {
            let with_name = |c| format!("{name}: {}: {c}", case.test);
            wrong.extend(complaints.into_iter().map(with_name));
        }
    }
    let unseen = deviations.iter().filter(|d| !seen.contains(d.test));
    wrong.extend(unseen.map(|d| format!("{name} conforms in `{}`, where {}", d.test, d.reason)));
    wrong
}
