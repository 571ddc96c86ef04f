//! Output: data on stdout, everything else on stderr.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;

use crate::error::{Hint, WithHint as _, is_bad};
use crate::fsx::escaped_path;
use crate::progress::Progress;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Loudness {
    /// Errors only.
    Quiet,
    #[default]
    Normal,
    /// Each step too.
    Verbose,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ui(pub(super) Loudness);

/// The first words of lines on stderr, in the colours that clap gives to its own.
const PAINTED: [(&str, Style); 4] = [
    ("error:", AnsiColor::Red.on_default().bold()),
    ("warning:", AnsiColor::Yellow.on_default().bold()),
    ("note:", AnsiColor::Cyan.on_default().bold()),
    ("hint:", AnsiColor::Green.on_default()),
];

impl Ui {
    /// Prints the result of a command on stdout.
    pub(super) fn data(text: &str) -> anyhow::Result<()> {
        Self::stream(|out| {
            out.write_all(text.as_bytes())
                .context("cannot write to the standard output")
        })
    }

    /// Prints text with styles on stdout, for a terminal that shows them.
    pub(super) fn styled(text: &clap::builder::StyledStr) -> anyhow::Result<()> {
        Self::stream(|_| {
            let mut stdout = anstream::stdout().lock();
            Ok(write!(stdout, "{}", text.ansi())?)
        })
    }

    /// Gives `write` a buffered stdout. A broken pipe is not an error: the reader has what it wanted.
    pub(super) fn stream<T: Default>(
        write: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = write(&mut stdout).and_then(|value| {
            stdout.flush()?;
            Ok(value)
        });
        match written {
            Err(error) => match error.downcast_ref::<io::Error>() {
                Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(T::default()),
                _ => Err(error),
            },
            written => written,
        }
    }

    /// Gives `write` stdout, for bytes. Unlike text, they must all arrive: a broken pipe is an error.
    pub(super) fn binary<T>(
        write: impl FnOnce(&mut (dyn io::Write + Send)) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut stdout = io::BufWriter::with_capacity(1 << 18, io::stdout());
        let written = write(&mut stdout).and_then(|value| {
            stdout.flush()?;
            Ok(value)
        });
        written.map_err(|error| {
            let mut causes = error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<io::Error>());
            if causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe) {
                anyhow::anyhow!("standard output was closed before everything was written")
            } else {
                error
            }
        })
    }

    /// Prints a line on stderr, unless quiet.
    pub(super) fn message(self, text: &str) {
        if !self.is_quiet() {
            Self::line(text);
        }
    }

    /// For a command that can be quiet, but not verbose.
    pub(super) fn quiet_if(is_quiet: bool) -> Self {
        Self(if is_quiet {
            Loudness::Quiet
        } else {
            Loudness::Normal
        })
    }

    /// The progress of a run, which tells its steps if this is verbose.
    pub(super) fn progress(self) -> Arc<Progress> {
        Arc::new(if self.0 == Loudness::Verbose {
            Progress::logged(Self::line)
        } else {
            Progress::default()
        })
    }

    pub(super) fn is_quiet(self) -> bool {
        self.0 == Loudness::Quiet
    }

    pub(super) fn messages(self, lines: Vec<String>) {
        for line in lines {
            self.message(&line);
        }
    }

    /// Another run is writing to the site: prints that this one waits, or fails with `no_wait`.
    pub(super) fn busy(self, site: &Path, no_wait: bool) -> anyhow::Result<()> {
        if no_wait {
            return Err(anyhow::anyhow!(
                "another run is writing to the site `{}`",
                escaped_path(site)
            ))
            .hint("try again later, or leave out `--no-wait` to wait for it");
        }
        self.message("waiting for another run on this site to finish");
        Ok(())
    }

    /// Prints a line on stderr, even if quiet. Its first word is painted on a terminal, unless `NO_COLOR` is set.
    pub(super) fn line(text: &str) {
        Self::raw(&painted(&plain(text)));
    }

    fn raw(text: &str) {
        let choice = anstream::AutoStream::choice(&io::stderr());
        let mut bytes = anstream::AutoStream::new(Vec::new(), choice);
        let _ = writeln!(bytes, "{text}");
        let _ = io::stderr().write_all(&bytes.into_inner());
    }

    /// Prints a line of a log on stderr as it is.
    #[cfg(feature = "serve")]
    pub(super) fn log(text: &str) {
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    }

    /// Prints an error, one line for each cause, and its hint. Returns the exit code: 1 if the data is wrong,
    /// 2 if the command could not run.
    pub(super) fn error(error: &anyhow::Error) -> ExitCode {
        let hint = error.downcast_ref::<Hint>().map(|hint| hint.0.as_str());
        let causes = error
            .chain()
            .map(ToString::to_string)
            .filter(|cause| Some(cause.as_str()) != hint);
        let mut lines: Vec<String> = causes
            .enumerate()
            .map(|(index, cause)| match index {
                0 => format!("error: {cause}"),
                _ => format!("  because: {cause}"),
            })
            .collect();
        lines.extend(hint.map(|hint| format!("hint: {hint}")));
        // In one piece: others may write to the same place.
        let lines: Vec<String> = lines.iter().map(|line| painted(&plain(line))).collect();
        Self::raw(&lines.join("\n"));
        ExitCode::from(if is_bad(error) { 1 } else { 2 })
    }
}

/// A message without the numbers that Rust adds to errors of the system: `No such file or directory (os error 2)`.
fn plain(line: &str) -> String {
    let mut parts = line.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<i32>().is_ok() => plain.push_str(rest),
            _ => plain = format!("{plain} (os error {part}"),
        }
    }
    plain
}

fn painted(line: &str) -> String {
    for (word, style) in PAINTED {
        if let Some(rest) = line.strip_prefix(word) {
            return format!("{style}{word}{style:#}{rest}");
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_dropped() {
        let said = plain("a: File exists (os error 17): b (os error x) (os error 2)");
        assert_eq!(said, "a: File exists: b (os error x)");
    }

    #[test]
    fn the_first_word_is_painted() {
        let text = painted("error: `x` is not a site");
        assert_eq!(text, "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m `x` is not a site");
        assert_eq!(
            painted("wrote 3 files: error: no"),
            "wrote 3 files: error: no"
        );
    }
}
