//! The table in the README.

use std::fs;

use super::columns::COLUMNS;
use super::of;
use crate::support::expected::Kind;
use crate::support::servers::SERVERS;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const START: &str = "<!-- matrix -->\n";
const END: &str = "<!-- /matrix -->";

/// The table: a row for each client. All servers have one column, since they must all give the same.
pub(super) fn text() -> String {
    let mut reasons = Vec::new();
    let servers: Vec<&str> = SERVERS.iter().map(|server| server.name).collect();
    let mut lines = vec![
        format!("| client | from {} |", servers.join(", ")),
        "|---|---|".to_owned(),
    ];
    for column in &COLUMNS {
        let pulls = cell(column.name, &mut reasons);
        lines.push(format!("| {} | {pulls} |", column.name));
    }
    lines.push(String::new());
    for (number, why) in (1..).zip(&reasons) {
        lines.push(format!("{number}. {why}"));
    }
    lines.join("\n") + "\n"
}

/// What a client pulls: from every server the same, else the test would have failed.
fn cell(client: &str, reasons: &mut Vec<&'static str>) -> String {
    let mut refused = Vec::new();
    for kind in Kind::ALL {
        if let Some(refusal) = of(client, kind) {
            let known = reasons.iter().position(|why| *why == refusal.why);
            let number = known.unwrap_or_else(|| {
                reasons.push(refusal.why);
                reasons.len() - 1
            });
            refused.push(format!("{} ({})", kind.name(), number + 1));
        }
    }
    if refused.is_empty() {
        "all".into()
    } else {
        format!("all but {}", refused.join(", "))
    }
}

/// Compares the table with the one between the marks in the README, or puts it there.
pub(super) fn check(table: &str) {
    let readme = fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(START).expect("the mark before the table");
    let (old, after) = rest.split_once(END).expect("the mark after the table");
    if std::env::var_os("STILLAGE_UPDATE").is_some_and(|value| value == "1") {
        fs::write(README, [before, START, table, END, after].concat()).unwrap();
    } else {
        let what = "the README has another table; STILLAGE_UPDATE=1 writes this one";
        assert!(old == table, "{what}:\n{table}");
    }
}
