//! `stillage completions` and `stillage man`: what a shell and `man` know of the commands and topics.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use roff::{Roff, roman};

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
fn page(mut command: clap::Command) -> anyhow::Result<String> {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let end = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string);
    let has_commands = command.has_subcommands();
    let page = clap_mangen::Man::new(command.override_usage(usage))
        .source(concat!("stillage ", env!("CARGO_PKG_VERSION")))
        .manual("Stillage");
    let mut text = Vec::new();
    let render = |text: &mut Vec<u8>| {
        page.render_title(text)?;
        page.render_name_section(text)?;
        page.render_synopsis_section(text)?;
        page.render_options_section(text)?;
        if has_commands {
            page.render_subcommands_section(text)?;
        }
        anyhow::Ok(())
    };
    render(&mut text).context("cannot make the page")?;
    let end = end_section(&end.unwrap_or_default());
    Ok(String::from_utf8(text)? + &end)
}

/// Sections out of the end of a help: its blocks, each after a line that ends in a colon.
fn end_section(end: &str) -> String {
    let mut roff = Roff::new();
    for block in end.split("\n\n") {
        let Some((title, lines)) = block.split_once(':') else {
            continue;
        };
        if title == "More" {
            roff.control("SH", ["SEE ALSO"]);
            let pages = lines.split(", ").map(|topic| {
                let name = topic.trim().trim_start_matches("stillage help ");
                format!("stillage-{name}(7)")
            });
            roff.text([roman(pages.collect::<Vec<_>>().join(", "))]);
            continue;
        }
        let title = title.split(',').next().unwrap_or_default();
        roff.control("SH", [title.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in lines.lines().filter(|line| !line.is_empty()) {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    roff.to_roff()
}
