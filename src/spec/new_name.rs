//! Names that the user gives to the images of a source.

use std::str::FromStr;

use crate::error::escaped;
use crate::spec::name::{Reference, Repository};
use crate::spec::source_name::Hosts;
use crate::spec::why;

/// New names for the images of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewName {
    /// `NAME[:TAG]` in `PATH=NAME[:TAG]`.
    Name(Reference),
    /// `PREFIX` in `PATH=PREFIX/`: the images keep their names, below the prefix.
    Prefix(String),
}

impl FromStr for NewName {
    type Err = anyhow::Error;

    /// Parses what stands behind the last `=` of a source. Errors are mistakes on the command line.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(prefix) = text.strip_suffix('/') {
            let first: Result<Repository, _> = format!("{prefix}/x").parse();
            anyhow::ensure!(
                first.is_ok(),
                "`{}` is not a prefix of repository names{}",
                escaped(text),
                why::no_prefix(prefix)
            );
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        anyhow::ensure!(
            !text.contains('@'),
            "the name `{}` has a digest; give a tag, not a digest: `NAME[:TAG]`",
            escaped(text)
        );
        // Made anew: a mistake on the command line must not count as invalid input.
        let name: Reference = text
            .parse()
            .map_err(|error: anyhow::Error| anyhow::anyhow!("{error:#}"))?;
        Ok(Self::Name(name))
    }
}

impl NewName {
    /// The name and the prefix that the images get in a site.
    pub fn in_site(&self, hosts: Hosts) -> anyhow::Result<(Option<Reference>, Option<&str>)> {
        Ok(match self {
            Self::Name(name) if hosts == Hosts::Full => {
                let full = Reference::from_source(&name.to_string(), hosts, None)?;
                (Some(full), None)
            }
            Self::Name(name) => {
                let on_hub = name
                    .repository
                    .without_hub()
                    .filter(|_| hosts == Hosts::Drop);
                let repository = on_hub.unwrap_or_else(|| name.repository.clone());
                let name = Reference {
                    repository,
                    ..name.clone()
                };
                (Some(name), None)
            }
            Self::Prefix(prefix) if hosts == Hosts::Drop => {
                let inside: Option<Repository> = format!("{prefix}/x").parse().ok();
                let on_hub = inside.and_then(|inside| inside.without_hub());
                // Without the `/x` again: none if all of it was the host, and `library/`.
                let len = on_hub.map_or(prefix.len(), |name| name.as_str().len().saturating_sub(2));
                (
                    None,
                    Some(&prefix[prefix.len() - len..]).filter(|rest| !rest.is_empty()),
                )
            }
            Self::Prefix(prefix) => (None, Some(prefix)),
        })
    }
}
