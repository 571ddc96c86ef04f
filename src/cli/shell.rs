//! `stillage completions` and `stillage man`: what a shell and `man` know of the commands and topics.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::ui::Ui;
use crate::fsx;
use crate::topics::TOPICS;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) const COMPLETIONS_EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage completions bash > ~/.local/share/bash-completion/completions/stillage",
        "bash",
    ),
    (
        "stillage completions zsh > ~/.zfunc/_stillage",
        "zsh, with ~/.zfunc in `fpath`",
    ),
    (
        "stillage completions fish > ~/.config/fish/completions/stillage.fish",
        "fish",
    ),
];

impl CompletionsArgs {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "stillage", &mut script);
        Ui::data(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write the pages of all commands and topics below this folder instead, into `man1` and `man7`
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(super) const MAN_EXAMPLES: &[(&str, &str)] = &[
    ("stillage man | man -l -", "the page of stillage"),
    (
        "stillage man -o /usr/local/share/man",
        "the pages of all commands and topics",
    ),
];

impl ManArgs {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut command = Cli::command();
        command.build();
        let Some(folder) = &self.output else {
            Ui::data(&page(command)?)?;
            return Ok(ExitCode::SUCCESS);
        };
        fsx::check_folder(folder)?;
        for page_of in std::iter::once(&command).chain(command.get_subcommands()) {
            let name = page_of.get_display_name().unwrap_or("stillage");
            let text = page(page_of.clone())?;
            let path = folder.join(format!("man1/{name}.1"));
            fsx::replace_below(&path, text.as_bytes())?;
        }
        for topic in TOPICS {
            let path = folder.join(format!("man7/stillage-{}.7", topic.name));
            fsx::replace_below(&path, topic.man_page().as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A page of the manual.
fn page(command: clap::Command) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command);
    page.render(&mut text).context("cannot make the page")?;
    Ok(String::from_utf8(text)?)
}
