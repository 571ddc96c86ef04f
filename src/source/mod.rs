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
use crate::source::export::volumes::Exports;
use crate::source::given::prefixes;
pub use crate::source::given::{Source, prefixes_with_about};
use crate::spec::site_export::DESCRIPTION;

pub mod archive;
pub mod dir;
pub mod docker_archive;
mod docker_index;
pub mod export;
mod given;
pub mod legacy;
mod member_name;
pub(crate) mod members;
pub mod oci;
pub mod oci_archive;
pub mod oci_names;
pub mod registry_v1;
pub mod registry_v2;
pub mod site;
pub mod static_v2;
mod stored_repository;
mod stream;
mod tar_reader;
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
        fit: fn(&Path) -> anyhow::Result<Fit>,
        load: fn(&Path, &Request<'_>) -> anyhow::Result<Vec<Draft>>,
    },
    /// A tar, possibly compressed.
    Archive {
        fit: fn(&Archive) -> Fit,
        load: fn(&Archive, &Request<'_>) -> anyhow::Result<Vec<Draft>>,
    },
}

/// Whether a source is in a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    Detected,
    /// It can be read if the user gives the prefix of the format.
    WithPrefix,
    /// Why it cannot be read.
    No(String),
}

impl Fit {
    /// For a format that is detected by one thing, and read if it has another.
    fn by(is_detected: bool, needed: &str, has_needed: bool) -> Self {
        match (is_detected, has_needed) {
            (true, _) => Self::Detected,
            (false, true) => Self::WithPrefix,
            (false, false) => Self::No(format!("`{needed}` is missing")),
        }
    }
}

/// All formats, in the order of detection.
pub const FORMATS: &[Format] = &[
    site::FORMAT,
    docker_archive::UNPACKED,
    legacy::UNPACKED,
    oci::FORMAT,
    dir::FORMAT,
    registry_v1::FORMAT,
    registry_v2::FORMAT,
    static_v2::FORMAT,
    export::FORMAT,
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
    pub exports: &'a Exports,
    /// Whether an archive is known to hold no image.
    pub holds_no_image: &'a dyn Fn(&Identity) -> bool,
}

/// What messages call an archive that is piped in.
const PIPED: &str = "standard input";

impl Source {
    /// Reads the selected images except for their layers. A folder in no known format is searched for
    /// sources.
    ///
    /// # Errors
    /// If the source is damaged or in no known format, or if images have no name.
    pub fn load(&self, run: &Run<'_>, selection: &Selection) -> anyhow::Result<Vec<Draft>> {
        let rules = run.rules;
        let origin = if self.is_stdin() {
            PIPED.into()
        } else {
            format!("`{}`", fsx::escaped_path(&self.path))
        };
        let opened = if self.is_stdin() {
            Opened::archive(
                Archive::read(
                    run.progress.counting(std::io::stdin(), false),
                    run.staging,
                    rules.packing,
                    origin.clone(),
                )?,
                run,
            )?
        } else if self
            .prefix
            .is_some_and(|prefix| prefix != export::FORMAT.prefix)
            && self.path.is_dir()
        {
            Some(Opened::Folder(self.path.clone()))
        } else {
            Opened::new(&self.path, run)?
        };
        let Some(opened) = opened else {
            if self.name.is_some() {
                return Err(anyhow::anyhow!(
                    "{origin} is one of several volumes, which cannot be renamed"
                ))
                .hint("put all volumes into a folder, and rename that: `FOLDER=PREFIX/`");
            }
            return Ok(Vec::new());
        };
        let (name, prefix) = match &self.name {
            Some(name) => name.in_site(rules.hosts)?,
            None => (None, None),
        };
        let request = Request {
            one: self.selected.as_deref(),
            name: name.as_ref(),
            prefix,
            ..Request::new(rules, selection, run.output)
        };
        let format = match self.prefix {
            Some(prefix) => Some(opened.named_format(prefix, &origin)?),
            None => opened.format()?,
        };
        run.progress.step(|| {
            let format = format.map_or("a folder of sources", |format| format.prefix);
            format!("reading {origin}: {format}")
        });
        let mut drafts = match (format, &opened) {
            (Some(format), _) => format.load(&opened, &origin, &request)?,
            (None, Opened::Folder(folder)) => walk::load(folder, run, &request)?,
            (None, Opened::Archive(archive)) => return Err(unknown(archive, &origin)),
        };
        let is_empty = drafts.iter().all(Draft::is_empty);
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
        if is_empty && run.exports.is_waiting() {
            return Ok(drafts);
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
}

fn unknown(archive: &Archive, origin: &str) -> anyhow::Error {
    let error = invalid_input(format!("{origin} is not an image in a known format"));
    let hint = match archive.below("manifest.json") {
        Some(folder) => format!(
            "its images are in the folder `{}`; pack what is in the folder, with `tar -C FOLDER -cf FILE .`",
            escaped(folder)
        ),
        None => format!("known formats: {}", prefixes()),
    };
    error.context(Hint(hint))
}

impl Format {
    /// `None` if it reads files and this is a folder, or the other way round.
    fn fit(&self, opened: &Opened) -> anyhow::Result<Option<Fit>> {
        match (&self.reads, opened) {
            (Input::Folder { fit, .. }, Opened::Folder(folder)) => fit(folder).map(Some),
            (Input::Archive { fit, .. }, Opened::Archive(archive)) => Ok(Some(fit(archive))),
            _ => Ok(None),
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

#[derive(Debug)]
enum Opened {
    Folder(PathBuf),
    Archive(Archive),
}

impl Opened {
    /// `None` for a volume of an export, unless it is the last: then it stands for all of them.
    fn new(path: &Path, run: &Run<'_>) -> anyhow::Result<Option<Self>> {
        match fsx::meta(path)? {
            // One that was unpacked is still no layout that has all.
            Some(meta) if meta.is_dir && fsx::meta(&path.join(DESCRIPTION))?.is_some() => {
                Self::archive(Archive::unpacked(path)?, run)
            }
            Some(meta) if meta.is_dir => Ok(Some(Self::Folder(path.to_path_buf()))),
            _ => Self::archive(
                Archive::open(path, run.staging, run.rules.packing, run.progress)?,
                run,
            ),
        }
    }

    fn archive(archive: Archive, run: &Run<'_>) -> anyhow::Result<Option<Self>> {
        Ok(run.exports.join(archive)?.map(Self::Archive))
    }

    /// The first format that is detected.
    fn format(&self) -> anyhow::Result<Option<&'static Format>> {
        for format in FORMATS {
            if format.fit(self)? == Some(Fit::Detected) {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }

    /// The format with this prefix.
    ///
    /// # Errors
    /// If the source does not fit: why not.
    fn named_format(&self, prefix: &str, origin: &str) -> anyhow::Result<&'static Format> {
        let (mut with_prefix, mut reason) = (None, None);
        for format in FORMATS.iter().filter(|format| format.prefix == prefix) {
            match format.fit(self)? {
                Some(Fit::Detected) => return Ok(format),
                Some(Fit::WithPrefix) => with_prefix = with_prefix.or(Some(format)),
                Some(Fit::No(why)) => reason = reason.or(Some(why)),
                None => {}
            }
        }
        if let Some(format) = with_prefix {
            return Ok(format);
        }
        let reason = reason.unwrap_or_else(|| match self {
            Self::Folder(_) => "it is a folder".into(),
            Self::Archive(_) => "it is a file".into(),
        });
        let hint = match self.format()? {
            Some(format) => format!("it is a source for `{}:`", format.prefix),
            None => format!("known formats: {}", prefixes()),
        };
        let error = invalid_input(format!(
            "{origin} is not a source for `{prefix}:`: {reason}"
        ));
        Err(error.context(Hint(hint)))
    }
}
