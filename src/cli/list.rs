//! `stillage list`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::cli::report::{self, table};
use crate::cli::ui::Ui;
use crate::error::escaped;
use crate::fsx::quoted_path;
use crate::import::selection::Glob;
use crate::ops::list::{self, ListedReference, RepositorySize};
use crate::ops::missing;
use crate::text::bytes;

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct ListArgs {
    /// The folder of the site
    pub(super) site: PathBuf,
    /// List only repositories, or images REPO:TAG, that match one of these; `*` does not match `/`, `**` does
    #[arg(value_name = "GLOB")]
    pub(super) globs: Vec<String>,
    /// Print names only, one a line
    #[arg(short, long, conflicts_with_all = ["json", "sizes", "digests"])]
    pub(super) quiet: bool,
    /// Print whole digests
    #[arg(long, conflicts_with_all = ["json", "sizes"])]
    pub(super) digests: bool,
    /// List repositories with their sizes: of content of their own, and of content that others have too
    #[arg(long, conflicts_with = "globs")]
    pub(super) sizes: bool,
    /// Print JSON, with all that is known
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    ("stillage list site", "everything"),
    (
        "stillage list site 'team/*:1.*' -q",
        "the names of some images",
    ),
    (
        "stillage list site --sizes",
        "what each repository takes on the disk",
    ),
];

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
                let matching = globs.iter().filter(|glob| glob.matches(repository, tag));
                // Not `any`, to know in the end which match nothing.
                matching.count() > 0
            };
            listed.retain(is_named);
        }
        let is_unmatched = |(_, glob): &(&String, &Glob)| glob.unmatched().is_some();
        let unmatched = self.globs.iter().zip(&globs).filter(is_unmatched);
        let unmatched: Vec<String> = unmatched.map(|(text, _)| text.clone()).collect();
        if !unmatched.is_empty() && listed.is_empty() && !self.json {
            return Err(missing::unmatched(&self.site, &unmatched));
        }
        Ui::data(&if self.json {
            report::json(&listed)?
        } else if self.quiet {
            let names = listed.iter().map(|row| row.name.to_string() + "\n");
            names.collect()
        } else {
            references(&listed, self.digests)
        })?;
        Ui::default().messages(damage(&listed, &self.site));
        if !unmatched.is_empty() {
            return Err(missing::unmatched(&self.site, &unmatched));
        }
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
    let rows: Vec<_> = sizes.iter().map(row).collect();
    let table = table(&heads, &rows, [64, MAX, MAX, MAX]);
    format!("{table}all together {}\n", bytes(total))
}

/// The length to which a digest is cut: `sha256:` and 12 digits.
const SHORT_DIGEST: usize = 7 + 12;
/// The widths, in characters, at which a row of a short digest fits 100 columns. Longer cells do not widen other rows.
const WIDEST_NAME: usize = 28;
const WIDEST_KIND: usize = 24;
const MAX: usize = usize::MAX;

fn references(listed: &[ListedReference], whole_digests: bool) -> String {
    let rows: Vec<[String; 5]> = listed
        .iter()
        .map(|row| {
            let mut digest = row.name.digest.to_string();
            if !whole_digests {
                digest.truncate(SHORT_DIGEST);
            }
            let v1 = row.name.v1_id.as_ref().map_or("-", |id| &id[..12]);
            [
                row.name.to_string(),
                digest,
                kind(row),
                bytes(row.size),
                v1.into(),
            ]
        })
        .collect();
    table(
        &["NAME", "DIGEST", "PLATFORM", "SIZE", "V1 ID"].map(Into::into),
        &rows,
        [WIDEST_NAME, MAX, WIDEST_KIND, MAX, MAX],
    )
}

/// The platforms of an image, the type of an artifact.
fn kind(row: &ListedReference) -> String {
    let kind = match &row.platforms[..] {
        [] => row.artifact_type.as_deref().map_or("-".into(), escaped),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} +{}", more.len()),
    };
    match &row.damage {
        Some(_) => format!("{kind} (damaged)"),
        None => kind,
    }
}

/// What the references of a site lack, and where to learn more.
fn damage(listed: &[ListedReference], site: &Path) -> Vec<String> {
    let damaged = listed.iter().filter_map(|row| {
        let damage = row.damage.as_ref()?;
        Some(format!("warning: `{}` is damaged: {damage}", row.name))
    });
    let mut lines: Vec<String> = damaged.collect();
    if !lines.is_empty() {
        let site = quoted_path(site);
        lines.push(format!(
            "hint: `stillage verify {site}` lists all damage; a build from the sources restores what they have"
        ));
    }
    lines
}
