//! The shape of the code: modules import in one direction, and no file grows too long.

use std::fs;
use std::path::Path;

/// Modules from the bottom up: each may import those above it in this list, and none below.
const ORDER: [&str; 25] = [
    "topics",
    "error",
    "note",
    "text",
    "progress",
    "fsx",
    "spec",
    "routes",
    "content",
    "bucket",
    "layer",
    "import",
    "site_files",
    "images",
    "pages",
    "plan",
    "site",
    "export",
    "writer",
    "server_config",
    "client_config",
    "serve",
    "check_url",
    "source",
    "ops",
];

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = path.split(['/', '.']).next().unwrap();
        let Some(rank) = ORDER.iter().position(|name| *name == room) else {
            assert!(
                ["cli", "lib", "main"].contains(&room),
                "{path} has no place in the order"
            );
            continue;
        };
        for name in rooms_named(&path, &text) {
            let place = ORDER.iter().position(|other| *other == name);
            if place.is_some_and(|other| other > rank) || name == "cli" {
                wrong.push(format!("{path} imports {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_are_found_however_they_are_named() {
    for (path, text) in [
        ("plan/v1.rs", "use crate::cli::ui;"),
        ("plan/v1.rs", "let x = crate::cli::f();"),
        (
            "plan/v1.rs",
            "use crate::{\n    a::{b, c::{self, d}},\n    cli,\n};",
        ),
        ("plan/v1.rs", "use super::super::cli;"),
        ("plan/mod.rs", "use super::{a, cli::b};"),
        ("plan.rs", "use super::cli;"),
        (
            "plan/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use super::super::cli;\n}",
        ),
    ] {
        assert!(rooms_named(path, text).contains(&"cli".into()), "{text}");
    }
    for (path, text) in [
        ("plan/v1.rs", "use super::cli; // crate::cli"),
        (
            "plan/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use super::cli;\n}",
        ),
        ("plan/mod.rs", "use crate::a::{cli, b};"),
    ] {
        assert!(!rooms_named(path, text).contains(&"cli".into()), "{text}");
    }
}

/// The modules at the root of the crate that a file names, by `crate::` or by as many `super::` as lead there.
fn rooms_named(path: &str, text: &str) -> Vec<String> {
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = module.split('/').count();
    let (code, tests) = text
        .split_once("#[cfg(test)]\nmod tests")
        .unwrap_or((text, ""));
    [(code, depth), (tests, depth + 1)]
        .into_iter()
        .flat_map(|(text, depth)| {
            let lines = text.lines().map(|line| line.split("//").next().unwrap());
            let code = lines.collect::<Vec<_>>().join("\n");
            let mut rooms = Vec::new();
            for root in ["crate::".into(), "super::".repeat(depth)] {
                rooms.extend(code.split(&root).skip(1).flat_map(first_names));
            }
            rooms
        })
        .collect()
}

/// The first names in what follows `::`: one, or those of a list in braces.
fn first_names(tree: &str) -> Vec<String> {
    let name = |text: &str| {
        let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_name).collect()
    };
    let Some(list) = tree.strip_prefix('{') else {
        return vec![name(tree)];
    };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&list[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// A dry run is a disk that never changes: whoever else changes files would change them in a dry run too.
#[test]
fn only_the_disk_changes_a_site() {
    let mut seen = 0;
    for (path, text) in sources() {
        let is_disk = path == "writer/disk.rs";
        for call in [
            "fsx::rename(",
            "fsx::remove",
            "fsx::create_dirs(",
            "fsx::sync",
        ] {
            let calls = text.matches(call).count();
            seen += if is_disk { calls } else { 0 };
            let writes = path.starts_with("writer/") || path.starts_with("ops/");
            assert!(is_disk || !writes || calls == 0, "{path}: {call}");
        }
    }
    assert!(seen > 5, "{seen} calls in the disk");
}

#[test]
fn no_file_is_long() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines");
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
