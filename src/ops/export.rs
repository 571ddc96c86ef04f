//! `export`: what a site has, or what another site lacks of it, as an archive that `build` merges.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::export::site::{Base, SiteExport};
use crate::fsx;
use crate::import::selection::Selection;
use crate::note::{Note, NoteKind};
use crate::ops::base;
use crate::ops::select::select;
use crate::site::{self, load};

pub struct ExportOptions {
    pub site: PathBuf,
    pub selection: Selection,
    /// What the other site has. Nothing without it.
    pub since: Option<base::Base>,
}

/// What was written.
pub struct Exported {
    /// Of the site, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// The files that were written; empty for a stream.
    pub volumes: Vec<PathBuf>,
    pub notes: Vec<Note>,
}

impl ExportOptions {
    /// Writes one archive to a stream.
    ///
    /// # Errors
    /// If the site lacks something or has other bytes than it says: then the archive has no end.
    pub fn stream(&self, out: &mut (dyn Write + Send)) -> anyhow::Result<Exported> {
        let export = self.plan()?;
        export.archive(out)?;
        Ok(self.exported(&export, Vec::new()))
    }

    /// Writes one archive to a file, which appears when it is whole.
    pub fn file(&self, path: &Path) -> anyhow::Result<Exported> {
        let export = self.plan()?;
        fsx::check_outside(path, &self.site)?;
        fsx::replace(&fsx::canonical(path), |out| export.archive(out))?;
        Ok(self.exported(&export, vec![path.to_owned()]))
    }

    /// Writes volumes of at most `max` bytes beside a path, `x.1.tar` to `x.9.tar` for `x.tar`. They appear when all are
    /// whole.
    pub fn volumes(&self, path: &Path, max: u64) -> anyhow::Result<Exported> {
        fsx::check_outside(path, &self.site)?;
        anyhow::ensure!(!path.is_dir(), "`{}` is a folder", fsx::escaped_path(path));
        let export = self.plan()?;
        let volumes = export.volumes(max)?;
        let places = volumes.iter();
        let places: Vec<PathBuf> = places
            .map(|volume| numbered(path, volume.number, volume.of))
            .collect();
        let names: Vec<&OsStr> = places
            .iter()
            .filter_map(|place| place.file_name())
            .collect();
        let folder = fsx::NewFolder::beside(path)?;
        let mut split = BTreeMap::new();
        for (volume, name) in volumes.iter().zip(&names) {
            let path = folder.path().join(name);
            fsx::replace(&path, |out| export.write(volume, &mut split, out))?;
        }
        folder.give_names(&names)?;
        let mut exported = self.exported(&export, places.clone());
        let of = volumes.len().try_into().unwrap_or(u32::MAX);
        for number in of.saturating_add(1).. {
            let left = numbered(path, number, of);
            if fsx::meta(&left)?.is_none() {
                break;
            }
            let left = fsx::escaped_path(&left);
            let note = format!("`{left}` is not a volume of this export, but of another");
            exported.notes.push(NoteKind::Choice.note(note));
        }
        Ok(exported)
    }

    fn plan(&self) -> anyhow::Result<SiteExport> {
        // Before the site, since a pipe may have to be read for its writer to go on.
        let base = self.since.as_ref().map(base::Base::read).transpose();
        let (files, mut catalogue) = site::read(&self.site)?;
        let base = base?;
        let mut images = load::all(&files, &catalogue);
        if self.selection.is_any() {
            select(&images, &mut catalogue.repositories, &self.selection)?;
            images.repositories.clone_from(&catalogue.repositories);
        }
        let base = base.as_ref().map(|state| Base {
            known: state.known(state.images().as_ref(), &files, &images),
            catalogue: &state.catalogue,
            digest: state.digest,
        });
        SiteExport::plan(&files, &catalogue, &images, base)
    }

    fn exported(&self, export: &SiteExport, volumes: Vec<PathBuf>) -> Exported {
        let (files, bytes) = export.carried();
        Exported {
            files,
            bytes,
            volumes,
            notes: self.selection.unmatched().collect(),
        }
    }
}

/// The name of a volume: its number comes before the ending, with as many digits as the last one has.
fn numbered(path: &Path, number: u32, of: u32) -> PathBuf {
    let width = of.to_string().len();
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!(".{number:0width$}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}
