//! What shells and `man` get, and what is said of mistyped names.

use std::fs;
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
    names.sort();
    let mut written: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    assert_eq!(written, names);
    for name in names {
        let page = fs::read_to_string(folder.path().join(&name)).unwrap();
        assert!(
            page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
            "{name}"
        );
    }
}

#[test]
fn mistyped_names_are_recognised() {
    let site = small_site();
    let site = site.path().to_str().unwrap();
    for (arguments, meant) in [
        (&["tag", site, "tiny:2", "3"][..], "tiny:1"),
        (&["tag", site, "tinny:1", "3"], "tiny"),
        (&["remove", site, "sample/helo:1.0"], "sample/hello"),
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
