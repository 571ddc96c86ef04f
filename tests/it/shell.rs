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
    let mut names: Vec<String> = commands()
        .iter()
        .map(|name| format!("stillage-{name}.1"))
        .collect();
    names.push("stillage.1".into());
    assert_eq!(files_of(&folder.path().join("man1")), sorted(names));
    let help = succeed(&mut stillage(["help"]));
    let help = String::from_utf8(help.stdout).unwrap();
    let topics = help.split("Topics, for `stillage help`:\n").nth(1).unwrap();
    let topics = topics
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let topics = topics.map(|topic| format!("stillage-{topic}.7")).collect();
    assert_eq!(files_of(&folder.path().join("man7")), sorted(topics));
    let topics = files_of(&folder.path().join("man7"));
    for name in files_of(&folder.path().join("man1")) {
        let page = fs::read_to_string(folder.path().join("man1").join(&name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS\n"), "{name}");
        assert!(
            page.contains(".SH EXAMPLES\n") || name == "stillage.1",
            "{name}"
        );
        let others = page.split(".SH \"SEE ALSO\"\n").nth(1).unwrap_or_default();
        for other in others.trim().split(", ").filter(|other| !other.is_empty()) {
            let file = other.replace("\\-", "-").replace("(7)", ".7");
            assert!(topics.contains(&file), "{name}: {other}");
        }
    }
    for section in ["man1", "man7"] {
        for name in files_of(&folder.path().join(section)) {
            let page = fs::read_to_string(folder.path().join(section).join(&name)).unwrap();
            assert!(page.contains(".SH NAME"), "{name}");
        }
    }
}

/// The names of all commands.
fn commands() -> Vec<String> {
    let help = succeed(&mut stillage(["help"]));
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let commands = commands.split("\n\n").next().unwrap().lines();
    let is_head = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = commands.filter(is_head);
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
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

/// What each `--help` prints, in files that `STILLAGE_UPDATE=1` writes anew: a change of the command line is seen in the
/// diff.
#[test]
fn help_is_as_written_down() {
    let folder = Path::new("tests/it/help");
    let is_update = std::env::var_os("STILLAGE_UPDATE").is_some_and(|value| value == "1");
    let help = succeed(&mut stillage(["--help"])).stdout;
    let mut texts = vec![("stillage".to_owned(), help)];
    for name in commands() {
        let help = succeed(&mut stillage([name.as_str(), "--help"])).stdout;
        texts.push((name, help));
    }
    for (name, text) in &texts {
        let path = folder.join(format!("{name}.txt"));
        if is_update {
            fs::write(&path, text).unwrap();
        }
        let written = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        assert_eq!(
            String::from_utf8_lossy(&written),
            text,
            "STILLAGE_UPDATE=1 writes {path:?} anew"
        );
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{name}: {longest:?}");
    }
    let names = texts.into_iter().map(|(name, _)| format!("{name}.txt"));
    assert_eq!(files_of(folder), sorted(names.collect()));
}

/// A verbose run names what it reads and writes; what it does not touch is not named.
#[test]
fn verbose_runs_name_their_steps() {
    let folder = TempDir::new("verbose");
    let site = folder.path().join("site");
    let site = site.to_str().unwrap();
    let said = |arguments: &[&str]| stderr(&succeed(&mut stillage(arguments)));
    let source = "fixtures/docker-20.10.tar";
    let first = said(&["build", source, "-o", site, "-v"]);
    for words in [
        &format!("reading `{source}`: docker-archive\n"),
        "/layer.tar` in `fixtures/docker-20.10.tar` (",
        "\nwrote v2/tiny/tags/list\n",
        "4 references: wrote ",
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    let again = said(&["build", source, "-o", site, "-v"]);
    assert!(
        again.contains("unchanged: `") && !again.contains("wrote "),
        "{again}"
    );
    let tagged = said(&["tag", site, "tiny:1", "2", "-v", "-n"]);
    assert!(
        tagged.contains("would write v2/tiny/tags/list\n"),
        "{tagged}"
    );
    let removed = said(&["remove", site, "tiny", "-v"]);
    assert!(removed.contains("deleted v2/tiny/tags/list\n"), "{removed}");
    assert!(said(&["build", source, "-o", site]).lines().count() <= 2);
    assert_eq!(said(&["build", source, "-o", site, "-q"]), "");
}
