//! `stillage clients`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::ui::Ui;
use crate::cli::{parsed, report};
use crate::client_config::{Address, CLIENTS, File, Upstream};
use crate::fsx::escaped_path;
use crate::note::NoteKind;
use crate::ops::clients::{self, ClientsOptions};

#[derive(Debug, Args)]
pub(super) struct ClientsArgs {
    /// The folder of the site
    site: PathBuf,
    /// The URL at which clients reach it, such as `https://mirror.example:5000`
    #[arg(long, value_name = "URL", value_parser = parsed::<Address>)]
    url: Address,
    /// A registry that the site mirrors, and what its names in the site begin with, such as `docker.io` or
    /// `quay.io=quay`; repeatable. By default each registry in the names of a site with full names
    #[arg(long, value_name = "HOST[=PREFIX]", value_parser = parsed::<Upstream>)]
    upstream: Vec<Upstream>,
    /// The certificate of the CA that the server's certificate is from, in PEM, if clients do not know it
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Write the files below this folder, as they lie on a client, instead of printing them
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "stillage clients site --url https://mirror.example",
        "print all files",
    ),
    (
        "stillage clients site --url https://mirror.example:5000 --ca ca.pem -o clients",
        "write them, with a CA of your own",
    ),
    (
        "stillage clients site --url https://mirror.example --upstream docker.io",
        "a site with images of Docker Hub",
    ),
];

impl ClientsArgs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(folder) = &self.output {
            crate::fsx::check_folder(folder)?;
            crate::fsx::check_outside(&folder.join("docker"), &self.site)?;
        }
        let files = clients::files(&ClientsOptions {
            site: self.site,
            address: self.url,
            upstreams: self.upstream,
            ca: self.ca,
        })?;
        let Some(folder) = self.output else {
            let texts: Vec<String> = files.iter().map(printed).collect();
            Ui::data(&texts.join("\n"))?;
            return Ok(ExitCode::SUCCESS);
        };
        let paths = clients::write(&files, &folder)?;
        for ((_, file), path) in files.iter().zip(&paths) {
            Ui::default().message(&format!("{}: {}", escaped_path(path), file.about));
        }
        let leftovers = clients::leftovers(&folder, &paths)?;
        let notes = leftovers.iter().map(|path| {
            let path = escaped_path(path);
            NoteKind::Choice.note(format!(
                "`{path}` is not of this run: remove it if it no longer applies"
            ))
        });
        Ui::default().messages(report::notes(&notes.collect::<Vec<_>>()));
        Ok(ExitCode::SUCCESS)
    }
}

/// A file below a line that says what it is.
fn printed((client, file): &(&str, File)) -> String {
    let slash = if file.path.contains('/') { "/" } else { "" };
    format!(
        "=== {client}: {slash}{} ({})\n{}",
        file.path, file.about, file.text
    )
}

pub(super) fn clients_help() -> String {
    let mut help = String::from("Clients, each a folder with `-o`:\n");
    for client in CLIENTS {
        let _ = writeln!(help, "  {:11} {}", client.name, client.about);
    }
    help
}
