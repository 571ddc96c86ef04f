//! Input formats: each is one file with a [`Format`], and one line in [`FORMATS`].

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::error::{Hint, WithHint as _, escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{Draft, ImportOptions, naming};
use crate::import::request::Request;
use crate::import::selection::Selection;
use crate::import::staging::Staging;
use crate::progress::Progress;
use crate::source::archive::Archive;
use crate::spec::name::Reference;

pub mod archive;
pub mod dir;
pub mod docker_archive;
pub mod legacy;
mod member_name;
mod members;
pub mod oci;
pub mod oci_archive;
pub mod registry_v1;
pub mod registry_v2;
pub mod site;
mod stream;
pub mod v1_chain;
mod walk;

/// A way in which images are stored.
pub struct Format {
    /// The prefix that names it, as skopeo calls it where skopeo knows it.
    pub prefix: &'static str,
    /// What it is, for `--help`.
    pub about: &'static str,
    /// How it is recognised and read.
    pub reads: Input,
}

/// What a format reads, and how. `load` reads the images that are asked for, all but their layers, and fails
/// when the source is damaged or not what its format demands.
pub enum Input {
    /// A folder.
    Folder {
        /// Whether it is in this format.
        detect: fn(&Path) -> anyhow::Result<bool>,
        /// Reads it.
        load: fn(&Path, &Request<'_>) -> anyhow::Result<Vec<Draft>>,
    },
    /// A tar, maybe compressed.
    Archive {
        /// Whether it is in this format.
        detect: fn(&Archive) -> bool,
        /// Reads it.
        load: fn(&Archive, &Request<'_>) -> anyhow::Result<Vec<Draft>>,
    },
}

/// All formats, in the order of detection.
pub const FORMATS: &[Format] = &[
    site::FORMAT,
    oci::FORMAT,
    dir::FORMAT,
    registry_v1::FORMAT,
    registry_v2::FORMAT,
    docker_archive::FORMAT,
    legacy::FORMAT,
    oci_archive::FORMAT,
];

/// A source as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The format, where a prefix names it.
    pub prefix: Option<&'static str>,
    /// Where it lies.
    pub path: PathBuf,
    /// The one image that is meant, as in `oci:PATH:REF`.
    pub selected: Option<String>,
    /// The name that its images get.
    pub name: Option<Reference>,
}

impl Source {
    /// Reads `[PREFIX:]PATH[:REF][=NAME[:TAG]]`. A path that exists wins over every other reading.
    ///
    /// # Errors
    /// When there is nothing at the path, or the name is none.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        if exists(text)? {
            return Ok(Self::plain(text));
        }
        if let Some((located, name)) = text.rsplit_once('=')
            && let Some(source) = Self::located(located)?
        {
            // A mistake on the command line, not in the data.
            let name: Reference = name
                .parse()
                .map_err(|error: anyhow::Error| anyhow::anyhow!("{error:#}"))?;
            anyhow::ensure!(
                name.digest.is_none(),
                "`{}` names a digest; a name is `NAME[:TAG]`",
                escaped(text)
            );
            return Ok(Self {
                name: Some(name),
                ..source
            });
        }
        if let Some(source) = Self::located(text)? {
            return Ok(source);
        }
        let mut hint = format!("a source is a path, or one of {} with a path", prefixes());
        for (colon, _) in text.match_indices(':') {
            if exists(&text[..colon])? {
                hint = format!(
                    "one image of a source is `PREFIX:PATH:REF`, with one of {}",
                    prefixes()
                );
            }
        }
        if text.starts_with("docker://") {
            hint =
                "sources are local; `skopeo copy docker://.. oci:FOLDER:NAME` fetches one".into();
        }
        Err(anyhow::anyhow!("there is nothing at `{}`", escaped(text))).hint(hint)
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

    /// Reads the images that are selected, all but their layers. A folder in no known format is walked.
    ///
    /// # Errors
    /// When the source is damaged, of no known format, or its images have no names.
    pub fn load(
        &self,
        staging: &Staging,
        rules: &ImportOptions,
        selection: &Selection,
        output: &Path,
        progress: &Progress,
    ) -> anyhow::Result<Vec<Draft>> {
        let origin = if self.is_stdin() {
            "the standard input".into()
        } else {
            format!("`{}`", fsx::escaped_path(&self.path))
        };
        let opened = if self.is_stdin() {
            Opened::Archive(Archive::read(
                progress.counting(std::io::stdin(), false),
                staging,
                origin.clone(),
            )?)
        } else {
            Opened::new(&self.path, staging, progress)?
        };
        let request = Request {
            one: self.selected.as_deref(),
            name: self.name.as_ref(),
            ..Request::new(rules, selection)
        };
        let mut drafts = match (opened.format(self.prefix)?, &opened) {
            (Some(format), _) => format.load(&opened, &origin, &request)?,
            (None, Opened::Folder(folder)) if self.prefix.is_none() => {
                walk::load(folder, output, staging, &request, progress)?
            }
            _ => return Err(self.unknown(&origin)),
        };
        let is_empty = drafts.iter().all(|draft| draft.roots.is_empty());
        if is_empty && (self.selected.is_some() || !request.passed_over.get()) {
            return Err(self.holds_nothing(&origin, &drafts));
        }
        if let Some(name) = &self.name
            && !is_empty
        {
            naming::rename(&mut drafts, &origin, name)?;
        }
        naming::require(&drafts)?;
        Ok(drafts)
    }

    fn holds_nothing(&self, origin: &str, drafts: &[Draft]) -> anyhow::Error {
        let missing = self.selected.as_ref().map_or("no image".into(), |name| {
            format!("no image `{}`", escaped(name))
        });
        let error = invalid_input(format!("{origin} holds {missing}"));
        let notes: Vec<&str> = drafts
            .iter()
            .flat_map(|draft| &draft.notes)
            .map(|note| note.message.as_str())
            .collect();
        if notes.is_empty() {
            return error;
        }
        error.context(Hint(some_of(&notes)))
    }

    /// Whether it is read from the standard input.
    pub fn is_stdin(&self) -> bool {
        self.path.as_os_str() == STDIN
    }

    fn unknown(&self, origin: &str) -> anyhow::Error {
        let what = self
            .prefix
            .map_or("an image in a known format".into(), |prefix| {
                format!("a source for `{prefix}:`")
            });
        let error = invalid_input(format!("{origin} is not {what}"));
        error.context(Hint(format!("known formats: {}", prefixes())))
    }
}

impl Format {
    fn detect(&self, opened: &Opened) -> anyhow::Result<bool> {
        match (&self.reads, opened) {
            (Input::Folder { detect, .. }, Opened::Folder(folder)) => detect(folder),
            (Input::Archive { detect, .. }, Opened::Archive(archive)) => Ok(detect(archive)),
            _ => Ok(false),
        }
    }

    fn load(
        &self,
        opened: &Opened,
        origin: &str,
        request: &Request<'_>,
    ) -> anyhow::Result<Vec<Draft>> {
        let loaded = match (&self.reads, opened) {
            (Input::Folder { load, .. }, Opened::Folder(folder)) => load(folder, request),
            (Input::Archive { load, .. }, Opened::Archive(archive)) => {
                archive.check_end().and_then(|()| load(archive, request))
            }
            _ => Ok(Vec::new()),
        };
        loaded.with_context(|| format!("cannot take images from {origin}"))
    }
}

/// The first of many notes.
fn some_of(notes: &[&str]) -> String {
    let some = notes[..notes.len().min(3)].join("; ");
    match notes.len().saturating_sub(3) {
        0 => some,
        more => format!("{some}; and {more} more"),
    }
}

/// Each prefix once, with what it stands for.
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

fn prefixes() -> String {
    let prefixes: Vec<String> = prefixes_with_about()
        .map(|(prefix, _)| format!("`{prefix}:`"))
        .collect();
    prefixes.join(", ")
}

/// The source that is a tar on the standard input.
const STDIN: &str = "-";

fn exists(path: &str) -> anyhow::Result<bool> {
    Ok(!path.is_empty() && fsx::meta(Path::new(path))?.is_some())
}

/// A source opened: a folder, or an archive with its members indexed.
#[derive(Debug)]
enum Opened {
    Folder(PathBuf),
    Archive(Archive),
}

impl Opened {
    fn new(path: &Path, staging: &Staging, progress: &Progress) -> anyhow::Result<Self> {
        match fsx::meta(path)? {
            Some(meta) if meta.is_dir => Ok(Self::Folder(path.to_path_buf())),
            _ => Archive::open(path, staging, progress).map(Self::Archive),
        }
    }

    /// Its format, of those with a prefix if one is given.
    fn format(&self, prefix: Option<&str>) -> anyhow::Result<Option<&'static Format>> {
        for format in FORMATS {
            if prefix.is_none_or(|prefix| prefix == format.prefix) && format.detect(self)? {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }
}
