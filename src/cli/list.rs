//! `stillage list`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::report::{self, table};
use crate::cli::ui::Ui;
use crate::error::escaped;
use crate::fsx::escaped_path;
use crate::import::selection::Glob;
use crate::ops::list::{self, ListedReference, RepositorySize};
use crate::text::bytes;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The folder of the site
    pub(super) site: PathBuf,
    /// List only repositories, or images REPO:TAG, that match one of these; `*` does not match `/`, `**` does
    #[arg(value_name = "GLOB")]
    pub(super) globs: Vec<String>,
    /// Print only names, one a line
    #[arg(short, long, conflicts_with_all = ["json", "sizes"])]
    pub(super) quiet: bool,
    /// List repositories with their sizes: of content of their own, and of content that others have too
    #[arg(long, conflicts_with = "globs")]
    pub(super) sizes: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl ListArgs {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if self.sizes {
            return self.sizes();
        }
        let globs = self.globs.iter().map(|glob| Glob::new("GLOB", glob));
        let globs: Vec<Glob> = globs.collect::<anyhow::Result<_>>()?;
        let mut listed = list::list(&self.site)?;
        if !globs.is_empty() {
            let is_named = |row: &ListedReference| {
                let (repository, tag) = (&row.name.repository, row.name.tag.as_ref());
                globs.iter().any(|glob| glob.matches(repository, tag))
            };
            listed.retain(is_named);
        }
        Ui::data(&if self.json {
            report::json(&listed)?
        } else if self.quiet {
            let names = listed.iter().map(|row| row.name.to_string() + "\n");
            names.collect()
        } else {
            references(&listed)
        })?;
        Ui { quiet: false }.messages(damage(&listed, &self.site));
        Ok(ExitCode::SUCCESS)
    }

    fn sizes(&self) -> anyhow::Result<ExitCode> {
        #[derive(Serialize)]
        struct Sizes {
            repositories: Vec<RepositorySize>,
            total: u64,
        }
        let (repositories, total) = list::sizes(&self.site)?;
        let sizes = Sizes {
            repositories,
            total,
        };
        Ui::data(&if self.json {
            report::json(&sizes)?
        } else {
            repository_sizes(&sizes.repositories, total)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn repository_sizes(sizes: &[RepositorySize], total: u64) -> String {
    let row = |size: &RepositorySize| {
        [
            size.repository.to_string(),
            size.tags.to_string(),
            bytes(size.own),
            bytes(size.shared),
        ]
    };
    let heads = ["REPOSITORY", "TAGS", "OWN", "SHARED"].map(Into::into);
    let table = table(&heads, &sizes.iter().map(row).collect::<Vec<_>>());
    format!("{table}all together {}\n", bytes(total))
}

fn references(listed: &[ListedReference]) -> String {
    let rows: Vec<[String; 5]> = listed
        .iter()
        .map(|row| {
            let platforms = row.platforms.join(",");
            let v1 = row.name.v1_id.as_ref().map_or("-", |id| &id[..12]);
            let platforms = if platforms.is_empty() {
                row.artifact_type.as_deref().map_or("-".into(), escaped)
            } else {
                platforms
            };
            let platforms = match &row.damage {
                Some(_) => format!("{platforms} (damaged)"),
                None => platforms,
            };
            [
                row.name.to_string(),
                row.name.digest.to_string(),
                platforms,
                bytes(row.size),
                v1.into(),
            ]
        })
        .collect();
    table(
        &["NAME", "DIGEST", "PLATFORM", "SIZE", "V1 ID"].map(Into::into),
        &rows,
    )
}

/// What the references of a site lack, and where to learn more.
fn damage(listed: &[ListedReference], site: &Path) -> Vec<String> {
    let damaged = listed.iter().filter_map(|row| {
        let damage = row.damage.as_ref()?;
        Some(format!("warning: `{}` is damaged: {damage}", row.name))
    });
    let mut lines: Vec<String> = damaged.collect();
    if !lines.is_empty() {
        let site = escaped_path(site);
        lines.push(format!(
            "hint: `stillage verify {site}` lists all damage; a build from the sources restores what they have"
        ));
    }
    lines
}
