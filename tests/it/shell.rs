//! What shells and `man` get, and what is said of mistyped names.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::site::{small_site, stderr, stillage, succeed};
use crate::support::temp::TempDir;

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = succeed(&mut stillage(["completions", shell]));
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["build", "publish", "no-pages"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let words = "COMP_WORDS=(stillage ver); COMP_CWORD=1; _stillage stillage ver stillage; echo ${COMPREPLY[@]}";
            let output = succeed(Command::new("bash").args(["-c", &(script + words)]));
            assert_eq!(output.stdout, b"verify\n");
        }
    }
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let folder = TempDir::new("man");
    succeed(stillage(["man", "-o"]).arg(folder.path()));
    let help = succeed(&mut stillage(["help"]));
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let commands = commands.split("\n\n").next().unwrap().lines();
    let is_head = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let mut names: Vec<String> = commands
        .filter(is_head)
        .map(|line| format!("stillage-{}.1", line.split_whitespace().next().unwrap()))
        .collect();
    names.push("stillage.1".into());
    assert_eq!(files_of(&folder.path().join("man1")), sorted(names));
    let topics = help.split("Topics, for `stillage help`:\n").nth(1).unwrap();
    let topics = topics
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let topics = topics.map(|topic| format!("stillage-{topic}.7")).collect();
    assert_eq!(files_of(&folder.path().join("man7")), sorted(topics));
    for section in ["man1", "man7"] {
        for name in files_of(&folder.path().join(section)) {
            let page = fs::read_to_string(folder.path().join(section).join(&name)).unwrap();
            assert!(page.contains(".SH NAME"), "{name}");
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn files_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    sorted(
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
    )
}

/// `stillage help` prints topics as they are, and commands as `--help` does.
#[test]
fn help_explains_commands_and_topics() {
    let output = succeed(&mut stillage(["help", "mirror"]));
    assert_eq!(output.stdout, fs::read("src/topics/mirror.md").unwrap());
    let [one, other] = [&["help", "prune"], &["prune", "--help"]]
        .map(|arguments| succeed(&mut stillage(arguments)).stdout);
    assert_eq!(one, other);
    let output = stillage(["help", "miror"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint: did you mean `stillage help mirror`?"));
}

#[test]
fn errors_are_coloured_if_asked_for() {
    let said = |color: &str| {
        let mut command = stillage(["list", "/nonexistent"]);
        let output = command.env(color, "1").output().unwrap();
        stderr(&output)
    };
    assert!(said("CLICOLOR_FORCE").starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "));
    assert!(said("NO_COLOR").starts_with("error: "));
}

#[test]
fn mistyped_names_are_recognised() {
    let site = small_site();
    let site = site.path().to_str().unwrap();
    for (arguments, meant) in [
        (&["tag", site, "tiny:2", "3"][..], "tiny:1"),
        (&["tag", site, "tinny:1", "3"], "tiny:1"),
        (&["remove", site, "sample/helo:1.0"], "sample/hello:1.0"),
        (&["remove", site, "sample/hello:1.O"], "sample/hello:1.0"),
        (&["get", site, "tinny:1"], "tiny:1"),
    ] {
        let output = stillage(arguments).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("hint: did you mean `{meant}`?")),
            "{said}"
        );
    }
}
