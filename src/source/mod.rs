//! Input formats. Each is one file with a [`Format`], and one line in [`FORMATS`].

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::content::Identity;
use crate::error::{Hint, WithHint as _, escaped, invalid_input};
use crate::fsx;
use crate::import::draft::{Draft, Fault, ImportOptions, naming};
use crate::import::request::Request;
use crate::import::selection::Selection;
use crate::import::staging::Staging;
use crate::note::Note;
use crate::progress::Progress;
use crate::source::archive::Archive;
pub use crate::source::new_name::NewName;

pub mod archive;
pub mod dir;
pub mod docker_archive;
pub mod legacy;
mod member_name;
mod members;
mod new_name;
pub mod oci;
pub mod oci_archive;
pub mod oci_names;
pub mod registry_v1;
pub mod registry_v2;
pub mod site;
mod stream;
pub mod v1_chain;
mod walk;

pub struct Format {
    /// The prefix in a source, the same as in skopeo for formats that skopeo has.
    pub prefix: &'static str,
    /// A description for `--help`.
    pub about: &'static str,
    pub reads: Input,
    /// Whether folders of other sources may lie in its folder.
    pub has_folders: bool,
}

/// How a format is detected and read. `load` reads the requested images except for their layers, and fails if
/// the source is damaged or violates its format.
pub enum Input {
    Folder {
        detect: fn(&Path) -> anyhow::Result<bool>,
        load: fn(&Path, &Request<'_>) -> anyhow::Result<Vec<Draft>>,
    },
    /// A tar, possibly compressed.
    Archive {
        detect: fn(&Archive) -> bool,
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

/// What sources are read with.
pub struct Run<'a> {
    pub staging: &'a Staging,
    /// The folder of the site, which is no source.
    pub output: &'a Path,
    pub progress: &'a Progress,
    pub rules: &'a ImportOptions,
    /// Whether an archive is known to hold no image.
    pub holds_no_image: &'a dyn Fn(&Identity) -> bool,
}

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
                name: Some(NewName::parse(name)?),
                ..source
            });
        }
        if let Some(source) = Self::located(text)? {
            return Ok(source);
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
        if text.starts_with("docker://") {
            hint =
                "sources are local; fetch the image with `skopeo copy docker://.. oci:FOLDER:NAME`"
                    .into();
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

    /// Reads the selected images except for their layers. A folder in no known format is searched for
    /// sources.
    ///
    /// # Errors
    /// If the source is damaged or in no known format, or if images have no name.
    pub fn load(&self, run: &Run<'_>, selection: &Selection) -> anyhow::Result<Vec<Draft>> {
        let rules = run.rules;
        let origin = if self.is_stdin() {
            "standard input".into()
        } else {
            format!("`{}`", fsx::escaped_path(&self.path))
        };
        let opened = if self.is_stdin() {
            Opened::Archive(Archive::read(
                run.progress.counting(std::io::stdin(), false),
                run.staging,
                rules.packing,
                origin.clone(),
            )?)
        } else {
            Opened::new(&self.path, run)?
        };
        let (name, prefix) = match &self.name {
            Some(name) => name.in_site(rules.hosts)?,
            None => (None, None),
        };
        let request = Request {
            one: self.selected.as_deref(),
            name: name.as_ref(),
            prefix,
            ..Request::new(rules, selection)
        };
        let mut drafts = match (opened.format(self.prefix)?, &opened) {
            (Some(format), _) => format.load(&opened, &origin, &request)?,
            (None, Opened::Folder(folder)) if self.prefix.is_none() => {
                walk::load(folder, run, &request)?
            }
            _ => return Err(self.unknown(&origin)),
        };
        let is_empty = drafts.iter().all(|draft| draft.roots.is_empty());
        if is_empty {
            let drafts = drafts.iter_mut();
            let faults = drafts.flat_map(|draft| std::mem::take(&mut draft.faults));
            all_of(faults.collect(), &origin)?;
        }
        for draft in &mut drafts {
            draft
                .notes
                .extend(draft.faults.iter().flat_map(Fault::notes));
        }
        if is_empty && (self.selected.is_some() || !request.passed_over.get()) {
            return Err(self.holds_nothing(&origin, &drafts));
        }
        if let Some(name) = &name
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
        loaded.with_context(|| format!("cannot read images from {origin}"))
    }
}

/// Fails with the first fault, and a hint that names the others, if there are any: nothing else remains of the
/// source.
fn all_of(mut faults: Vec<Fault>, origin: &str) -> anyhow::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let first = faults.remove(0);
    let error = match first.called.names().first() {
        Some(name) => first.error.context(format!("`{}`", escaped(name))),
        None => first.error,
    };
    let error = error.context(format!("cannot read images from {origin}"));
    let others: Vec<Note> = faults.iter().flat_map(Fault::notes).collect();
    let others: Vec<&str> = others.iter().map(|note| note.message.as_str()).collect();
    Err(if others.is_empty() {
        error
    } else {
        error.context(Hint(some_of(&others)))
    })
}

/// The first three notes, and the number of the others.
fn some_of(notes: &[&str]) -> String {
    let some = notes[..notes.len().min(3)].join("; ");
    match notes.len().saturating_sub(3) {
        0 => some,
        more => format!("{some}; and {more} more"),
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

fn prefixes() -> String {
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

#[derive(Debug)]
enum Opened {
    Folder(PathBuf),
    Archive(Archive),
}

impl Opened {
    fn new(path: &Path, run: &Run<'_>) -> anyhow::Result<Self> {
        match fsx::meta(path)? {
            Some(meta) if meta.is_dir => Ok(Self::Folder(path.to_path_buf())),
            _ => {
                Archive::open(path, run.staging, run.rules.packing, run.progress).map(Self::Archive)
            }
        }
    }

    /// The first format that is detected; with a prefix, only formats with that prefix are tried.
    fn format(&self, prefix: Option<&str>) -> anyhow::Result<Option<&'static Format>> {
        for format in FORMATS {
            if prefix.is_none_or(|prefix| prefix == format.prefix) && format.detect(self)? {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }
}
