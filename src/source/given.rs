//! Sources as they are given on the command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::escaped;
use crate::fsx;
use crate::source::{FORMATS, missing};
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
            && !name.is_empty()
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
        Err(missing::error(text))
    }

    /// Parses a source that may be a path of any bytes.
    ///
    /// # Errors
    /// See [`Source::parse`].
    pub fn parse_os(text: &OsStr) -> anyhow::Result<Self> {
        match text.to_str() {
            Some(text) => Self::parse(text),
            None if fsx::meta(Path::new(text))?.is_some() => Ok(Self::plain(text)),
            None => Err(missing::error(&text.to_string_lossy())),
        }
    }

    /// The source without its new name, as the user may give it.
    pub(super) fn located_text(&self) -> String {
        let path = fsx::escaped_path(&self.path);
        let prefix = self.prefix.map_or_else(String::new, |it| format!("{it}:"));
        let one = self.selected.as_ref();
        let one = one.map_or_else(String::new, |one| format!(":{}", escaped(one)));
        format!("{prefix}{path}{one}")
    }

    /// A tar on standard input, whose images may get other names.
    pub fn stdin(name: Option<NewName>) -> Self {
        Self {
            name,
            ..Self::plain(STDIN)
        }
    }

    fn plain(path: impl Into<PathBuf>) -> Self {
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
pub(super) const STDIN: &str = "-";

fn exists(path: &str) -> anyhow::Result<bool> {
    Ok(!path.is_empty() && fsx::meta(Path::new(path))?.is_some())
}
