//! The files that let Apache serve the site without a configuration of its own.
//! ```text
//! .htaccess                       the rules that are the same for every site: htaccess.conf
//! _answers/<what>.json            errors, and the empty list of referrers
//! v2/<name>/manifests/.htaccess   the manifest of each tag
//! ```
//! Apache reads `.htaccess` on each request, so replacing the file moves a tag. No registry address starts
//! with `_answers`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::images::Images;
use crate::plan::tree::{File, Stage, Tree};
use crate::plan::v2::extension;
use crate::plan::{Area, Plan};
use crate::routes::{NO_REFERRERS, no_such_range, not_found, read_only};
use crate::site_files::catalogue::{Repo, ServedBy};
use crate::spec::name::Repository;

/// The error responses, for `.htaccess` and for the whole server: a request may fail before Apache reads
/// `.htaccess`.
pub const ERRORS: &str = include_str!("htaccess_errors.conf");
const RULES: &str = include_str!("htaccess.conf");

/// The kinds of error in [`ERRORS`], each with an address that causes it.
const MISSING: [(&str, &str); 8] = [
    ("not-found", "/x"),
    ("image", "/v1/images/x"),
    ("repository", "/v1/repositories/x"),
    ("tag", "/v1/repositories/x/tags/x"),
    ("name", "/v2/x"),
    ("manifest", "/v2/x/manifests/x"),
    ("blob", "/v2/x/blobs/x"),
    ("digest", "/v2/x/referrers/x"),
];

pub(super) const AREA: Area = Area {
    is_in: |catalogue| catalogue.servers.contains(&ServedBy::Apache),
    repository,
    lists,
};

fn lists(tree: &mut Tree, plan: &Plan<'_>) -> anyhow::Result<()> {
    answers(tree)?;
    let has_v1 = if plan.catalogue.apis.v1 { "yes" } else { "no" };
    let text = RULES.replace("@ERRORS@\n", ERRORS);
    let text = text.replace("@HAS_V1@", has_v1);
    tree.bytes(".htaccess".into(), Stage::List, text.into_bytes())
}

fn answers(tree: &mut Tree) -> anyhow::Result<()> {
    let missing = MISSING.map(|(name, address)| (name, not_found(address)));
    let others = [
        ("read-only-v1", read_only("/v1/")),
        ("read-only-v2", read_only("/v2/")),
        ("range-v1", no_such_range("/")),
        ("range-v2", no_such_range("/v2/")),
        ("no-referrers", NO_REFERRERS),
    ];
    missing
        .into_iter()
        .chain(others)
        .try_for_each(|(name, text)| {
            let path = format!("_answers/{name}.json");
            tree.bytes(path, Stage::Manifest, text.as_bytes())
        })
}

/// The rules for the tags of one repository, under each of its names.
fn repository(tree: &mut Tree, plan: &Plan<'_>, repository: &Repository) -> anyhow::Result<()> {
    let repo = &plan.images.repositories[repository];
    // Without v2 there are no manifests.
    if !plan.catalogue.apis.v2 {
        return Ok(());
    }
    repository.aliases().iter().try_for_each(|name| {
        let lines = File::TagLines {
            new: tags(plan.images, repo, name)?.into_bytes().into(),
            join: with_old,
        };
        let path = format!("v2/{name}/manifests/.htaccess");
        tree.insert(path, Stage::Pointer, lines)
    })
}

fn tags(images: &Images, repo: &Repo, name: &str) -> anyhow::Result<String> {
    let mut text = String::from("# Written by stillage: the manifest of each tag.\n");
    for (tag, digest) in &repo.tags {
        writeln!(
            text,
            r#"SetEnvIf Request_URI "^/v2/{}/manifests/{}$" manifest={digest}.{}"#,
            pattern(name),
            pattern(tag.as_str()),
            extension(images, digest),
        )?;
    }
    Ok(text)
}

/// The new rules, then the old rules for tags that have no new one.
fn with_old(new: &[u8], old: &[u8]) -> Vec<u8> {
    let lines = |text| {
        String::from_utf8_lossy(text)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let address = |line: &str| line.rsplit_once(' ').map(|(address, _)| address.to_owned());
    let known: BTreeSet<_> = lines(new).iter().map(|line| address(line)).collect();
    let mut all = new.to_vec();
    for line in lines(old) {
        if line.starts_with("SetEnvIf ") && !known.contains(&address(&line)) {
            all.extend(line.as_bytes());
            all.push(b'\n');
        }
    }
    all
}

/// A name as a regular expression. The dot is the only special character that a name can have.
fn pattern(name: &str) -> String {
    name.replace('.', r"\.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::media_type::MANIFEST_TYPES;

    #[test]
    fn every_type_has_its_rules() {
        for (media_type, extension) in MANIFEST_TYPES {
            for rule in [
                format!("_types/%{{ENV:typed}}.{extension} -f\n"),
                format!("_types/%{{ENV:typed}}.{extension} [L]\n"),
                format!(r"_types/.+\.{extension}$ - [T={media_type},L]"),
            ] {
                assert_eq!(RULES.matches(&rule).count(), 1, "{rule}");
            }
        }
    }

    #[test]
    fn rules_for_tags_that_go_stay_behind_the_new_ones() {
        let rule = |tag: &str, digest: &str| {
            format!("SetEnvIf Request_URI \"^/v2/a/manifests/{tag}$\" manifest={digest}.om\n")
        };
        let new = ["# What it is.\n".into(), rule("1", "new"), rule("3", "x")].concat();
        let old = ["# What it is.\n".into(), rule("1", "old"), rule("2", "y")].concat();
        let both = with_old(new.as_bytes(), old.as_bytes());
        assert_eq!(
            String::from_utf8(both.clone()).unwrap(),
            new.clone() + &rule("2", "y")
        );
        assert_eq!(with_old(new.as_bytes(), &both), both);
        assert_eq!(with_old(new.as_bytes(), b""), new.as_bytes());
    }

    #[test]
    fn every_error_has_its_answer() {
        let mut tree = Tree::default();
        answers(&mut tree).unwrap();
        let named = ERRORS.split_whitespace().filter_map(|word| {
            word.strip_prefix("missing=")
                .or_else(|| word.strip_prefix("readonly="))
                .or_else(|| word.strip_prefix("range="))
        });
        for name in named {
            assert!(tree.has(&format!("_answers/{name}.json")), "{name}");
        }
    }
}
