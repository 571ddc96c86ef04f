//! `stillage get`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::parsed;
use crate::cli::ui::Ui;
use crate::error::WithHint as _;
use crate::export::{FORMATS, TargetName};
use crate::ops::get::{self, GetOptions};
use crate::spec::descriptor::Platform;

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The folder of the site
    site: PathBuf,
    /// Images: `NAME[:TAG]`, `NAME@sha256:HEX` or a v1 id
    #[arg(required = true, value_name = "REF")]
    references: Vec<String>,
    /// Write to this file, or folder for `oci` and `dir`, instead of standard output
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The format
    #[arg(long, default_value = FORMATS[0].name,
          value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.name)))]
    format: String,
    /// Of an index, take only the image for this platform; the index keeps its digest
    #[arg(long, value_parser = parsed::<Platform>)]
    platform: Option<Platform>,
    /// Give the image this name in the archive
    #[arg(long, value_name = "NAME[:TAG]", value_parser = parsed::<TargetName>)]
    name: Option<TargetName>,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage get site app:1 | docker load",
        "or `podman load`, or `ctr images import -`",
    ),
    (
        "stillage get site app:1 tool:2 -o two.tar",
        "two images as one archive",
    ),
    (
        "stillage get site app:1 --format oci -o layout",
        "an OCI layout, with signatures and SBOMs",
    ),
];

impl GetArgs {
    /// Of these references, in the default format, to standard output: over SSH.
    pub(super) fn of(site: PathBuf, references: Vec<String>) -> Self {
        Self {
            site,
            references,
            output: None,
            format: FORMATS[0].name.to_owned(),
            platform: None,
            name: None,
        }
    }

    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let format = FORMATS.iter().find(|format| format.name == self.format);
        let format = format.ok_or_else(|| anyhow::anyhow!("there is no such format"))?;
        let options = GetOptions {
            site: self.site,
            references: self.references,
            format,
            platform: self.platform,
            name: self.name,
        };
        match self.output {
            Some(path) if format.is_archive && path.as_os_str() != "-" => {
                get::file(&options, &path)?;
            }
            Some(path) if path.as_os_str() != "-" => get::folder(&options, &path)?,
            _ if !format.is_archive => {
                return Err(anyhow::anyhow!("`{}` writes a folder", format.name))
                    .hint("name it with `-o FOLDER`");
            }
            _ if io::stdout().is_terminal() => {
                return Err(anyhow::anyhow!(
                    "standard output is a terminal, and an archive is not text"
                ))
                .hint("write it to a file with `-o FILE`, or pipe it: `| docker load`");
            }
            _ => Ui::binary(|out| get::archive(&options, out))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn formats_help() -> String {
    let mut help = String::from("Formats:\n");
    for format in FORMATS {
        let _ = writeln!(help, "  {:12} {}", format.name, format.about);
    }
    help
}
