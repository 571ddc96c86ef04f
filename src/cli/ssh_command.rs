//! `stillage ssh-command`: what a key in `authorized_keys` may do with a site.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::cli::args::{NoMove, Writing};
use crate::cli::export::ExportArgs;
use crate::cli::get::GetArgs;
use crate::cli::list::ListArgs;
use crate::cli::put::PutArgs;
use crate::cli::ui::Ui;
use crate::ops::list;
use crate::spec::ssh_command::{Request, refused};

#[derive(Debug, Args)]
pub(super) struct SshCommandArgs {
    /// The folder of the site
    #[arg(long)]
    site: PathBuf,
    /// Refuse `put`
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    no_move: NoMove,
    /// `put` takes exports only, and the site then lists what the exported site does
    #[arg(long, conflicts_with = "read_only")]
    mirror: bool,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage ssh-command --site /srv/registry",
        "the `command` of a key that may read and put",
    ),
    (
        "stillage ssh-command --site /srv/registry --read-only",
        "of one that may only read",
    ),
];

/// Where sshd leaves the command of the client when it runs another one (sshd(8), `command="..."`).
const COMMAND: &str = "SSH_ORIGINAL_COMMAND";

impl SshCommandArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Some(command) = std::env::var_os(COMMAND) else {
            Ui::line(self.usage());
            return Ok(ExitCode::from(2));
        };
        // What is not UTF-8 becomes a character that no word may have.
        let command = command.to_string_lossy();
        match Request::parse(&command)? {
            Request::Get(references) => GetArgs::of(self.site, references).run(),
            Request::Put(_) if self.read_only => Err(refused(&command, "this key can only read")),
            Request::Put(Some(_)) if self.mirror => {
                Err(refused(&command, "this key puts exports, which have names"))
            }
            Request::Put(name) => PutArgs {
                site: self.site,
                name,
                mirror: self.mirror,
                no_move: self.no_move,
                writing: Writing::default(),
            }
            .run(),
            Request::Export { is_since } => ExportArgs::over_ssh(self.site, is_since).run(),
            Request::List => ListArgs {
                globs: Vec::new(),
                quiet: false,
                site: self.site,
                sizes: false,
                digests: false,
                json: false,
            }
            .run(),
            Request::Index => {
                let index = list::index(&self.site)?;
                Ui::stream(|out| {
                    out.write_all(&index)
                        .context("cannot write to the standard output")
                })?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// What a client sees that gives no command.
    fn usage(&self) -> &'static str {
        if self.read_only {
            READ_ONLY_USAGE
        } else {
            USAGE
        }
    }
}

const READ_ONLY_USAGE: &str = "\
This is a registry of container images. Say one of:
  get REF...        images, as an archive on standard output
  list              what there is
  index             the same as JSON, an OCI image index
  export            all of it, for `stillage build`, on standard output
  export-since      what a site lacks whose index is on standard input";

const USAGE: &str = "\
This is a registry of container images. Say one of:
  get REF...        images, as an archive on standard output
  put [NAME[:TAG]]  add the images of an archive on standard input
  list              what there is
  index             the same as JSON, an OCI image index
  export            all of it, for `stillage build`, on standard output
  export-since      what a site lacks whose index is on standard input";
