//! The state of another site, by which `export` and `diff` know what it has.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::error::{Hint, WithHint as _};
use crate::export::site::base::Known;
use crate::images::Images;
use crate::layer::Compression;
use crate::site::{self, load};
use crate::site_files::catalogue::Catalogue;
use crate::site_files::{MAX_CATALOGUE, SiteFiles};
use crate::source::export;
use crate::source::members::{about_tar, is_tar_header};
use crate::spec::digest::Digest;
use crate::spec::site_export::{CATALOGUE, DESCRIPTION};
use crate::{bail_invalid, fsx};

/// Where the state of a site is read from.
#[derive(Clone, Debug)]
pub struct Base {
    /// A site, its `index.json` in a file, in a pipe or (`-`) on standard input, an export, or the URL of a server.
    pub text: String,
    /// For a URL: a PEM file with certificates to trust instead of the public ones.
    pub ca: Option<PathBuf>,
    /// For a URL: take any certificate.
    pub insecure: bool,
}

/// The state of a site.
pub struct State {
    pub catalogue: Catalogue,
    /// Of `index.json`.
    pub digest: Digest,
    /// The site, if it is a folder.
    pub files: Option<SiteFiles>,
}

impl Base {
    /// Reads the state, once.
    ///
    /// # Errors
    /// If it is none of these things.
    pub fn read(&self) -> anyhow::Result<State> {
        let lower = self.text.to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            return State::parse(&self.fetch()?);
        }
        anyhow::ensure!(
            self.ca.is_none() && !self.insecure,
            "`--ca` and `--insecure` only apply to a URL"
        );
        let path = Path::new(&self.text);
        if self.text == "-" {
            let state = State::of_pipe(io::stdin());
            return state.map_err(|error| match error.to_string().as_str() {
                EMPTY => anyhow::anyhow!("standard input is empty").context(Hint(
                    "pipe the `index.json` of the other site into it: `< index.json`".into(),
                )),
                _ => about_tar(error, "standard input"),
            });
        }
        let state = match fsx::meta(path)? {
            None => {
                return Err(anyhow::anyhow!(
                    "`{}` does not exist",
                    fsx::escaped_path(path)
                ))
                .hint("give a site, its `index.json`, an export or the URL of a server");
            }
            Some(meta) if meta.is_dir => return State::of_folder(path),
            Some(meta) if meta.is_file => State::of_stream(&mut fsx::open(path)?),
            Some(_) => State::of_pipe(fsx::open(path)?),
        };
        state.map_err(|error| unreadable(error, path))
    }

    #[cfg(feature = "verify-url")]
    fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        crate::check_url::catalogue(&self.text, self.ca.as_deref(), self.insecure)
    }

    #[cfg(not(feature = "verify-url"))]
    fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        Err(anyhow::anyhow!(
            "cannot fetch `{}`: this stillage was built without the feature `verify-url`",
            crate::error::escaped(&self.text)
        ))
        .hint("fetch its `index.json`, and give that")
    }
}

impl State {
    /// The images of the site, if it is a folder.
    pub(super) fn images(&self) -> Option<Images> {
        let files = self.files.as_ref()?;
        Some(load::all(files, &self.catalogue))
    }

    /// The content that the site has, `there` if its images are at hand, as far as it is known in another, `images` of `files`.
    pub(super) fn known(
        &self,
        there: Option<&Images>,
        files: &SiteFiles,
        images: &Images,
    ) -> Known {
        match there {
            Some(there) => Known::at(there, &self.catalogue, files, images),
            None => Known::of(&self.catalogue, files, images),
        }
    }

    fn parse(index: &[u8]) -> anyhow::Result<Self> {
        Ok(Self {
            catalogue: Catalogue::parse(index)?,
            digest: Digest::of(index),
            files: None,
        })
    }

    /// The state of a site, of an unpacked export, or of the exports in a folder, which are volumes of one.
    fn of_folder(root: &Path) -> anyhow::Result<Self> {
        if site::is_site(&SiteFiles::new(root))? {
            return Self::of_site(root);
        }
        let (description, catalogue) = (root.join(DESCRIPTION), root.join(CATALOGUE));
        if fsx::meta(&description)?.is_some() && fsx::meta(&catalogue)?.is_some() {
            let state = Self::of_stream(&mut fsx::open(&catalogue)?);
            return state.map_err(|error| unreadable(error, &catalogue));
        }
        let mut found: Option<(Self, PathBuf)> = None;
        for path in exports_in(root)? {
            let state = Self::of_stream(&mut fsx::open(&path)?);
            let state = state.map_err(|error| unreadable(error, &path))?;
            if let Some((other, first)) = &found
                && other.digest != state.digest
            {
                return Err(anyhow::anyhow!(
                    "`{}` and `{}` are exports of different states of a site",
                    fsx::escaped_path(first),
                    fsx::escaped_path(&path)
                ))
                .hint("give one of them");
            }
            found.get_or_insert((state, path));
        }
        match found {
            Some((state, _)) => Ok(state),
            None => Self::of_site(root),
        }
    }

    fn of_site(root: &Path) -> anyhow::Result<Self> {
        let files = site::recognise(root)?;
        let index = files.index()?.unwrap_or_default();
        Ok(Self {
            catalogue: site::parse(&files, &index)?,
            digest: Digest::of(&index),
            files: Some(files),
        })
    }

    /// Reads a pipe to its end, so that its writer does not fail.
    fn of_pipe(mut pipe: impl Read + Send) -> anyhow::Result<Self> {
        let state = Self::of_stream(&mut pipe)?;
        io::copy(&mut pipe, &mut io::sink())?;
        Ok(state)
    }

    /// Reads `index.json`, or as much of an export as is needed.
    fn of_stream(stream: &mut (impl Read + Send)) -> anyhow::Result<Self> {
        let start = start_of(stream)?;
        let compression = Compression::of_start(&start);
        let mut whole = io::Cursor::new(start).chain(stream);
        if compression == Compression::Plain {
            Self::of_plain(&mut whole)
        } else {
            Self::of_plain(&mut compression.decoder(whole, 0)?)
        }
    }

    fn of_plain(stream: &mut (impl Read + ?Sized)) -> anyhow::Result<Self> {
        let start = start_of(stream)?;
        anyhow::ensure!(!start.is_empty(), EMPTY);
        let is_json = start.trim_ascii_start().starts_with(b"{");
        anyhow::ensure!(is_json || is_tar_header(&start), NEITHER);
        let whole = io::Cursor::new(start).chain(stream);
        if is_json {
            let mut index = Vec::new();
            whole.take(MAX_CATALOGUE + 1).read_to_end(&mut index)?;
            if index.len() as u64 > MAX_CATALOGUE {
                bail_invalid!("it is too large");
            }
            return Self::parse(&index);
        }
        Self::parse(&export::state(whole)?.context(NEITHER)?)
    }
}

const EMPTY: &str = "it is empty";
const NEITHER: &str = "it is neither the `index.json` of a site nor an export";

fn start_of(stream: &mut (impl Read + ?Sized)) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    stream.take(512).read_to_end(&mut start)?;
    Ok(start)
}

fn unreadable(error: anyhow::Error, path: &Path) -> anyhow::Error {
    let name = fsx::escaped_path(path);
    // Errors of reading do not name the file themselves.
    let error = if error.is::<io::Error>() {
        about_tar(error, &format!("`{name}`"))
    } else {
        error
    };
    error.context(format!("cannot read the state of a site from `{name}`"))
}

/// The exports that lie in a folder.
pub fn exports_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let names = fsx::files(folder)?.into_iter();
    let paths = names.map(|name| folder.join(name));
    Ok(paths.filter(|path| site::is_export(path)).collect())
}
