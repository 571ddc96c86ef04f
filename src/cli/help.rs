//! `stillage help`: what commands do, and topics that are larger than one command.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anstyle::Style;
use clap::builder::{PossibleValue, StyledStr, Styles, TypedValueParser};
use clap::{Args, CommandFactory as _};

use crate::cli::Cli;
use crate::cli::ui::Ui;
use crate::error::{WithHint as _, escaped};
use crate::text::nearest;
use crate::topics::{TOPICS, Topic};

#[derive(Debug, Args)]
pub(super) struct HelpArgs {
    /// A command or a topic; all of both are listed without one
    #[arg(value_name = "COMMAND|TOPIC", value_parser = Subject, hide_possible_values = true)]
    subject: Option<String>,
}

/// Takes any word. Shells complete topics.
#[derive(Clone)]
struct Subject;

impl TypedValueParser for Subject {
    type Value = String;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        Ok(value.to_string_lossy().into_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let topics = TOPICS.iter();
        Some(Box::new(topics.map(|topic| PossibleValue::new(topic.name))))
    }
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage help mirror",
        "a topic, which is longer than one screen",
    ),
    (
        "stillage help build",
        "a command, as `stillage build --help`",
    ),
];

impl HelpArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut all = Cli::command();
        all.build();
        let Some(subject) = self.subject else {
            Ui::styled(&all.render_long_help())?;
            return Ok(ExitCode::SUCCESS);
        };
        if let Some(command) = all.find_subcommand_mut(&subject) {
            Ui::styled(&command.render_long_help())?;
        } else if let Some(topic) = Topic::find(&subject) {
            if io::stdout().is_terminal() {
                Ui::styled(&for_terminal(topic.text))?;
            } else {
                Ui::data(topic.text)?;
            }
        } else {
            return unknown(&all, &subject);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(all: &clap::Command, subject: &str) -> anyhow::Result<ExitCode> {
    let commands = all.get_subcommands().map(clap::Command::get_name);
    let known = commands.chain(TOPICS.iter().map(|topic| topic.name));
    let meant = nearest(subject, known.map(str::to_owned));
    let hint = meant.map_or_else(
        || "`stillage help` lists commands and topics".to_owned(),
        |meant| format!("did you mean `stillage help {meant}`?"),
    );
    Err(anyhow::anyhow!(
        "`{}` is neither a command nor a topic",
        escaped(subject)
    ))
    .hint(hint)
}

/// A topic with its headings and bold words as a terminal shows them, and without the marks of Markdown around code.
fn for_terminal(markdown: &str) -> StyledStr {
    let bold = Style::new().bold();
    let mut text = StyledStr::new();
    let mut is_code = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let title = line.trim_start_matches('#');
        let _ = if is_code {
            writeln!(text, "  {line}")
        } else if title.len() < line.len() {
            writeln!(text, "{bold}{}{bold:#}", title.trim_start())
        } else {
            writeln!(text, "{}", with_bold(line))
        };
    }
    text
}

/// A line with its bold words. Between backticks, `**` is part of a glob.
fn with_bold(line: &str) -> String {
    let bold = Style::new().bold();
    let parts = line.split('`').enumerate();
    let marked = |(number, part): (usize, &str)| {
        if number % 2 == 1 {
            return part.to_owned();
        }
        let pieces = part.split("**").enumerate();
        let piece = |(number, piece): (usize, &str)| match number % 2 {
            1 => format!("{bold}{piece}{bold:#}"),
            _ => piece.to_owned(),
        };
        pieces.map(piece).collect()
    };
    let parts: Vec<String> = parts.map(marked).collect();
    parts.join("`")
}

/// The end of a long help: examples as commands with what they do, a table if there is one, and topics that say more.
pub(super) fn end(examples: &[(&str, &str)], table: &str, topics: &[&str]) -> StyledStr {
    let mut text = StyledStr::new();
    let _ = writeln!(text, "{}", head("Examples:"));
    for (command, about) in examples {
        let _ = write!(text, "  # {about}\n  {command}\n");
    }
    if let Some((title, rows)) = table.split_once('\n') {
        let _ = write!(text, "\n{}\n{rows}", head(title));
    }
    if !topics.is_empty() {
        let topics: Vec<String> = topics
            .iter()
            .map(|topic| format!("stillage help {topic}"))
            .collect();
        let _ = write!(text, "\n{} {}\n", head("More:"), topics.join(", "));
    }
    text
}

/// The end of the help of all commands.
pub(super) fn topics() -> StyledStr {
    let mut text = StyledStr::new();
    let _ = writeln!(text, "{}", head("Topics, for `stillage help`:"));
    for topic in TOPICS {
        let _ = writeln!(text, "  {:12}  {}", topic.name, topic.title());
    }
    text
}

fn head(title: &str) -> String {
    let style = Styles::default();
    let header = style.get_header();
    format!("{header}{title}{header:#}")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Every command in the help or in a topic is one that Stillage takes.
    fn check(line: &str) {
        let line = match line.split_once("<(") {
            Some((before, rest)) => format!("{before}FILE{}", rest.split_once(')').unwrap().1),
            None => line.to_owned(),
        };
        for part in line.split(['|', '&', ';', '(']) {
            let Some(at) = part
                .find("stillage ")
                .filter(|at| part[..*at].trim_end().is_empty() || part[..*at].ends_with("sudo "))
            else {
                continue;
            };
            let command = part[at..].split(" #").next().unwrap().trim();
            let command = command.split(['>', '<', ')']).next().unwrap();
            let words = shlex::split(command).unwrap_or_default();
            if words.iter().any(|word| word.contains("...")) {
                continue;
            }
            match Cli::try_parse_from(&words) {
                Err(error) if error.use_stderr() => panic!("{line}\n{error}"),
                _ => {}
            }
        }
    }

    #[test]
    fn terminals_get_no_marks() {
        let shown = for_terminal("# Of **x**\n\nA `**b` **c** d.\n\n```sh\n# e\n**/f\n```\n");
        let plain = "Of **x**\n\nA `**b` c d.\n\n  # e\n  **/f\n";
        assert_eq!(shown.to_string(), plain);
        assert!(shown.ansi().to_string().contains("\u{1b}[1mc\u{1b}[0m"));
    }

    #[test]
    fn examples_are_commands() {
        let mut all = Cli::command();
        all.build();
        for command in all.get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            let examples = help.split("Examples:\n").nth(1);
            let examples = examples.unwrap_or_else(|| panic!("{}", command.get_name()));
            for line in examples.lines().filter(|line| !line.starts_with("  #")) {
                check(line.trim_start());
            }
        }
    }

    #[test]
    fn documents_have_commands_that_exist() {
        let readme = include_str!("../../README.md");
        for text in TOPICS.iter().map(|topic| topic.text).chain([readme]) {
            for block in text.split("```").skip(1).step_by(2) {
                let block = block.replace("\\\n", "");
                block.lines().for_each(|line| check(line.trim_start()));
            }
        }
    }
}
