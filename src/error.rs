//! Errors.
//!
//! Every fallible path returns [`anyhow::Error`]. Its chain may carry two markers: [`InvalidInput`] blames
//! the data (exit code 1; any other error means that the command could not run, exit code 2), and [`Hint`]
//! says what the user can do.

use std::fmt::{self, Write as _};

/// The input is at fault: a source is damaged, hostile, or contradicts another.
#[derive(Debug)]
pub struct InvalidInput(String);

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidInput {}

/// The input has nothing of what the user selects. One of several is left out, as invalid input is; if nothing else is
/// left, the selection is to blame.
#[derive(Debug)]
pub struct NotSelected(pub String);

impl fmt::Display for NotSelected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotSelected {}

pub fn invalid_input(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(InvalidInput(message.into()))
}

/// Returns early with an [`InvalidInput`] error.
#[macro_export]
macro_rules! bail_invalid {
    ($($arg:tt)*) => { return Err($crate::error::invalid_input(format!($($arg)*))) };
}

/// What the user can do about an error. Printed after `hint:`.
#[derive(Debug)]
pub struct Hint(pub String);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub trait WithHint<T> {
    /// Adds a [`Hint`] to an error.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(hint.into())))
    }
}

/// Whether the input is at fault, rather than the machine or the command line.
pub fn is_bad(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(<dyn std::error::Error>::is::<InvalidInput>)
}

/// Whether what has this error may be left out, and the rest taken.
pub fn concerns_one(error: &anyhow::Error) -> bool {
    is_bad(error)
        || error
            .chain()
            .any(<dyn std::error::Error>::is::<NotSelected>)
}

/// The length in characters at which messages cut a name.
const MAX_SHOWN: usize = 300;

/// A name from an archive or a file system, made safe to print: control characters, bidirectional overrides
/// and backticks are escaped, and very long names are cut.
pub fn escaped(name: impl AsRef<str>) -> String {
    safe(name.as_ref(), |c| c == '`' || is_hostile(c))
}

/// A message of a library, made safe to print. Unlike [`escaped`], names in it that are escaped already stay as they are,
/// and the backticks around them.
pub fn escaped_message(text: impl AsRef<str>) -> String {
    safe(text.as_ref(), is_hostile)
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn safe(text: &str, is_hostile: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' if is_hostile(c) => out.extend(c.escape_debug()),
            c if c.is_ascii_control() && is_hostile(c) => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if is_hostile(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// The causes of an error that concerns `what`, and its hint, in one line. `what` is what the line begins with, so it is
/// not named again.
pub fn told_of(what: &str, error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hint>().map(|hint| hint.0.as_str());
    let in_it = format!(" in {what}");
    let is_said = |cause: &String| {
        let reads = cause.strip_prefix("cannot read ");
        let of = reads.map(|rest| rest.strip_prefix("images from ").unwrap_or(rest));
        Some(cause.as_str()) == hint || of == Some(what)
    };
    let causes = error.chain().map(ToString::to_string);
    let causes: Vec<String> = causes
        .filter(|cause| !is_said(cause))
        .map(|cause| cause.replace(&in_it, ""))
        .collect();
    let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{}{hint}", causes.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(escaped("a\u{1b}[2Jb"), "a\\x1b[2Jb");
        assert_eq!(escaped("x\u{202e}y`"), "x\\u{202e}y\\u{60}");
        assert_eq!(escaped("a\nb\t\r\u{7}"), "a\\nb\\t\\r\\x07");
        assert_eq!(escaped("héllo/ü"), "héllo/ü");
    }

    #[test]
    fn a_path_is_named_once() {
        let error = Err::<(), _>(invalid_input("it is empty"))
            .hint("write it anew")
            .unwrap_err()
            .context("cannot read `b` in `x`")
            .context("cannot read images from `x`");
        assert_eq!(
            told_of("`x`", &error),
            "cannot read `b`: it is empty; write it anew"
        );
    }

    #[test]
    fn blame_survives_context() {
        let error = Err::<(), _>(invalid_input("broken"))
            .hint("mend it")
            .unwrap_err()
            .context("reading");
        assert!(is_bad(&error));
        assert_eq!(
            error.downcast_ref::<Hint>().map(|h| h.0.as_str()),
            Some("mend it")
        );
        assert!(!is_bad(&anyhow::anyhow!("disk full")));
    }
}
