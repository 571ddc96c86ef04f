//! Every server answers the same table of requests.

use crate::answers::{hand_rows, rows};
use crate::support::expected::build_site;
use crate::support::hand_site::hand_made_site;
use crate::support::row::Row;
use crate::support::sample::Sample;
use crate::support::servers::{Running, SERVERS, Server};
use crate::support::temp::TempDir;

#[test]
fn every_server_answers_every_row() {
    let site = TempDir::new("site");
    hand_made_site(site.path());
    let built = build_site();
    for server in SERVERS {
        let mut wrong = Vec::new();
        if !server.skills.by_catalogue {
            let running = server.start(site.path());
            let mut all = rows(
                &Sample::read(site.path(), "sample/app", "om"),
                server.skills,
            );
            all.extend(hand_rows());
            wrong.extend(complaints(&running, &all));
        }
        let running = server.start(built.path());
        for (name, tag) in [
            ("sample/hello", "1.0"),
            ("tiny", "1"),
            ("library/tiny", "1"),
        ] {
            let all = rows(&Sample::read(built.path(), name, tag), server.skills);
            assert!(all.len() > 60);
            wrong.extend(complaints(&running, &all));
        }
        judge(server, &wrong, &running);
    }
}

fn complaints(server: &Running, rows: &[Row]) -> Vec<String> {
    rows.iter().flat_map(|row| row.check(server.port)).collect()
}

/// Every complaint is one that is known of the server, and what is known comes up.
fn judge(server: &Server, wrong: &[String], running: &Running) {
    let known = |complaint: &&String| {
        let mut known = server.otherwise.iter();
        known.any(|(start, _)| complaint.starts_with(start))
    };
    let (known, new): (Vec<_>, Vec<_>) = wrong.iter().partition(known);
    let name = server.name;
    assert!(new.is_empty(), "{name}: {new:#?}\n{}", running.log());
    for (start, _) in server.otherwise {
        let comes_up = known.iter().any(|complaint| complaint.starts_with(start));
        assert!(comes_up, "{name} answers {start} as all do");
    }
}
