//! Input formats. Each is one file with a [`Format`], and one line in [`FORMATS`].

use std::path::{Path, PathBuf};

use crate::content::Identity;
use crate::error::{Hint, WithHint as _};
use crate::fsx;
use crate::import::draft::{Draft, Fault, ImportOptions, naming};
use crate::import::request::Request;
use crate::import::selection::Selection;
use crate::import::staging::Staging;
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
mod elsewhere;
pub mod export;
mod given;
pub mod legacy;
mod member_name;
pub(crate) mod members;
mod missing;
pub mod oci;
pub mod oci_archive;
pub mod oci_names;
mod refusal;
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
        let origin = self.origin();
        let opened = self.open(run)?;
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
            Some(prefix) => Some(opened.named_format(prefix, self)?),
            None => opened.format()?,
        };
        run.progress.step(|| {
            let format = format.map_or("a folder of sources", |format| format.prefix);
            format!("reading {origin}: {format}")
        });
        let mut drafts = match (format, &opened) {
            (Some(format), _) => format.load(&opened, &origin, &request)?,
            (None, Opened::Folder(folder)) => walk::load(folder, run, &request)?,
            (None, Opened::Archive(archive)) => {
                return Err(refusal::unknown(archive, self));
            }
        };
        let is_empty = drafts.iter().all(Draft::is_empty);
        if is_empty {
            let drafts = drafts.iter_mut();
            let faults = drafts.flat_map(|draft| std::mem::take(&mut draft.faults));
            refusal::all_of(faults.collect(), &origin)?;
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
            return Err(refusal::holds_nothing(
                self,
                &drafts,
                &request.seen.borrow(),
            ));
        }
        if let Some(name) = &name
            && !is_empty
        {
            naming::rename(&mut drafts, &origin, name)?;
        }
        naming::require(&drafts, |has_tag| self.with_name(has_tag))?;
        Ok(drafts)
    }
}

impl Source {
    /// What messages call it, in backticks.
    fn origin(&self) -> String {
        if self.is_stdin() {
            PIPED.into()
        } else {
            format!("`{}`", fsx::escaped_path(&self.path))
        }
    }

    /// Opens it; `None` for a volume of an export, unless it is the last.
    fn open(&self, run: &Run<'_>) -> anyhow::Result<Option<Opened>> {
        let path = &self.path;
        if self.is_stdin() {
            let input = run.progress.counting(std::io::stdin(), false);
            let archive = Archive::read(input, run.staging, run.rules.packing, self.origin())?;
            return Opened::archive(archive, run);
        }
        let is_other = |prefix| prefix != export::FORMAT.prefix;
        if self.prefix.is_some_and(is_other) && path.is_dir() {
            fsx::check_enterable(path)?;
            return Ok(Some(Opened::Folder(path.clone())));
        }
        Opened::new(path, run).map_err(|error| match Archive::looks_like_one(path) {
            Ok(false) if error.downcast_ref::<Hint>().is_none() => {
                refusal::with_hint(error, path, || None)
            }
            _ => error,
        })
    }

    /// What the user can do about an image without a name.
    fn with_name(&self, has_tag: bool) -> String {
        if self.is_stdin() {
            return "name it with `stillage put SITE NAME[:TAG]`".into();
        }
        let name = if has_tag { "NAME" } else { "NAME:TAG" };
        format!("name it: `{}={name}`", self.located_text())
    }

    /// Fails if a new site would be inside this, which is read as a whole. A folder of sources may have the site among
    /// them.
    ///
    /// # Errors
    /// Also if a folder cannot be read.
    pub fn check_outside(&self, site: &Path) -> anyhow::Result<()> {
        let path = &self.path;
        let is_new = fsx::meta(site)?.is_none();
        if self.is_stdin() || !path.is_dir() || !is_new {
            return Ok(());
        }
        fsx::check_enterable(path)?;
        // To detect a format, files are read, as they are again when the source is.
        let Err(inside) = fsx::check_outside(site, path) else {
            return Ok(());
        };
        if self.prefix.is_some() || Opened::Folder(path.clone()).format()?.is_some() {
            return Err(inside);
        }
        Ok(())
    }
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
        loaded.map_err(|error| refusal::cannot_read_images(error, origin))
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
        let meta = fsx::meta(path)?;
        if meta.is_some_and(|meta| meta.is_dir) {
            fsx::check_enterable(path)?;
        }
        match meta {
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
    fn named_format(&self, prefix: &str, source: &Source) -> anyhow::Result<&'static Format> {
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
        Err(refusal::wrong_format(self, source, prefix, &reason)?)
    }
}

/// Whether there is a file at a path that starts as an archive does.
pub fn is_archive(path: &Path) -> bool {
    !path.is_dir() && Archive::looks_like_one(path).unwrap_or(false)
}

/// Whether there is a site at a path.
pub fn is_site(path: &Path) -> bool {
    format_at(path).is_some_and(|format| format.prefix == site::FORMAT.prefix)
}

/// The format of what is at a path, if finding out takes little: compressed archives are not unpacked.
fn format_at(path: &Path) -> Option<&'static Format> {
    let opened = if path.is_dir() {
        Opened::Folder(path.to_owned())
    } else {
        Opened::Archive(Archive::plain(path)?)
    };
    opened.format().ok().flatten()
}
