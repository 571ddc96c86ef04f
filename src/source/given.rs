//! Sources as they are given on the command line.

use std::path::{Path, PathBuf};

use crate::error::{WithHint as _, escaped};
use crate::fsx;
use crate::source::FORMATS;
use crate::spec::new_name::NewName;

/// A source, as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub prefix: Option<&'static str>,
    pub path: PathBuf,
    /// The one image to read: `REF` in `oci:PATH:REF`.
    pub selected: Option<String>,
    /// What its images are to be called.
    pub name: Option<NewName>,
}

impl Source {
    /// Parses `[FORMAT:]PATH[:REF][=NAME[:TAG]]` or `[FORMAT:]PATH[:REF][=PREFIX/]`. An existing path takes
    /// precedence over every other reading.
    ///
    /// # Errors
    /// If nothing exists at the path, or the name is invalid.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        if exists(text)? {
            return Ok(Self::plain(text));
        }
        if let Some((located, name)) = text.rsplit_once('=')
            && let Some(source) = Self::located(located)?
        {
            return Ok(Self {
                name: Some(name.parse()?),
                ..source
            });
        }
        if let Some(source) = Self::located(text)? {
            return Ok(source);
        }
        if let Some((_, what, hint)) = ELSEWHERE.iter().find(|(start, ..)| text.starts_with(start))
        {
            let error = anyhow::anyhow!("`{}` is {what}; a source is local", escaped(text));
            return Err(error).hint(*hint);
        }
        let mut hint = format!(
            "a source is a path, optionally with its format before it: {}",
            prefixes()
        );
        for (colon, _) in text.match_indices(':') {
            if exists(&text[..colon])? {
                hint = format!(
                    "to read one image, use `FORMAT:PATH:REF` with one of the formats {}",
                    prefixes()
                );
            }
        }
        Err(anyhow::anyhow!("there is nothing at `{}`", escaped(text))).hint(hint)
    }

    /// A tar on standard input, whose images may get other names.
    pub fn stdin(name: Option<NewName>) -> Self {
        Self {
            name,
            ..Self::plain(STDIN)
        }
    }

    fn plain(path: &str) -> Self {
        Self {
            prefix: None,
            path: path.into(),
            selected: None,
            name: None,
        }
    }

    fn located(text: &str) -> anyhow::Result<Option<Self>> {
        if exists(text)? || text == STDIN {
            return Ok(Some(Self::plain(text)));
        }
        let Some((prefix, rest)) = text.split_once(':') else {
            return Ok(None);
        };
        let Some(format) = FORMATS.iter().find(|format| format.prefix == prefix) else {
            return Ok(None);
        };
        let prefixed = |path: &str, selected: Option<&str>| {
            Some(Self {
                prefix: Some(format.prefix),
                selected: selected.map(Into::into),
                ..Self::plain(path)
            })
        };
        if exists(rest)? || rest == STDIN {
            return Ok(prefixed(rest, None));
        }
        for (colon, _) in rest.match_indices(':') {
            if exists(&rest[..colon])? {
                return Ok(prefixed(&rest[..colon], Some(&rest[colon + 1..])));
            }
        }
        Ok(None)
    }

    pub fn is_stdin(&self) -> bool {
        self.path.as_os_str() == STDIN
    }
}

/// What names begin with that are no sources, what they name, and the hint.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("docker://", "an image in a registry", FETCH),
    ("oci://", "an image in a registry", FETCH),
    ("http://", "a URL", DOWNLOAD),
    ("https://", "a URL", DOWNLOAD),
    ("ftp://", "a URL", DOWNLOAD),
    ("s3://", "a URL", DOWNLOAD),
    ("file://", "a URL", "use the path, without `file://`"),
    (
        "docker-daemon:",
        "an image of a Docker daemon",
        "save it with `docker save -o FILE IMAGE`, or pipe it: `docker save IMAGE | stillage build - -o SITE`",
    ),
    (
        "containers-storage:",
        "an image in the storage of podman",
        "save it with `podman save --format oci-archive -o FILE IMAGE`",
    ),
];

const FETCH: &str = "fetch it with `skopeo copy --all docker://.. oci:FOLDER:NAME`";
const DOWNLOAD: &str = "download the file; an image in a registry is fetched with `skopeo copy --all docker://.. oci:FOLDER:NAME`";

/// Each prefix once, with the description of its first format.
pub fn prefixes_with_about() -> impl Iterator<Item = (&'static str, &'static str)> {
    let first = |index: &usize| {
        FORMATS[..*index]
            .iter()
            .all(|format| format.prefix != FORMATS[*index].prefix)
    };
    (0..FORMATS.len())
        .filter(first)
        .map(|index| (FORMATS[index].prefix, FORMATS[index].about))
}

pub(super) fn prefixes() -> String {
    let prefixes: Vec<String> = prefixes_with_about()
        .map(|(prefix, _)| format!("`{prefix}:`"))
        .collect();
    prefixes.join(", ")
}

/// The path that stands for a tar on standard input.
const STDIN: &str = "-";

fn exists(path: &str) -> anyhow::Result<bool> {
    Ok(!path.is_empty() && fsx::meta(Path::new(path))?.is_some())
}
