//! The shape of the code: modules import in one direction, and no file grows too long.

use std::fs;
use std::path::Path;

/// Modules from the bottom up: each may import those above it in this list, and none below.
const ORDER: [&str; 19] = [
    "error",
    "note",
    "progress",
    "fsx",
    "spec",
    "endpoint",
    "content",
    "layer",
    "import",
    "site_files",
    "images",
    "plan",
    "site",
    "writer",
    "server",
    "http",
    "probe",
    "source",
    "ops",
];

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = path.split(['/', '.']).next().unwrap();
        let Some(rank) = ORDER.iter().position(|name| *name == module) else {
            assert!(
                ["cli", "lib", "main"].contains(&module),
                "{path} has no place in the order"
            );
            continue;
        };
        let code: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for word in code.join("\n").split("crate::").skip(1) {
            let imported = word
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap();
            let names: Vec<&str> = if imported.is_empty() {
                word.trim_start_matches('{')
                    .split('}')
                    .next()
                    .unwrap()
                    .split(',')
                    .map(|n| n.trim().split(':').next().unwrap())
                    .collect()
            } else {
                vec![imported]
            };
            for name in names {
                let allowed = ORDER.iter().position(|other| *other == name);
                if allowed.is_some_and(|other| other > rank) || name == "cli" {
                    wrong.push(format!("{path} imports {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_long() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 420, "{path} has {lines} lines");
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let name = entry
                .path()
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}
