//! What errors of clap lack: what people mean by words of other tools, and what a surplus argument may mean.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;
use crate::cli::ui::Ui;
use crate::error::{Hint, escaped};
use crate::fsx::quoted_path;
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

/// Whether an argument is of a kind.
type Fits = fn(&str) -> bool;

/// What an argument too many (`{}`) of a command is for. The first of which start and argument fit.
const EXCESS: &[(&str, Fits, &str)] = &[
    ("serve", is_address, "did you mean `--listen {}`?"),
    ("serve", any, "one site is served at a time"),
    (
        "config rsync",
        any,
        "write the script with `-o FILE`, then run it: `sh FILE {}`",
    ),
    (
        "config",
        any,
        "did you mean `-o {}`, which writes the configuration to a file?",
    ),
    ("clients", is_url, "did you mean `--url {}`?"),
    (
        "clients",
        any,
        "the only argument is the folder of the site",
    ),
    (
        "man",
        any,
        "did you mean `stillage help {}`, or `stillage man -o {}`?",
    ),
    (
        "export",
        is_file_name,
        "name the file with `-o FILE`, what the other side has with `--since BASE`",
    ),
    ("export", any, "select with `--only {}`"),
    ("diff", any, "one site is compared with one other"),
];

fn any(_: &str) -> bool {
    true
}

fn is_address(text: &str) -> bool {
    let port = text.rsplit(':').next().unwrap_or_default();
    port.parse::<u16>().is_ok()
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn is_file_name(text: &str) -> bool {
    has_tar_ending(Path::new(text)) || text.contains('/')
}

struct Line {
    arguments: Vec<String>,
    /// The command by its first name.
    command: Option<String>,
    /// What is after the command and no option.
    words: Vec<String>,
}

/// Prints an error of clap, and returns the exit code.
pub(super) fn fail(error: clap::Error) -> ExitCode {
    let line = Line::of(std::env::args_os().skip(1));
    if let (ErrorKind::DisplayVersion, Some(command)) = (error.kind(), &line.command) {
        // Otherwise nothing would be done, and that with success.
        let given = escaped(&line.arguments[0]);
        let misplaced = anyhow::anyhow!("`{given}` before a command prints the version");
        let hint = format!("options come after the command: `stillage {command} {given}`");
        return Ui::error(&misplaced.context(Hint(hint)));
    }
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let _ = line.explained(error).print();
    ExitCode::from(2)
}

impl Line {
    fn of(arguments: impl Iterator<Item = OsString>) -> Self {
        let arguments: Vec<String> = arguments
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let all = Cli::command();
        let mut rest = arguments.iter().skip_while(|word| word.starts_with('-'));
        let known = rest.next().and_then(|given| all.find_subcommand(given));
        let mut words = Vec::new();
        while let (Some(word), Some(known)) = (rest.next(), known) {
            if !word.starts_with('-') {
                words.push(word.clone());
            } else if takes_value(known, word) {
                rest.next();
            }
        }
        Self {
            command: known.map(|known| known.get_name().to_owned()),
            words,
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
                let mut pairs = self.arguments.windows(2).filter(is_negative);
                let pair = pairs.find(|pair| pair[1].starts_with(&given) || pair[0] == given)?;
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
            ErrorKind::ValueValidation if self.command.as_deref() == Some("publish") => {
                let (bucket, site) = (self.words.first()?, self.words.get(1)?);
                let line = escaped(format!("stillage publish {site} {bucket}"));
                is_url(bucket).then(|| format!("the folder of the site comes first: `{line}`"))
            }
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
        let mut fitting = EXCESS
            .iter()
            .filter(|(start, ..)| before.starts_with(start));
        let (.., tip) = fitting.find(|(_, fits, _)| fits(given))?;
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
                [_, .., last] if may_be_site(Path::new(last)) => {
                    format!("did you mean `-o {}`?", escaped(last))
                }
                _ => "name the folder of the site, which may be new, with `-o SITE`".to_owned(),
            });
        }
        let (first, others) = self.words.split_first()?;
        if command == "publish" && is_url(first) {
            let first = escaped(first);
            return Some(format!(
                "the folder of the site comes first: `stillage publish SITE {first}`"
            ));
        }
        if Path::new(first).exists() || !is_image(first) {
            return None;
        }
        let mut line = format!("stillage {command} SITE {first}");
        for other in others {
            let tag = other.rsplit(':').next().filter(|_| command == "tag");
            line = format!("{line} {}", tag.unwrap_or(other));
        }
        let line = escaped(line);
        let more = if command == "tag" {
            ", and tags are added in the same repository"
        } else {
            ""
        };
        Some(format!(
            "the folder of the site comes first{more}: `{line}`"
        ))
    }
}

/// Whether the word after an option is its value.
fn takes_value(command: &clap::Command, option: &str) -> bool {
    let is_it = |argument: &&clap::Arg| {
        let long = argument.get_long();
        let short = argument.get_short();
        long.is_some_and(|long| option == format!("--{long}"))
            || short.is_some_and(|short| option == format!("-{short}"))
    };
    let found = command.get_arguments().find(is_it);
    // One with an optional value has it after `=`.
    found.is_some_and(|found| found.get_action().takes_values() && !found.is_require_equals_set())
}

fn has_tar_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "tar")
}

/// Whether a site is there, or may be made there.
fn may_be_site(path: &Path) -> bool {
    !has_tar_ending(path) && (!path.exists() || crate::source::is_site(path))
}

/// What a word means in the place of a command.
fn of_word(word: &str) -> Option<String> {
    if Path::new(word).exists() {
        let word = quoted_path(Path::new(word));
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
