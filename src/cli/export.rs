//! `stillage export` and `stillage diff`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::ensure;
use clap::Args;

use crate::cli::args::{Globs, Trust, refuse};
use crate::cli::ui::Ui;
use crate::cli::{parsed, report};
use crate::error::{WithHint as _, escaped};
use crate::fsx;
use crate::ops::base::Base;
use crate::ops::diff;
use crate::ops::export::{ExportOptions, Exported};
use crate::text;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The folder of the site
    site: PathBuf,
    /// `-` for standard output, as with `-o -`
    #[arg(value_name = "-", value_parser = parsed::<Dash>, conflicts_with = "output", hide = true)]
    dash: Option<Dash>,
    /// Carry only what another site lacks: its folder, its `index.json` (a file, a pipe or `-`), an earlier export, or
    /// the URL of its server
    #[arg(long, value_name = "BASE")]
    since: Option<String>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write volumes of at most this size: FILE with a number before its ending. K, M, G and T are powers of 1,024;
    /// KB, MB, GB and TB of 1,000
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    globs: Globs,
    #[command(flatten)]
    trust: Trust,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("stillage export site -o mirror.tar", "all of a site"),
    (
        "stillage export site --since mirror.tar -o update.tar",
        "what is new since an earlier export",
    ),
    (
        "stillage export site --since https://mirror.example -o update.tar",
        "what the server of a mirror lacks",
    ),
    (
        "stillage export site --max-size 4G -o mirror.tar",
        "volumes that fit a disk",
    ),
];

pub(super) const DIFF_EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage diff site https://mirror.example",
        "what a mirror lacks",
    ),
    (
        "stillage diff site mirror.tar --exit-code",
        "whether anything changed since an export",
    ),
];

#[derive(Clone, Copy, Debug)]
struct Dash;

impl FromStr for Dash {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        ensure!(
            text == "-",
            "name the file with `-o FILE`, and what the other side has with `--since BASE`"
        );
        Ok(Self)
    }
}

fn base(text: String, trust: Trust) -> Base {
    Base {
        text,
        ca: trust.ca,
        insecure: trust.insecure,
    }
}

impl ExportArgs {
    /// All of the site, or what the site lacks whose `index.json` is on standard input, to standard output: over SSH.
    pub(super) fn over_ssh(site: PathBuf, is_since: bool) -> Self {
        Self {
            site,
            dash: None,
            since: is_since.then(|| "-".to_owned()),
            globs: Globs::default(),
            output: None,
            max_size: None,
            trust: Trust::default(),
            quiet: true,
        }
    }

    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.since.is_none() {
            refuse(self.trust.given(), "only applies to the URL of `--since`")?;
        }
        if let (Some(base), Some(output)) = (&self.since, &self.output)
            && fsx::canonical(Path::new(base)) == fsx::canonical(output)
        {
            return Err(anyhow::anyhow!(
                "`{}` is what `--since` names",
                escaped(base)
            ))
            .hint("write the update to another file with `-o`");
        }
        let options = ExportOptions {
            site: self.site,
            selection: self.globs.selection()?,
            since: self.since.map(|text| base(text, self.trust)),
        };
        let to_stream = self
            .output
            .as_ref()
            .is_none_or(|path| path.as_os_str() == "-");
        let exported = match (self.output, self.max_size) {
            (Some(path), None) if !to_stream => options.file(&path)?,
            (Some(path), Some(max)) if !to_stream => options.volumes(&path, max)?,
            (_, Some(_)) => {
                return Err(anyhow::anyhow!("volumes cannot go to standard output"))
                    .hint("name them with `-o FILE`");
            }
            _ if io::stdout().is_terminal() => {
                return Err(anyhow::anyhow!(
                    "standard output is a terminal, and an archive is not text"
                ))
                .hint("write it to a file with `-o FILE`, or pipe it: `| ssh mirror put`");
            }
            _ => Ui::binary(|out| options.stream(out))?,
        };
        Ui::quiet_if(self.quiet).messages(summary(&exported));
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(exported: &Exported) -> Vec<String> {
    let mut lines = report::notes(&exported.notes);
    let files = text::count(exported.files, "file");
    let bytes = text::bytes(exported.bytes);
    let volumes = match exported.volumes.len() {
        0 | 1 => String::new(),
        several => format!(" in {several} volumes"),
    };
    lines.push(format!("exported {files} ({bytes}){volumes}"));
    lines
}

/// Parses a number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let base = match unit.as_bytes() {
        [] | [_] | [_, b'I', b'B'] => 1024_u64,
        [_, b'B'] => 1000,
        _ => 0,
    };
    let power = match unit.bytes().next() {
        None => Some(0),
        Some(first) => b"KMGT".iter().position(|known| *known == first),
    };
    let power = power.and_then(|power| u32::try_from(power).ok());
    let power = power.map(|power| if unit.is_empty() { 0 } else { power + 1 });
    let bytes = power
        .filter(|_| base > 0)
        .and_then(|power| digits.parse::<u64>().ok()?.checked_mul(base.pow(power)));
    bytes.ok_or_else(|| format!("`{}` is not a size such as 4G or 700MB", escaped(text)))
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The folder of the site
    site: PathBuf,
    /// The other site: its folder, its `index.json` (a file, a pipe or `-`), an export, or the URL of its server
    #[arg(value_name = "OTHER")]
    other: String,
    /// Exit with 1 if they differ
    #[arg(long)]
    exit_code: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: Trust,
}

impl DiffArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let difference = diff::diff(&self.site, &base(self.other, self.trust))?;
        Ui::data(&if self.json {
            report::json(&difference)?
        } else {
            report::difference(&difference)
        })?;
        let differs = self.exit_code && !difference.is_none();
        Ok(ExitCode::from(u8::from(differs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("4G", Some(4 << 30)),
            ("4g", Some(4 << 30)),
            ("4GiB", Some(4 << 30)),
            ("700MB", Some(700_000_000)),
            ("1T", Some(1 << 40)),
            ("", None),
            ("G", None),
            ("4.7G", None),
            ("-1", None),
            ("4GB2", None),
            ("4X", None),
            ("4GIX", None),
            ("99999999999T", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
    }
}
