//! Names of repositories and tags.
//!
//! Grammar (distribution `reference/regexp.go`, used by all clients since Docker 1.6):
//! ```text
//! repository = component ("/" component)*          at most 255 characters
//! component  = [a-z0-9]+ (("." | "_" | "__" | "-"+) [a-z0-9]+)*
//! tag        = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
//! reference  = [host "/"] repository [":" tag] ["@" digest]
//! ```
//! `library/x` and `x` are the same repository: `library` is the default namespace (Docker Registry API v1).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::bail_invalid;
use crate::error::{WithHint as _, escaped, invalid_input};
use crate::spec::digest::Digest;
use crate::spec::why;

/// The maximum length of a repository name.
pub(super) const MAX_NAME: usize = 255;
/// The maximum length of a tag.
pub(super) const MAX_TAG: usize = 128;

/// A repository name, without host and default namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Repository(Arc<str>);

impl FromStr for Repository {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if !is_name(text) {
            let why = why::no_repository(text);
            bail_invalid!("`{}` is not a repository name: {why}", escaped(text));
        }
        if short(text).split('/').next() == Some("index.html") {
            return Err(invalid_input(format!(
                "the repository `{}` conflicts with the file `v2/index.html`",
                short(text)
            )))
            .hint("rename it with `SOURCE=NAME`");
        }
        Ok(Self(short(text).into()))
    }
}

impl Repository {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names that clients use for it: `x`, and also `library/x` unless that is too long.
    pub fn aliases(&self) -> Vec<String> {
        let mut names = vec![self.0.to_string()];
        let full = self.with_namespace();
        if full != names[0] && full.len() <= MAX_NAME {
            names.push(full);
        }
        names
    }

    /// The newest of the Docker versions that refuse the name over v1. Docker up to 1.5 wants a namespace of 4 to
    /// 30 characters without dots and dashes, up to 1.7 one slash and no dot in the namespace (observed with
    /// 1.4.1 and 1.6.2).
    pub fn refused_up_to(&self) -> Option<&'static str> {
        let (namespace, rest) = self.0.split_once('/')?;
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if rest.contains('/') || namespace.contains('.') {
            Some("1.7")
        } else if !(4..=30).contains(&namespace.len()) || !namespace.chars().all(is_plain) {
            Some("1.5")
        } else {
            None
        }
    }

    /// The name with its namespace: `library/x` for `x`.
    pub fn with_namespace(&self) -> String {
        if self.0.contains('/') {
            self.0.to_string()
        } else {
            format!("library/{}", self.0)
        }
    }
}

impl Serialize for Repository {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn short(name: &str) -> &str {
    match name.strip_prefix("library/") {
        Some(rest) if !rest.contains('/') => rest,
        _ => name,
    }
}

pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && text.split('/').all(is_component)
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = text;
    loop {
        let word = rest.find(|c| !alphanumeric(c)).unwrap_or(rest.len());
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.find(alphanumeric).unwrap_or(rest.len());
        let (between, after) = rest.split_at(separator);
        if !(matches!(between, "." | "_" | "__") || between.bytes().all(|b| b == b'-')) {
            return false;
        }
        rest = after;
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(Arc<str>);

impl FromStr for Tag {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let legal = text.len() <= MAX_TAG
            && text.starts_with(word)
            && text.chars().all(|c| word(c) || c == '.' || c == '-');
        if !legal {
            let why = why::no_tag(text);
            bail_invalid!("`{}` is not a tag: {why}", escaped(text));
        }
        if matches!(text, "index.html" | "index.json") {
            return Err(invalid_input(format!(
                "the tag `{text}` conflicts with the file that lists the tags"
            )))
            .hint("give the image another tag");
        }
        Ok(Self(text.into()))
    }
}

impl Tag {
    /// The default tag.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest in a tag by which cosign attaches something (`sha256-<hex>.sig` and others), or in the
    /// fallback tag of the referrers API (OCI distribution-spec: `sha256-<hex>`).
    pub fn attached_to(&self) -> Option<Digest> {
        let rest = self.0.strip_prefix("sha256-")?;
        Digest::from_hex(rest.split_once('.').map_or(rest, |(hex, _)| hex)).ok()
    }

    /// The tag by which cosign attaches something to `to`; `kind` is `sig`, `att` or `sbom`.
    pub fn attaching(to: &Digest, kind: &str) -> Self {
        Self(format!("sha256-{}.{kind}", to.hex()).into())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reference to an image: a repository with a tag, a digest, both or neither.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    pub repository: Repository,
    pub tag: Option<Tag>,
    pub digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let last_component = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last_component..].split_once(':') {
            Some((repository, tag)) => (
                &rest[..last_component + repository.len()],
                Some(tag.parse()?),
            ),
            None => (rest, None),
        };
        Ok(Self {
            repository: name.parse()?,
            tag,
            digest,
        })
    }
}

/// `repository`, with `:tag` and `@digest` if it has them.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The names of the files and folders of a repository.
const RESERVED: [&str; 5] = ["images", "tags", "manifests", "blobs", "referrers"];

/// Refuses repositories whose folder would be inside another's files, such as `a/tags/b` next to `a`. `place`
/// returns the origin of a repository for the message, such as ` in ..`, or an empty string.
pub fn check_shadowing<'a>(
    repositories: impl Iterator<Item = &'a Repository> + Clone,
    place: impl Fn(&Repository) -> String,
) -> anyhow::Result<()> {
    let names: std::collections::BTreeSet<String> =
        repositories.clone().flat_map(Repository::aliases).collect();
    for repository in repositories {
        for name in repository.aliases() {
            let slashes = name.match_indices('/').map(|(at, _)| at);
            for at in slashes {
                let component = name[at + 1..].split('/').next().unwrap_or_default();
                if RESERVED.contains(&component) && names.contains(&name[..at]) {
                    let other: Repository = name[..at].parse()?;
                    return Err(invalid_input(format!(
                        "the repository `{repository}`{} conflicts with the files of `{other}`{}",
                        place(repository),
                        place(&other)
                    )))
                    .hint("rename one of them with `SOURCE=NAME`");
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<String>)> {
        let reference = text.parse::<Reference>().ok()?;
        Some((
            reference.repository.to_string(),
            reference.tag.map(|tag| tag.to_string()),
        ))
    }

    #[test]
    fn what_is_published_is_a_name() {
        for (length, names) in [(1, 2), (247, 2), (248, 1), (255, 1)] {
            let repository: Repository = "x".repeat(length).parse().unwrap();
            let aliases = repository.aliases();
            assert_eq!(aliases.len(), names, "{length}");
            for name in aliases {
                assert_eq!(name.parse::<Repository>().unwrap(), repository);
            }
        }
    }

    #[test]
    fn illegal_names_are_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            "A",
            "a b",
            "a/",
            "/a",
            "a//b",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a._b",
            "../a",
            "a/../b",
            "é",
            "a:",
            "a:-x",
            "a:b:c",
            "a@sha256:12",
            "a:index.html",
            "a:index.json",
            "localhost/",
            long.as_str(),
            "_types",
            "a/_types",
            "app:../x",
            "app:./x",
            "index.html",
            "library/index.html",
            "index.html/x",
            "a\u{0}b",
            "a\nb",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        assert!("x".repeat(129).parse::<Tag>().is_err());
        assert!("x".repeat(128).parse::<Tag>().is_ok());
    }

    #[test]
    fn repositories_that_would_share_files_are_refused() {
        let check = |names: &[&str]| {
            let names: Vec<Repository> = names.iter().map(|name| name.parse().unwrap()).collect();
            check_shadowing(names.iter(), |_| String::new()).is_ok()
        };
        assert!(check(&["org/images", "org/tags", "images", "tags/x"]));
        assert!(!check(&["org", "org/images"]));
        assert!(!check(&["a", "a/tags/b"]));
        assert!(!check(&["library", "manifests"]));
        assert!(check(&["a", "a/b"]));
    }
}
