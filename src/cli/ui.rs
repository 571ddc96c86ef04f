//! Output: data on stdout, everything else on stderr.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::error::{Hint, WithHint as _, is_bad};
use crate::fsx::escaped_path;

#[derive(Debug)]
pub(super) struct Ui {
    /// Print only errors.
    pub(super) quiet: bool,
}

impl Ui {
    /// Prints the result of a command on stdout.
    pub(super) fn data(text: &str) -> anyhow::Result<()> {
        Self::stream(|out| {
            out.write_all(text.as_bytes())
                .context("cannot write to the standard output")
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
    pub(super) fn message(&self, text: &str) {
        if !self.quiet {
            Self::line(text);
        }
    }

    pub(super) fn messages(&self, lines: Vec<String>) {
        for line in lines {
            self.message(&line);
        }
    }

    /// Another run is writing to the site: prints that this one waits, or fails with `no_wait`.
    pub(super) fn busy(&self, site: &Path, no_wait: bool) -> anyhow::Result<()> {
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

    /// Prints a line on stderr, even if quiet.
    pub(super) fn line(text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Prints an error, one line for each cause, and its hint. Returns the exit code: 1 if the data is wrong,
    /// 2 if the command could not run.
    pub(super) fn error(error: &anyhow::Error) -> ExitCode {
        let hint = error.downcast_ref::<Hint>().map(|hint| hint.0.as_str());
        let causes = error
            .chain()
            .map(ToString::to_string)
            .filter(|cause| Some(cause.as_str()) != hint);
        let mut text = String::new();
        for (index, cause) in causes.enumerate() {
            text.push_str(if index == 0 { "error: " } else { "  because: " });
            text.push_str(&cause);
            text.push('\n');
        }
        if let Some(hint) = hint {
            text.push_str("hint: ");
            text.push_str(hint);
            text.push('\n');
        }
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(if is_bad(error) { 1 } else { 2 })
    }
}
