//! What errors of clap lack: what people mean by words of other tools, and what an argument too many was to be.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;
use crate::error::escaped;
use crate::spec::name::Reference;

/// What does what people try as a command.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["images", "inspect", "show"], "stillage list"),
    (&["push", "upload", "sync"], "stillage publish"),
    (&["pull", "save", "download"], "stillage get"),
    (
        &["load", "add", "import", "init", "create", "copy"],
        "stillage build",
    ),
    (&["delete", "untag"], "stillage remove"),
    (&["gc", "clean"], "stillage prune"),
    (&["check"], "stillage verify"),
    (&["version"], "stillage --version"),
];

const NAMES: &[&str] = &["-t", "--tag", "--name"];

/// What does what people try as an option of a command, or of any.
const OPTIONS: &[(Option<&str>, &[&str], &str)] = &[
    (Some("build"), NAMES, "name images with `SOURCE=NAME:TAG`"),
    (
        Some("put"),
        NAMES,
        "the name comes after the site: `stillage put SITE NAME:TAG`",
    ),
    (Some("list"), &["--format"], "did you mean `--json`?"),
    (
        Some("remove"),
        &["-f", "--force"],
        "did you mean `--ignore-missing`?",
    ),
    (None, &["-p", "--port"], "did you mean `--listen`?"),
];

/// What an argument too many (`{}`) of a command is for. The first that fits what is before it.
const EXCESS: &[(&str, &str)] = &[
    ("serve", "did you mean `--listen {}`?"),
    (
        "config rsync",
        "write the script with `-o FILE`, then run it: `sh FILE {}`",
    ),
    (
        "config",
        "did you mean `-o {}`, which writes the configuration to a file?",
    ),
    ("clients", "did you mean `--url {}`?"),
    (
        "man",
        "did you mean `stillage help {}`, or `stillage man -o {}`?",
    ),
    (
        "export",
        "select with `--only {}`; name the file with `-o FILE`, what the other side has with `--since BASE`",
    ),
    ("diff", "one site is compared with one other"),
];

/// A command line.
struct Line {
    arguments: Vec<String>,
    /// The command by its first name.
    command: Option<String>,
    /// What is after the command and no option.
    words: Vec<String>,
}

/// Prints an error of clap, and returns the exit code.
pub(super) fn fail(error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let line = Line::of(std::env::args_os().skip(1));
    let _ = line.explained(error).print();
    ExitCode::from(2)
}

impl Line {
    fn of(arguments: impl Iterator<Item = OsString>) -> Self {
        let arguments: Vec<String> = arguments
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let mut words = arguments.iter().filter(|word| !word.starts_with('-'));
        let given = words.next();
        let all = Cli::command();
        let known = given.and_then(|given| all.find_subcommand(given));
        Self {
            command: known.map(|known| known.get_name().to_owned()),
            words: words.cloned().collect(),
            arguments,
        }
    }

    /// The error with what its user may mean.
    fn explained(&self, error: clap::Error) -> clap::Error {
        let mut error = self.replaced(&error).unwrap_or(error);
        // How to give a value that looks like an option is beside the point: no file and no name looks so.
        let own = error.remove(ContextKind::Suggested);
        let is_own = error.kind() == ErrorKind::ValueValidation;
        if let Some(tip) = self.tip(&error) {
            error.remove(ContextKind::SuggestedSubcommand);
            error.remove(ContextKind::SuggestedArg);
            suggest(&mut error, &tip);
        } else if let Some(own) = own.filter(|_| is_own) {
            error.insert(ContextKind::Suggested, own);
        }
        for kind in [
            ContextKind::InvalidArg,
            ContextKind::InvalidValue,
            ContextKind::InvalidSubcommand,
        ] {
            if let Some(ContextValue::String(text)) = error.get(kind) {
                let text = ContextValue::String(escaped(text));
                error.insert(kind, text);
            }
        }
        error
    }

    /// A better error in the place of one: a negative number is the value of the option before it, and an argument
    /// too many is no value of one that help does not show.
    fn replaced(&self, error: &clap::Error) -> Option<clap::Error> {
        let given = text(error, ContextKind::InvalidArg)?;
        let new = |kind, contexts: &[(ContextKind, &str)]| {
            let mut new = clap::Error::new(kind).with_cmd(&Cli::command());
            for (kind, text) in contexts {
                new.insert(*kind, ContextValue::String((*text).to_owned()));
            }
            new
        };
        match error.kind() {
            ErrorKind::UnknownArgument | ErrorKind::InvalidValue => {
                let is_negative = |argument: &&[String]| {
                    let digits = argument[1].strip_prefix('-');
                    argument[0].starts_with('-')
                        && digits.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                };
                let pair = self.arguments.windows(2).find(is_negative)?;
                let mut new = new(
                    ErrorKind::ValueValidation,
                    &[
                        (ContextKind::InvalidArg, &pair[0]),
                        (ContextKind::InvalidValue, &pair[1]),
                    ],
                );
                suggest(&mut new, "it must not be negative");
                Some(new)
            }
            ErrorKind::ValueValidation if given == "[-]" => {
                let excess = text(error, ContextKind::InvalidValue)?;
                Some(new(
                    ErrorKind::UnknownArgument,
                    &[(ContextKind::InvalidArg, &excess)],
                ))
            }
            _ => None,
        }
    }

    fn tip(&self, error: &clap::Error) -> Option<String> {
        match error.kind() {
            ErrorKind::InvalidSubcommand => of_word(&text(error, ContextKind::InvalidSubcommand)?),
            ErrorKind::UnknownArgument => {
                let given = text(error, ContextKind::InvalidArg)?;
                if given.starts_with('-') {
                    self.of_option(&given)
                } else {
                    self.of_excess(&given)
                }
            }
            ErrorKind::MissingRequiredArgument => self.of_lack(error),
            _ => None,
        }
    }

    fn of_option(&self, given: &str) -> Option<String> {
        let place = self
            .arguments
            .iter()
            .position(|argument| argument == given || argument.starts_with(&format!("{given}=")));
        let Some(command) = &self.command else {
            return None;
        };
        let all = Cli::command();
        let is_command = |argument: &String| all.find_subcommand(argument).is_some();
        let command_at = self.arguments.iter().position(is_command);
        if place
            .zip(command_at)
            .is_some_and(|(option, command)| option < command)
        {
            return Some(format!(
                "options come after the command: `stillage {command} {}`",
                escaped(given)
            ));
        }
        if let Some(name) = given.strip_prefix("-=").filter(|_| command == "build") {
            let whole = self.arguments.iter().find(|word| word.starts_with("-="));
            let name = whole.map_or(name, |whole| &whole[2..]);
            return Some(format!(
                "name what is on standard input with its format: `docker-archive:-={}`",
                escaped(name)
            ));
        }
        let mut known = OPTIONS.iter();
        let found = known
            .find(|(of, tried, _)| of.is_none_or(|of| of == command) && tried.contains(&given))?;
        Some(found.2.to_owned())
    }

    fn of_excess(&self, given: &str) -> Option<String> {
        let before = format!("{} {}", self.command.as_ref()?, self.words.join(" "));
        let fits = |(start, _): &&(&str, &str)| before.starts_with(start);
        let (_, tip) = EXCESS.iter().find(fits)?;
        Some(tip.replace("{}", &escaped(given)))
    }

    /// What an argument that is given may be, where another is missing.
    fn of_lack(&self, error: &clap::Error) -> Option<String> {
        let command = self.command.as_deref()?;
        let Some(ContextValue::Strings(lacking)) = error.get(ContextKind::InvalidArg) else {
            return None;
        };
        if lacking.iter().any(|lack| lack.starts_with("--output")) {
            return Some(match &self.words[..] {
                [_, .., last] if !Path::new(last).is_file() => {
                    format!("did you mean `-o {}`?", escaped(last))
                }
                _ => "name the folder of the site, which may be new, with `-o SITE`".to_owned(),
            });
        }
        let (first, others) = self.words.split_first()?;
        if Path::new(first).exists() || !is_image(first) {
            return None;
        }
        let mut line = format!("stillage {command} SITE {first}");
        for other in others {
            let tag = other.rsplit(':').next().filter(|_| command == "tag");
            line = format!("{line} {}", tag.unwrap_or(other));
        }
        let line = escaped(line);
        Some(format!("the folder of the site comes first: `{line}`"))
    }
}

/// What a word means in the place of a command.
fn of_word(word: &str) -> Option<String> {
    if Path::new(word).exists() {
        let word = escaped(word);
        return Some(format!("did you mean `stillage build {word} -o SITE`?"));
    }
    let (_, meant) = COMMANDS.iter().find(|(tried, _)| tried.contains(&word))?;
    Some(format!("did you mean `{meant}`?"))
}

/// Whether a word is the name of an image rather than of a folder.
fn is_image(word: &str) -> bool {
    word.parse::<Reference>()
        .is_ok_and(|image| image.tag.is_some() || image.digest.is_some())
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn suggest(error: &mut clap::Error, tip: &str) {
    let tips = ContextValue::StyledStrs(vec![StyledStr::from(tip.to_owned())]);
    error.insert(ContextKind::Suggested, tips);
}
